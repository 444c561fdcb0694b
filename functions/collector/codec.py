"""A page in few bytes: told from what is kept already, lines that a fleet shares and an earlier page of the server.

A page is told from a `Frame`: which runs of its lines the frame has too, what the others are, and by how much each
number differs from the frame's. A frame is lines that the pages of a fleet share, with zeros for numbers; or a server's
*anchor*, a page that was told from such lines. So a page takes at most three reads, and one that is lost takes none
with it but those that have it as their anchor.

A blob's first byte names its form:

| | |
|---|---|
| 1 | compressed: a line that is passed over, and the whole page; as releases before these forms wrote it |
| 2 | the whole page, compressed |
| 3 | 8 bytes: which shared lines; then the page told from them |
| 4 | 6 bytes: the anchor's slot, 4 bytes: its blob's checksum; then the page told from it |

A told page is a byte of flags; how its lines and spellings differ, compressed, behind its length, if they do; and the
numbers, compressed, with LZMA where that may save a write unit: it takes longer. The counts of a histogram's buckets
rise together, so what is kept of a bucket is how much more it rose than the one before. Bytes of the same weight stand
together: the high ones hardly differ.
"""

import lzma
import math
import zlib
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from itertools import accumulate, pairwise
from operator import add, mul, sub
from typing import NamedTuple

from collector.lines import Heads, Lines, has_number

BEFORE_FORMS, WHOLE, SHARED, ANCHORED = 1, 2, 3, 4
FORMS = {bytes([form]) for form in (BEFORE_FORMS, WHOLE, SHARED, ANCHORED)}
ID_BYTES, SLOT_BYTES, CHECKSUM_BYTES = 8, 6, 4
# The flags of a told page; the rest of the byte is the size of its differences, as a place in SIZES.
DIFFERS, ENDS, BARE, TIGHT = 1, 2, 4, 32
SIZE_SHIFT = 3
SIZES = "bhiq"
UNIT_BYTES = 1024
# The highest takes four to eight times as long for 1 % less; LZMA as long as that for 4 to 12 % less.
NUMBERS_LEVEL = 7
TIGHTER_AT_MOST = 0.12
LZMA = [{"id": lzma.FILTER_LZMA1, "lc": 0, "lp": 0, "pb": 0, "dict_size": 4096}]
# Up to it floats tell each whole number, and each difference of differences.
WHOLE_AT_MOST = 2.0**51
ANCHOR_MS = 3_600_000
# As an anchor's age doubles, each number that moves takes so much more, as long as a server's work is of the same kind.
BYTES_PER_DOUBLING = 1 / 8
MINUTE_MS = 60_000
# New lines are told again with each page. More of them are worth a new anchor, and new shared lines.
DIFFERENCES_AT_MOST_BYTES = 300
WORTH_SHARING_BYTES = 150
# Lines with these are a server's own, and no part of what a fleet shares: process ids, and series for each path asked.
OWN = ('pid="', "http_")
EXAMPLE_BYTES = 2048
_ASKED = (
    "/freeze_gc POST,/metrics GET,/health GET,/health_generate GET,/v1/models GET,/v1/completions POST,"
    "/v1/chat/completions POST,/generate POST,/abort_request POST"
)
_LABELS = ['endpoint="{}",method="{}"'.format(*asked.split()) for asked in _ASKED.split(",")]
# What new lines are made of more often than not. It is part of the forms: another text, another form.
USUAL_TEXT = "\n".join(
    [
        'sglang:num_retracted_reqs{engine_type="unified",moe_ep_rank="0",pid="',
        'sglang:num_paused_reqs{engine_type="unified",moe_ep_rank="0",pid="',
        *(f"sglang:http_requests_active{{{labels}}} " for labels in _LABELS),
        *(f"sglang:http_requests_total{{{labels}}} " for labels in _LABELS),
        *(f'sglang:http_responses_total{{{labels},status_code="400"}} ' for labels in _LABELS),
        *(f'sglang:http_responses_total{{{labels},status_code="200"}} ' for labels in _LABELS),
    ]
).encode()


class UnreadableError(Exception):
    """A stored page that cannot be had back, and why."""


