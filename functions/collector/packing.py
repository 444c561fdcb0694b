"""Numbers as few bytes, and back."""

import lzma
import zlib
from array import array
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate

SIZES = "bhiq"
# The largest page that may be scraped is not larger, and nothing else that is kept.
INFLATED_AT_MOST = 64 * 1024 * 1024
NUMBER_BITS_AT_MOST = 64
LZMA = [{"id": lzma.FILTER_LZMA1, "lc": 0, "lp": 0, "pb": 0, "dict_size": 4096}]


def packed(steps: Sequence[int]) -> tuple[int, bytes]:
    """Integers of the smallest size that holds them all, and that size's place in SIZES."""
    for size, typecode in enumerate(SIZES[:-1]):
        try:
            return size, _little(array(typecode, steps))
        except OverflowError:
            continue
    return len(SIZES) - 1, _little(array(SIZES[-1], steps))


def mixed(values: Sequence[float], others: Sequence[float]) -> bytes:
    """Floats, less the bits that they have in common with others."""
    return mixed_bytes(_little(array("d", values)), others)


def mixed_bytes(values: bytes, others: Sequence[float]) -> bytes:
    mask = _little(array("d", others))
    return (int.from_bytes(values, "little") ^ int.from_bytes(mask, "little")).to_bytes(len(mask), "little")


def _little(numbers: "array[int] | array[float]") -> bytes:
    return numbers.tobytes()


def by_weight(packed: bytes, size: int) -> bytes:
    """The first byte of each number, then the second of each, and so on."""
    return b"".join(packed[weight::size] for weight in range(size))


def in_order(by_weight: bytes, size: int) -> bytes:
    packed = bytearray(len(by_weight))
    each = len(by_weight) // size
    for weight in range(size):
        packed[weight::size] = by_weight[weight * each : (weight + 1) * each]
    return bytes(packed)


def varints(numbers: Iterable[int]) -> bytes:
    """Seven bits in a byte, the low ones first; the eighth says that more follow."""
    written = bytearray()
    for number in numbers:
        while number > 0x7F:
            written.append(number & 0x7F | 0x80)
            number >>= 7
        written.append(number)
    return bytes(written)


class Numbers(Iterator[int]):
    """Reads them back; `at` is where they have been read to. Raises ValueError, and IndexError at the end."""

    def __init__(self, written: bytes) -> None:
        self._written = written
        self.at = 0

    def __next__(self) -> int:
        number = shift = 0
        while True:
            byte = self._written[self.at]
            self.at += 1
            number |= (byte & 0x7F) << shift
            if byte < 0x80:
                return number
            shift += 7
            if shift >= NUMBER_BITS_AT_MOST:
                raise ValueError("a number is too large")

    def count(self, at_most: int, what: str) -> int:
        """The next one, which says how many of something there are."""
        if (number := next(self)) > at_most:
            raise ValueError(f"too many {what}")
        return number


def read_places(numbers: Numbers, at_most: int, what: str) -> list[int]:
    """Ascending, each told by how many are left out before it."""
    steps = (next(numbers) + 1 for _ in range(numbers.count(at_most, what)))
    return list(accumulate(steps, initial=-1))[1:]


def unsigned(number: int) -> int:
    return 2 * number if number >= 0 else -2 * number - 1


def signed(number: int) -> int:
    return -(number + 1 >> 1) if number & 1 else number >> 1


def deflate(plain: bytes, example: bytes = b"", level: int = 9) -> bytes:
    packer = zlib.compressobj(level, zlib.DEFLATED, -zlib.MAX_WBITS, 9, zlib.Z_DEFAULT_STRATEGY, example)
    return packer.compress(plain) + packer.flush()


def inflate(
    packed: bytes, example: bytes = b"", wbits: int = -zlib.MAX_WBITS, at_most: int = INFLATED_AT_MOST
) -> bytes:
    """Raises ValueError for more than is ever kept, for less than was packed and for what follows, and zlib.error."""
    unpacker = zlib.decompressobj(wbits, example)
    plain = unpacker.decompress(packed, at_most)
    if unpacker.unconsumed_tail:
        raise ValueError("it is too long")
    _check_end(unpacker.eof, unpacker.unused_data)
    return plain


def tighten(plain: bytes) -> bytes:
    """As `deflate`, in fewer bytes and more time."""
    return lzma.compress(plain, lzma.FORMAT_RAW, filters=LZMA)


def loosen(packed: bytes, at_most: int) -> bytes:
    """Raises ValueError as `inflate`, and lzma.LZMAError."""
    unpacker = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=LZMA)
    plain = unpacker.decompress(packed, at_most)
    if not unpacker.eof and not unpacker.needs_input:
        raise ValueError("it is too long")
    _check_end(unpacker.eof, unpacker.unused_data)
    return plain


def _check_end(is_there: bool, after: bytes) -> None:
    if not is_there:
        raise ValueError("it ends too soon")
    if after:
        raise ValueError("it goes on after its end")


def encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
