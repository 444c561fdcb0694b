"""How far numbers rose since an anchor, in few bits: of form 5.

What is told of a number is how far it is from where it was expected, and an expectation is worth bits:

- A histogram's total is expected to rise in the proportion that the one before did, and each of its buckets by its
  share in what was observed until the anchor. Buckets scatter as counts do, by the root of what is expected. So they
  are told together by their kinds, those that should scatter alike, in the order that suits a kind best.
- Any other number mostly stays. Those that move do so by a like part of themselves; by which, and how many stay between
  two that move, is learnt on the way.

Expectations are floats. They are worked out by operations that IEEE 754 rounds alike everywhere.
"""

from array import array
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate, compress, pairwise
from operator import add, sub

from collector.frames import WHOLE_AT_MOST, Frame, fractions_of
from collector.golomb import Reader, best_order, code, codes, to_bytes
from collector.packing import signed, unsigned

FRACTION_DIGITS = 52  # those of a float's mantissa
# What is expected before anything was learnt: how many numbers between two that move stay, and how many digits fewer
# than itself a number moves by. Both are sums over the last four.
GAP, FEWER_DIGITS = 8, 32
ORDER_OF_RARE, ORDER_AT_MOST = 0, 60


class UnlikeError(Exception):
    """A histogram has less in it than it had, or no counts: it is another server's, or began anew.

    Or a number is so far from where it was expected that it is told otherwise.
    """


class _Expected:
    """What is expected of numbers that are not of a bucket: learnt from those before, alike by writer and reader."""

    def __init__(self, frame: Frame, switched: Iterable[int]) -> None:
        self.fractions = set(frame.fractions).symmetric_difference(switched)
        self._whole = frame.whole
        self._totals = {histogram.total for histogram in frame.histograms}
        self._gap, self._fewer_digits = GAP, FEWER_DIGITS
        self._ratio = 0.0
        self.gap_order = (GAP >> 3).bit_length()

    def rise(self, place: int) -> tuple[int, int]:
        """How far a number rises, and the order of the code for how much farther it does."""
        if place in self._totals:
            self._digits = 0
            likely = int(self._whole[place] * self._ratio + 0.5)
            return likely, likely.bit_length() // 2
        self._digits = FRACTION_DIGITS if place in self.fractions else int(self._whole[place]).bit_length()
        return 0, min(max(0, self._digits - 1 - (self._fewer_digits >> 2)), ORDER_AT_MOST)

    def learn(self, gap: int, place: int, rise: int) -> None:
        self._gap += gap - (self._gap >> 2)
        self.gap_order = (self._gap >> 3).bit_length()
        if place in self._totals:
            self._ratio = rise / self._whole[place]
        else:
            self._fewer_digits += self._digits - unsigned(rise).bit_length() - (self._fewer_digits >> 2)


def _lefts(rises: Sequence[float], moved: Iterable[int], frame: Frame) -> dict[int, float]:
    """By each histogram's total: what is left of its rise for the buckets that had observed something before."""
    lefts = {histogram.total: rises[histogram.total] for histogram in frame.histograms}
    for place in moved:
        if total := frame.totals_of_empty.get(place):
            lefts[total] -= rises[place]
    return lefts


# Writing


def tell(values: Sequence[float], frame: Frame, _: int) -> tuple[int, bytes]:
    """No flags, and the numbers. Raises UnlikeError."""
    risen = list(map(sub, values, frame.values))
    rises = frame.steps(risen)
    overflows = {histogram.total: rises[histogram.total] for histogram in frame.histograms}
    for total in overflows:
        rises[total] = risen[total]
    moved = list(compress(range(len(frame.others)), map(rises.__getitem__, frame.others)))
    places = [frame.others[at] for at in moved]
    switched = _switched(values, places, frame)
    buckets = _tell_buckets(values, rises, _lefts(rises, places, frame), overflows, frame)
    bits = [code(len(switched), ORDER_OF_RARE)]
    bits += (code(place - before - 1, ORDER_OF_RARE) for before, place in pairwise([-1, *switched]))
    expected = _Expected(frame, switched)
    patterns = (_patterns([numbers[place] for place in places]) for numbers in (values, frame.values))
    before = -1
    for at, place, now, then in zip(moved, places, *patterns, strict=True):
        gap, before = at - before - 1, at
        whole = values[place] if place in switched else rises[place]
        rise = now - then if place in expected.fractions else int(whole)
        likely, order = expected.rise(place)
        try:
            bits += code(gap, expected.gap_order), code(unsigned(rise - likely), order)
        except OverflowError as exc:
            raise UnlikeError from exc
        expected.learn(gap, place, rise)
    bits.append(code(len(frame.others) - before - 1, expected.gap_order))
    bits += buckets
    return 0, to_bytes("".join(bits))