@dataclass(frozen=True)
class Frame:
    """What a page is told from: lines and numbers, and for each number whether it counts on from the one before."""

    heads: Heads
    values: Sequence[float]
    counts_on: Sequence[bool]

    @cached_property
    def numbers_before(self) -> Sequence[int]:
        """How many numbers stand before each line, and before the end."""
        return [0, *accumulate(map(has_number, self.heads.lines))]

    @cached_property
    def fractions(self) -> Sequence[int]:
        """The places of numbers that are not whole."""
        return _fractions(self.values)

    @cached_property
    def whole(self) -> Sequence[float]:
        """The whole numbers, and 0 for each other."""
        return _without(self.values, self.fractions)

    @cached_property
    def example(self) -> bytes:
        """Text that new lines will be much like."""
        return _bytes("\n".join(self.heads.lines))[-EXAMPLE_BYTES:] + USUAL_TEXT

    def rearranged(self, runs: "Iterable[Run]", new: Sequence[str]) -> "Frame":
        """The same as another page has it: with zeros for what is new there."""
        lines: list[str] = []
        values: list[float] = []
        counts_on: list[bool] = []
        taken = 0
        for run in runs:
            before = new[taken : taken + run.new]
            taken += run.new
            numbers = sum(map(has_number, before))
            first, end = self.numbers_before[run.first], self.numbers_before[run.end]
            lines += [*before, *self.heads.lines[run.first : run.end]]
            values += [*[0.0] * numbers, *self.values[first:end]]
            counts_on += [*[False] * numbers, *self.counts_on[first:end]]
            if end > first:
                counts_on[first - end] = False
        return Frame(Heads(lines), values, counts_on)


NOTHING = Frame(Heads([]), [], [])


class SharedLines(NamedTuple):
    """Lines that servers have in common, and the text that they are kept as."""

    id: bytes
    text: bytes
    frame: Frame


class Anchor(NamedTuple):
    """A page that others of its server are told from."""

    slot_ms: int
    expires_at: int
    checksum: int
    frame: Frame
    shared: SharedLines


class Run(NamedTuple):
    """So many new lines, and then the frame's from `first` to before `end`."""

    new: int
    first: int
    end: int


# Lines that are shared


def shared_lines(heads: Heads) -> SharedLines:
    """Those of a page, in its order."""
    lines = [line for line in heads.lines if not (has_number(line) and any(own in line for own in OWN))]
    return read_shared(_bytes("\n".join(lines)))


def read_shared(text: bytes) -> SharedLines:
    """From the text that they are kept as."""
    lines = text.decode("utf-8", "surrogateescape").split("\n")
    histograms = [_histogram(line) for line in lines if has_number(line)]
    counts_on = [one == other is not None for one, other in pairwise([None, *histograms])]
    frame = Frame(Heads(lines), [0.0] * len(histograms), counts_on)
    return SharedLines(blake2b(_bytes("\n".join(sorted(lines))), digest_size=ID_BYTES).digest(), text, frame)


def _histogram(line: str) -> tuple[str, str] | None:
    """The family and labels, but for `le`, of a bucket or count; None for what is neither."""
    name, _, labels = line.partition("{")
    if name.endswith("_bucket"):
        before, _, rest = labels.partition('le="')
        return name.removesuffix("_bucket"), (before + rest.partition('"')[2].removeprefix(",")).replace(",}", "}")
    return (name.removesuffix("_count"), labels) if name.endswith("_count") else None


# Pages


def encode_whole(page: bytes) -> bytes:
    """Without anything else, for a page unlike those of any server."""
    return bytes([WHOLE]) + zlib.compress(page, 6)


def encode(
    lines: Lines,
    slot_ms: int,
    expires_at: int,
    anchor: Anchor | None,
    known: Iterable[SharedLines],
    room: int,
    keep: Callable[[SharedLines], SharedLines],
) -> tuple[bytes, bool]:
    """A page as a blob, and whether it is an anchor.

    Its server's last anchor is left when another saves a write unit, of which `room` bytes are left. `known` are lines
    to tell it from where there is no anchor yet. `keep` sees to it that lines are kept, and gives them in the order in
    which they were kept first.
    """
    age_ms = slot_ms - anchor.slot_ms if anchor else ANCHOR_MS
    if anchor and age_ms < ANCHOR_MS and expires_at <= anchor.expires_at:
        reference = anchor.slot_ms.to_bytes(SLOT_BYTES) + anchor.checksum.to_bytes(CHECKSUM_BYTES)
        start = bytes([ANCHORED]) + reference
        told = _tell(lines, anchor.frame, room - len(start))
        few_differences = len(told.differences) <= DIFFERENCES_AT_MOST_BYTES
        if few_differences and not _is_outgrown(len(start) + told.size, told.moved, age_ms, room):
            return start + told.differences + told.numbers, False
    room -= 1 + ID_BYTES
    if anchor and age_ms < ANCHOR_MS:
        # What is new may be gone with the next page: shared lines are not made anew for it, but at most once an hour.
        shared, told = keep(anchor.shared), _tell(lines, anchor.shared.frame, room)
    else:
        shared, told = _told_best(lines, [anchor.shared] if anchor else known, keep, room)
    return bytes([SHARED]) + shared.id + told.differences + told.numbers, True


