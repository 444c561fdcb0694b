"""A page told from a frame: which runs of its lines the frame has too, what the others are, and how numbers differ.

It is a byte of flags; how lines and spellings differ, compressed, behind its length, if they do; and the numbers,
compressed, more tightly where that may save a write unit. The counts of a histogram's buckets rise together, so what is
kept of a bucket is how much more it rose than the one before. Bytes of the same weight stand together: the high ones
hardly differ.
"""

from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, pairwise
from operator import add, mul, sub
from typing import NamedTuple

from collector.lines import Heads, Lines, has_number
from collector.packing import (
    SIZES,
    Numbers,
    by_weight,
    deflate,
    encoded,
    in_order,
    inflate,
    loosen,
    mixed,
    mixed_bytes,
    packed,
    signed,
    tighten,
    unsigned,
    varints,
)

# The flags; two bits between them are the size of the numbers' differences, as a place in SIZES.
DIFFERS, ENDS, BARE, TIGHT = 1, 2, 4, 32
SIZE_SHIFT, SIZE_MASK = 3, 3
UNIT_BYTES = 1024
# The highest takes four to eight times as long for 1 % less; LZMA as long as that for 4 to 12 % less.
NUMBERS_LEVEL = 7
TIGHTER_AT_MOST = 0.12
# A page that is told from others is not larger. So it has no more lines, and none of its parts is longer.
PAGE_BYTES_AT_MOST = 1024 * 1024
LINES_AT_MOST = PAGE_BYTES_AT_MOST + 1
PART_BYTES_AT_MOST = 16 * PAGE_BYTES_AT_MOST
# Up to it floats tell each whole number, and each difference of differences.
WHOLE_AT_MOST = 2.0**51
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
        return encoded("\n".join(self.heads.lines))[-EXAMPLE_BYTES:] + USUAL_TEXT

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


class Run(NamedTuple):
    """So many new lines, and then the frame's from `first` to before `end`."""

    new: int
    first: int
    end: int


class Told(NamedTuple):
    """A page: its flags and how its lines differ from a frame's, its numbers, and how many of them differ."""

    differences: bytes
    numbers: bytes
    moved: int

    @property
    def size(self) -> int:
        return len(self.differences) + len(self.numbers)


def tell(lines: Lines, frame: Frame, room: int) -> Told:
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
        differences = varints([len(differences)]) + differences
    size, plain, moved = _tell_numbers(lines.values, base)
    flags |= size << SIZE_SHIFT
    numbers = deflate(plain, level=NUMBERS_LEVEL)
    over = 1 + len(differences) + len(numbers) - room
    if over > 0 and over % UNIT_BYTES < TIGHTER_AT_MOST * len(numbers):
        tight = tighten(plain)
        if len(tight) < len(numbers):
            flags, numbers = flags | TIGHT, tight
    return Told(bytes([flags]) + differences, numbers, moved)


def read(told: bytes, frame: Frame) -> tuple[Lines, Frame]:
    """The page, and the frame that it is to others.

    Raises ValueError, IndexError, OverflowError, zlib.error and lzma.LZMAError, at once for what no page would ask for.
    """
    flags, rest = told[0], told[1:]
    odd: dict[int, str] = {}
    if flags & DIFFERS:
        numbers = Numbers(rest)
        end = next(numbers) + numbers.at
        section = inflate(rest[numbers.at : end], frame.example, at_most=PART_BYTES_AT_MOST)
        runs, new, odd = _read_lines(section, len(frame.heads.lines))
        rest = rest[end:]
        if runs:
            frame = frame.rearranged(runs, new)
            if sum(map(len, frame.heads.lines)) > PAGE_BYTES_AT_MOST:
                raise ValueError("its lines are longer than a page")
    plain = (loosen if flags & TIGHT else inflate)(rest, at_most=PART_BYTES_AT_MOST)
    values = _read_numbers(plain, SIZES[flags >> SIZE_SHIFT & SIZE_MASK], frame)
    if any(place >= len(values) for place in odd):
        raise ValueError("more numbers are spelled oddly than there are")
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
    of_runs = ((run.new, unsigned(way), run.end - run.first) for run, way in zip(runs, ways, strict=True))
    steps = (place - before - 1 for before, place in pairwise([-1, *odd]))
    numbers = varints([len(runs), *(number for run in of_runs for number in run), len(odd), *steps])
    return numbers + encoded("\n".join([*new, *odd.values()]))


def _read_lines(section: bytes, line_count: int) -> tuple[list[Run], list[str], dict[int, str]]:
    """The runs of a frame's so many lines, the new lines, and the odd spellings."""
    numbers = Numbers(section)
    runs: list[Run] = []
    told = lines = end = 0
    for _ in range(numbers.count(LINES_AT_MOST, "runs")):
        new, way, length = next(numbers), next(numbers), next(numbers)
        first = end + signed(way)
        end = first + length
        if not 0 <= first <= end <= line_count:
            raise ValueError("a run of lines that are not there")
        told += new
        lines += new + length
        if lines > LINES_AT_MOST:
            raise ValueError("too many lines")
        runs.append(Run(new, first, end))
    places = _read_places(numbers, "odd numbers")
    texts = section[numbers.at :].decode("utf-8", "surrogateescape").split("\n")
    if len(texts) != max(told + len(places), 1):
        raise ValueError(f"{len(texts)} texts for {told + len(places)}")
    return runs, texts[:told], dict(zip(places, texts[told:], strict=False))


def _read_places(numbers: Numbers, what: str) -> list[int]:
    """Ascending, each told by how many are left out before it."""
    steps = (next(numbers) + 1 for _ in range(numbers.count(LINES_AT_MOST, what)))
    return list(accumulate(steps, initial=-1))[1:]


def _tell_numbers(values: Sequence[float], frame: Frame) -> tuple[int, bytes, int]:
    """The size of the differences, the numbers, and how many differ."""
    fractions = _fractions(values)
    risen = list(map(sub, _without(values, fractions), frame.whole))
    steps = list(map(int, map(sub, risen, map(mul, [0.0, *risen], frame.counts_on))))
    size, differences = packed(steps)
    others = sorted(set(fractions).symmetric_difference(frame.fractions))
    ways = (place - before - 1 for before, place in pairwise([-1, *others]))
    of_fractions = mixed([values[place] for place in fractions], [frame.values[place] for place in fractions])
    plain = varints([len(others), *ways]) + by_weight(differences, 1 << size) + by_weight(of_fractions, 8)
    return size, plain, len(steps) - steps.count(0)


def _read_numbers(told: bytes, size: str, frame: Frame) -> list[float]:
    numbers = Numbers(told)
    fractions = sorted(set(_read_places(numbers, "fractions")).symmetric_difference(frame.fractions))
    risen = array(size)
    end = numbers.at + len(frame.values) * risen.itemsize
    risen.frombytes(in_order(told[numbers.at : end], risen.itemsize))
    steps = risen.tolist()
    if len(steps) != len(frame.values):
        raise ValueError(f"{len(steps)} numbers of {len(frame.values)}")
    for place, counts_on in enumerate(frame.counts_on):
        if counts_on:
            steps[place] += steps[place - 1]
    values = list(map(add, steps, frame.whole))
    of_fractions = array("d")
    of_fractions.frombytes(mixed_bytes(in_order(told[end:], 8), [frame.values[place] for place in fractions]))
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