def _switched(values: Sequence[float], moved: Sequence[int], frame: Frame) -> list[int]:
    """The places of numbers that are fractions and were none, or were and are none."""
    fractions = {moved[at] for at in fractions_of([values[place] for place in moved])}
    switched = sorted(fractions.symmetric_difference(set(frame.fractions).intersection(moved)))
    if switched and not {*switched, *(place + 1 for place in switched)} <= {*frame.starts, len(values)}:
        raise UnlikeError
    return switched


def _tell_buckets(
    values: Sequence[float],
    rises: Sequence[float],
    lefts: Mapping[int, float],
    overflows: Mapping[int, float],
    frame: Frame,
) -> list[str]:
    """How far each is from its share in what is left of its histogram's total."""
    off: list[float] = []
    tell = off.append
    for first, total, places, shares, _ in frame.histograms:
        counts = values[first : total + 1]
        if not (min(counts) >= 0 and max(counts) <= WHOLE_AT_MOST):
            raise UnlikeError
        left = lefts[total]
        if rises[total] < 0:
            raise UnlikeError
        for place, share in zip(places, shares, strict=True):
            rise = rises[place]
            tell(rise - (left * share + 0.5) // 1.0)
            left -= rise
        if left != overflows[total]:
            raise UnlikeError
    bits: list[str] = []
    order_before = 0
    for kind in frame.kinds:
        own = [off[bucket] for bucket in kind]
        try:
            order = best_order(own)
            bits += code(unsigned(order - order_before), ORDER_OF_RARE), codes(own, order)
        except (ValueError, OverflowError) as exc:
            raise UnlikeError from exc
        order_before = order
    return bits


# Reading


def read(_: int, told: bytes, frame: Frame) -> list[float]:
    """Raises ValueError, IndexError and OverflowError."""
    reader = Reader(told)
    gaps = [reader.number(ORDER_OF_RARE) for _ in range(reader.count(ORDER_OF_RARE, len(frame.values), "fractions"))]
    expected = _Expected(frame, list(accumulate((gap + 1 for gap in gaps), initial=-1))[1:])
    rises: list[float] = [0.0] * len(frame.values)
    moved: list[int] = []
    at = -1
    while (at := at + 1 + (gap := reader.number(expected.gap_order))) < len(frame.others):
        place = frame.others[at]
        likely, order = expected.rise(place)
        rise = likely + signed(reader.number(order))
        expected.learn(gap, place, rise)
        rises[place] = rise
        moved.append(place)
    _read_buckets(reader, rises, _lefts(rises, moved, frame), frame)
    reader.check_end()
    return _values(rises, frame, sorted(expected.fractions))


def _read_buckets(reader: Reader, rises: list[float], lefts: Mapping[int, float], frame: Frame) -> None:
    told: list[float] = []
    order = 0
    for kind in frame.kinds:
        order += signed(reader.number(ORDER_OF_RARE))
        told += reader.numbers(order, len(kind))
    off = map(told.__getitem__, frame.ranks)
    for _, total, places, shares, _ in frame.histograms:
        left = lefts[total]
        for place, share, one in zip(places, shares, off, strict=False):
            rises[place] = rise = (left * share + 0.5) // 1.0 + one
            left -= rise
        rises[total] = left


def _values(rises: list[float], frame: Frame, fractions: Sequence[int]) -> list[float]:
    before = _patterns([frame.values[place] for place in fractions])
    patterns = array("q", (pattern + int(rises[place]) for pattern, place in zip(before, fractions, strict=True)))
    risen: list[float] = []
    for first, end in pairwise([*frame.starts, len(rises)]):
        risen += accumulate(rises[first:end])
    values = list(map(add, frame.whole, risen))
    for place, value in zip(fractions, array("d", patterns.tobytes()), strict=True):
        values[place] = value
    return values


def _patterns(values: Sequence[float]) -> "array[int]":
    """Floats' bits as integers: those of neighbours are one apart."""
    return array("q", array("d", values).tobytes())