def _is_outgrown(size: int, moved: int, age_ms: int, room: int) -> bool:
    """Whether the next page will take fewer write units if it is told from this one, a minute old then."""
    grown = moved * BYTES_PER_DOUBLING * math.log2(max(age_ms / MINUTE_MS, 1))
    return _units_more(size - grown, room) < _units_more(size, room)


def _units_more(size: float, room: int) -> int:
    return math.ceil((size - room) / UNIT_BYTES)


def _told_best(
    lines: Lines, known: Iterable[SharedLines], keep: Callable[[SharedLines], SharedLines], room: int
) -> tuple[SharedLines, "_Told"]:
    """The page, and which shared lines it is told from: of those that are known, or its own if that is much better."""
    ways = [(shared, _tell(lines, shared.frame, room)) for shared in known]
    best = min(ways, key=lambda way: len(way[1].differences), default=None)
    if best is None or len(best[1].differences) > DIFFERENCES_AT_MOST_BYTES:
        own = shared_lines(lines.heads)
        told = _tell(lines, own.frame, room)
        if best is None or len(told.differences) + WORTH_SHARING_BYTES < len(best[1].differences):
            shared = keep(own)
            return shared, told if shared.text == own.text else _tell(lines, shared.frame, room)
    shared, told = best
    return keep(shared), told


class AnchorName(NamedTuple):
    slot_ms: int
    checksum: int


def anchor_of(blob: bytes) -> AnchorName | None:
    """Which anchor a blob is told from, if from one. Raises UnreadableError for a form that is not known."""
    if blob[:1] not in FORMS:
        raise UnreadableError(f"its form, {blob[:1].hex() or 'none'}, is not one that this release reads")
    if blob[0] != ANCHORED:
        return None
    slot, checksum = blob[1 : 1 + SLOT_BYTES], blob[1 + SLOT_BYTES : 1 + SLOT_BYTES + CHECKSUM_BYTES]
    return AnchorName(int.from_bytes(slot), int.from_bytes(checksum))


def shared_by(blob: bytes) -> bytes | None:
    """The id of the shared lines that a blob is told from, if from any."""
    return blob[1 : 1 + ID_BYTES] if blob[:1] == bytes([SHARED]) else None


def decode(blob: bytes, frame: Frame) -> tuple[Lines, Frame]:
    """A page, and the frame that it is to others. Raises UnreadableError."""
    try:
        match blob[0]:
            case 1:
                return _whole(zlib.decompress(blob[1:]).partition(b"\n")[2])
            case 2:
                return _whole(zlib.decompress(blob[1:]))
            case 3:
                return _read(blob[1 + ID_BYTES :], frame)
            case _:
                return _read(blob[1 + SLOT_BYTES + CHECKSUM_BYTES :], frame)
    except (ValueError, IndexError, OverflowError, zlib.error, lzma.LZMAError) as exc:
        raise UnreadableError(f"its bytes tell no page: {exc}") from exc


def _whole(page: bytes) -> tuple[Lines, Frame]:
    lines = Lines.of(page)
    return lines, Frame(lines.heads, lines.values, [False] * len(lines.values))


def checksum(blob: bytes) -> int:
    return zlib.crc32(blob)


# One page


class _Told(NamedTuple):
    """A page: its flags and how its lines differ from a frame's, its numbers, and how many of them differ."""

    differences: bytes
    numbers: bytes
    moved: int

    @property
    def size(self) -> int:
        return len(self.differences) + len(self.numbers)


