"""Small numbers in few bits: Exp-Golomb codes, https://www.itu.int/rec/T-REC-H.264, clause 9.1.

In the code of an order k, n is n + 2^k in binary, behind a zero for each digit more than k + 1: a start, which is the
zeros up to the first one, and a rest, the digits behind it. It suits numbers that are mostly a few times 2^k.

Bits are text of 0 and 1 while they are worked with: Python joins and splits text sooner than anything else.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, pairwise, repeat
from operator import add

from collector.packing import signed, unsigned

# No number that is told has more digits, and none of an order as high. Most are small.
DIGITS_AT_MOST = 68
NUMBERS_KEPT, REST_DIGITS_KEPT = 1024, 12
BYTE_BITS = 8


class _Codes(dict[float, tuple[str, str]]):
    """Starts and rests of an order, of whole numbers and such below 0. Raises ValueError and OverflowError."""

    def __init__(self, order: int) -> None:
        self._order = order

    def __missing__(self, number: float) -> tuple[str, str]:
        whole = int(number)
        if whole != number:
            raise ValueError(f"{number} is not whole")
        digits = _digits(unsigned(whole), self._order)
        code = "0" * (len(digits) - self._order - 1) + "1", digits[1:]
        if abs(whole) < NUMBERS_KEPT:
            self[number] = code
        return code


class _Rests(dict[str, float]):
    """What the rests of an order say: how long they are tells of their starts."""

    def __init__(self, order: int) -> None:
        self._order = order

    def __missing__(self, rest: str) -> float:
        number = float(signed(int("1" + rest, 2) - (1 << self._order)))
        if len(rest) <= REST_DIGITS_KEPT:
            self[rest] = number
        return number


_codes = [_Codes(order) for order in range(DIGITS_AT_MOST)]
_rests = [_Rests(order) for order in range(DIGITS_AT_MOST)]


def _digits(number: int, order: int) -> str:
    digits = f"{number + (1 << order):b}"
    if len(digits) - 1 > DIGITS_AT_MOST:
        raise OverflowError("a number is too large")
    return digits


def code(number: int, order: int) -> str:
    """Raises OverflowError for what a `Reader` would not take."""
    digits = _digits(number, order)
    return "0" * (len(digits) - order - 1) + digits


def codes(numbers: Iterable[float], order: int) -> str:
    """Of whole numbers, and such below 0: the starts of all, and then the rests."""
    starts, rests = zip(*map(_codes[order].__getitem__, numbers), strict=True)
    return "".join(starts + rests)


def best_order(numbers: Sequence[float]) -> int:
    """For `codes`."""
    return int(sum(map(abs, numbers)) / len(numbers)).bit_length()


def to_bytes(bits: str) -> bytes:
    size = -(-len(bits) // BYTE_BITS)
    return int(bits.ljust(size * BYTE_BITS, "0"), 2).to_bytes(size)


class Reader:
    """Reads numbers back. Raises ValueError and OverflowError for what nobody told."""

    def __init__(self, told: bytes) -> None:
        self._bits = f"{int.from_bytes(told):0{BYTE_BITS * len(told)}b}"
        self._at = 0

    def number(self, order: int) -> int:
        one = self._bits.index("1", self._at)
        self._at, start = 2 * one - self._at + order + 1, self._at
        if order + one - start > DIGITS_AT_MOST:
            raise ValueError("a number is too large")
        return int(self._bits[one : self._at], 2) - (1 << order)

    def numbers(self, order: int, count: int) -> Iterator[float]:
        """So many, written by `codes`."""
        if not 0 <= order < DIGITS_AT_MOST:
            raise ValueError("a number is too large")
        starts = self._bits[self._at :].split("1", count)[:count]
        zeros = list(map(len, starts))
        ends = list(accumulate(map(add, zeros, repeat(order)), initial=self._at + sum(zeros) + count))
        self._at = ends[-1]
        return map(_rests[order].__getitem__, [self._bits[first:end] for first, end in pairwise(ends)])

    def count(self, order: int, at_most: int, what: str) -> int:
        """The next one, which says how many of something there are."""
        if (number := self.number(order)) > at_most:
            raise ValueError(f"too many {what}")
        return number

    def check_end(self) -> None:
        """Raises ValueError for less than was told, and for what follows."""
        if self._at > len(self._bits):
            raise ValueError("it ends too soon")
        if len(self._bits) - self._at >= BYTE_BITS or "1" in self._bits[self._at :]:
            raise ValueError("it goes on after its end")
