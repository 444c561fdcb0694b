"""How numbers differ from a frame's, byte by byte: of forms 3 and 4.

Bytes of the same weight stand together, the high ones hardly differ; and all are compressed.
"""

from array import array
from collections.abc import Sequence
from itertools import pairwise
from operator import add, mul, sub

from collector.frames import LINES_AT_MOST, PART_BYTES_AT_MOST, UNIT_BYTES, Frame, fractions_of, without
from collector.packing import (
    SIZES,
    Numbers,
    by_weight,
    deflate,
    in_order,
    inflate,
    loosen,
    mixed,
    mixed_bytes,
    packed,
    read_places,
    tighten,
    varints,
)

# Flags: the size of the differences, as a place in SIZES; and that LZMA compressed them.
SIZE_SHIFT, SIZE_MASK, TIGHT = 3, 3, 32
# The highest takes four to eight times as long for 1 % less; LZMA as long as that for 4 to 12 % less.
LEVEL = 7
TIGHTER_AT_MOST = 0.12


def tell(values: Sequence[float], frame: Frame, room: int) -> tuple[int, bytes]:
    """Flags, and the numbers: more tightly where that may save a write unit, of which so many bytes are left."""
    fractions = fractions_of(values)
    risen = list(map(sub, without(values, fractions), frame.whole))
    steps = list(map(int, map(sub, risen, map(mul, [0.0, *risen], frame.counts_on))))
    size, differences = packed(steps)
    others = sorted(set(fractions).symmetric_difference(frame.fractions))
    ways = (place - before - 1 for before, place in pairwise([-1, *others]))
    of_fractions = mixed([values[place] for place in fractions], [frame.values[place] for place in fractions])
    plain = varints([len(others), *ways]) + by_weight(differences, 1 << size) + by_weight(of_fractions, 8)
    flags = size << SIZE_SHIFT
    numbers = deflate(plain, level=LEVEL)
    over = len(numbers) - room
    if over > 0 and over % UNIT_BYTES < TIGHTER_AT_MOST * len(numbers):
        tight = tighten(plain)
        if len(tight) < len(numbers):
            return flags | TIGHT, tight
    return flags, numbers


def read(flags: int, told: bytes, frame: Frame) -> list[float]:
    """Raises ValueError, IndexError, OverflowError, zlib.error and lzma.LZMAError."""
    plain = (loosen if flags & TIGHT else inflate)(told, at_most=PART_BYTES_AT_MOST)
    size = SIZES[flags >> SIZE_SHIFT & SIZE_MASK]
    numbers = Numbers(plain)
    fractions = sorted(set(read_places(numbers, LINES_AT_MOST, "fractions")).symmetric_difference(frame.fractions))
    risen = array(size)
    end = numbers.at + len(frame.values) * risen.itemsize
    risen.frombytes(in_order(plain[numbers.at : end], risen.itemsize))
    steps = risen.tolist()
    if len(steps) != len(frame.values):
        raise ValueError(f"{len(steps)} numbers of {len(frame.values)}")
    for place, counts_on in enumerate(frame.counts_on):
        if counts_on:
            steps[place] += steps[place - 1]
    values = list(map(add, steps, frame.whole))
    of_fractions = array("d")
    of_fractions.frombytes(mixed_bytes(in_order(plain[end:], 8), [frame.values[place] for place in fractions]))
    for place, value in zip(fractions, of_fractions, strict=True):
        values[place] = value
    return values