def _tell(lines: Lines, frame: Frame, room: int) -> _Told:
    runs: list[Run] = []
    new: list[str] = []
    flags = ENDS * lines.ends | BARE * lines.bare
    base = frame
    if lines.heads != frame.heads:
        runs, new = _runs(lines.heads, frame.heads)
        base = frame.rearranged(runs, new)
    differences = b""
    if runs or lines.odd:
        flags |= DIFFERS
        differences = deflate(_tell_lines(runs, new, lines.odd), frame.example)
        differences = _varints([len(differences)]) + differences
    size, plain, moved = _tell_numbers(lines.values, base)
    flags |= size << SIZE_SHIFT
    numbers = deflate(plain, level=NUMBERS_LEVEL)
    over = 1 + len(differences) + len(numbers) - room
    if over > 0 and over % UNIT_BYTES < TIGHTER_AT_MOST * len(numbers):
        tight = lzma.compress(plain, lzma.FORMAT_RAW, filters=LZMA)
        if len(tight) < len(numbers):
            flags, numbers = flags | TIGHT, tight
    return _Told(bytes([flags]) + differences, numbers, moved)


def _read(told: bytes, frame: Frame) -> tuple[Lines, Frame]:
    flags, rest = told[0], told[1:]
    odd: dict[int, str] = {}
    if flags & DIFFERS:
        numbers = _Numbers(rest)
        end = next(numbers) + numbers.at
        runs, new, odd = _read_lines(inflate(rest[numbers.at : end], frame.example))
        rest = rest[end:]
        if runs:
            frame = frame.rearranged(runs, new)
    plain = lzma.decompress(rest, lzma.FORMAT_RAW, filters=LZMA) if flags & TIGHT else inflate(rest)
    values = _read_numbers(plain, SIZES[flags >> SIZE_SHIFT & 3], frame)
    lines = Lines(frame.heads, values, odd, bool(flags & BARE), bool(flags & ENDS))
    return lines, Frame(frame.heads, values, frame.counts_on)


def _runs(heads: Heads, others: Heads) -> tuple[list[Run], list[str]]:
    """A page's lines as runs of another's, and those between them that it has not."""
    places = {line: place for place, line in enumerate(others.lines)}
    runs: list[Run] = []
    new: list[str] = []
    run = Run(0, 0, 0)
    for line in heads.lines:
        place = places.get(line)
        if place is None:
            if run.end > run.first:
                runs.append(run)
                run = Run(0, run.end, run.end)
            run = Run(run.new + 1, run.first, run.end)
            new.append(line)
        elif place == run.end:
            run = Run(run.new, run.first, run.end + 1)
        elif run.end > run.first:
            runs.append(run)
            run = Run(0, place, place + 1)
        else:
            run = Run(run.new, place, place + 1)
    return [*runs, run], new


def _tell_lines(runs: Sequence[Run], new: Sequence[str], odd: Mapping[int, str]) -> bytes:
    """Each run by its new lines, the way to its first from the end of the last, and its length; then odd spellings."""
    ways = (run.first - before.end for before, run in pairwise([Run(0, 0, 0), *runs]))
    of_runs = ((run.new, _unsigned(way), run.end - run.first) for run, way in zip(runs, ways, strict=True))
    steps = (place - before - 1 for before, place in pairwise([-1, *odd]))
    numbers = _varints([len(runs), *(number for run in of_runs for number in run), len(odd), *steps])
    return numbers + _bytes("\n".join([*new, *odd.values()]))


def _read_lines(section: bytes) -> tuple[list[Run], list[str], dict[int, str]]:
    numbers = _Numbers(section)
    runs: list[Run] = []
    end = 0
    for _ in range(next(numbers)):
        new, way, length = next(numbers), next(numbers), next(numbers)
        first = end + _signed(way)
        end = first + length
        runs.append(Run(new, first, end))
    places = list(accumulate((next(numbers) + 1 for _ in range(next(numbers))), initial=-1))[1:]
    texts = section[numbers.at :].decode("utf-8", "surrogateescape").split("\n")
    told = sum(run.new for run in runs)
    return runs, texts[:told], dict(zip(places, texts[told:], strict=False))


def _tell_numbers(values: Sequence[float], frame: Frame) -> tuple[int, bytes, int]:
    """The size of the differences, the numbers, and how many differ."""
    fractions = _fractions(values)
    risen = list(map(sub, _without(values, fractions), frame.whole))
    steps = list(map(int, map(sub, risen, map(mul, [0.0, *risen], frame.counts_on))))
    size, differences = _packed(steps)
    others = sorted(set(fractions).symmetric_difference(frame.fractions))
    ways = (place - before - 1 for before, place in pairwise([-1, *others]))
    mixed = _mixed([values[place] for place in fractions], [frame.values[place] for place in fractions])
    plain = _varints([len(others), *ways]) + _by_weight(differences, 1 << size) + _by_weight(mixed, 8)
    return size, plain, len(steps) - steps.count(0)


def _read_numbers(told: bytes, size: str, frame: Frame) -> list[float]:
    numbers = _Numbers(told)
    others = list(accumulate((next(numbers) + 1 for _ in range(next(numbers))), initial=-1))[1:]
    fractions = sorted(set(others).symmetric_difference(frame.fractions))
    risen = array(size)
    end = numbers.at + len(frame.values) * risen.itemsize
    risen.frombytes(_in_order(told[numbers.at : end], risen.itemsize))
    steps = risen.tolist()
    for place, counts_on in enumerate(frame.counts_on):
        if counts_on:
            steps[place] += steps[place - 1]
    values = list(map(add, steps, frame.whole))
    of_fractions = array("d")
    of_fractions.frombytes(_mixed_bytes(_in_order(told[end:], 8), [frame.values[place] for place in fractions]))
    for place, value in zip(fractions, of_fractions, strict=True):
        values[place] = value
    return values


def _fractions(values: Sequence[float]) -> list[int]:
    return [
        place
        for place, value in enumerate(values)
        if not (-WHOLE_AT_MOST <= value <= WHOLE_AT_MOST and value.is_integer())
    ]


def _without(values: Sequence[float], places: Iterable[int]) -> list[float]:
    values = list(values)
    for place in places:
        values[place] = 0.0
    return values


# Bytes


def _packed(steps: Sequence[int]) -> tuple[int, bytes]:
    """Integers of the smallest size that holds them all, and that size's place in SIZES."""
    for size, typecode in enumerate(SIZES[:-1]):
        try:
            return size, _little(array(typecode, steps))
        except OverflowError:
            continue
    return len(SIZES) - 1, _little(array(SIZES[-1], steps))


def _mixed(values: Sequence[float], others: Sequence[float]) -> bytes:
    """Floats, less the bits that they have in common with others."""
    return _mixed_bytes(_little(array("d", values)), others)


def _mixed_bytes(values: bytes, others: Sequence[float]) -> bytes:
    mask = _little(array("d", others))
    return (int.from_bytes(values, "little") ^ int.from_bytes(mask, "little")).to_bytes(len(mask), "little")


def _little(numbers: "array[int] | array[float]") -> bytes:
    return numbers.tobytes()


def _by_weight(packed: bytes, size: int) -> bytes:
    """The first byte of each number, then the second of each, and so on."""
    return b"".join(packed[weight::size] for weight in range(size))


def _in_order(by_weight: bytes, size: int) -> bytes:
    packed = bytearray(len(by_weight))
    each = len(by_weight) // size
    for weight in range(size):
        packed[weight::size] = by_weight[weight * each : (weight + 1) * each]
    return bytes(packed)


def _varints(numbers: Iterable[int]) -> bytes:
    """Seven bits in a byte, the low ones first; the eighth says that more follow."""
    written = bytearray()
    for number in numbers:
        while number > 0x7F:
            written.append(number & 0x7F | 0x80)
            number >>= 7
        written.append(number)
    return bytes(written)


class _Numbers(Iterator[int]):
    """Reads them back; `at` is where they have been read to."""

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


def _unsigned(number: int) -> int:
    return 2 * number if number >= 0 else -2 * number - 1


def _signed(number: int) -> int:
    return -(number + 1 >> 1) if number & 1 else number >> 1


def deflate(plain: bytes, example: bytes = b"", level: int = 9) -> bytes:
    packer = zlib.compressobj(level, zlib.DEFLATED, -zlib.MAX_WBITS, 9, zlib.Z_DEFAULT_STRATEGY, example)
    return packer.compress(plain) + packer.flush()


def inflate(packed: bytes, example: bytes = b"") -> bytes:
    return zlib.decompressobj(-zlib.MAX_WBITS, example).decompress(packed)


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
