"""A page told from a frame: which runs of its lines the frame has too, what the others are, and its numbers.

It is a byte of flags; how lines and spellings differ, compressed, behind its length, if they do; and the numbers, in
one of the ways that there are: `bytewise`, `rises`.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

from collector.frames import LINES_AT_MOST, PAGE_BYTES_AT_MOST, PART_BYTES_AT_MOST, Frame, Run
from collector.lines import Heads, Lines
from collector.packing import Numbers, deflate, encoded, inflate, read_places, signed, unsigned, varints

# Flags. Others are of the numbers.
DIFFERS, ENDS, BARE = 1, 2, 4
TellNumbers = Callable[[Sequence[float], Frame, int], tuple[int, bytes]]
ReadNumbers = Callable[[int, bytes, Frame], list[float]]


class Told(NamedTuple):
    """A page: its flags and how its lines differ from a frame's, and its numbers."""

    differences: bytes
    numbers: bytes

    @property
    def size(self) -> int:
        return len(self.differences) + len(self.numbers)


def tell(lines: Lines, frame: Frame, tell_numbers: TellNumbers, room: int) -> Told:
    """Where so many bytes of a write unit are left. Raises what `tell_numbers` does."""
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
    more_flags, numbers = tell_numbers(lines.values, base, room - len(differences) - 1)
    return Told(bytes([flags | more_flags]) + differences, numbers)


def read(told: bytes, frame: Frame, read_numbers: ReadNumbers) -> tuple[Lines, Frame]:
    """The page, and the frame that it is to others.

    Raises ValueError, IndexError, zlib.error and what `read_numbers` does, at once for what no page would ask for.
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
    values = read_numbers(flags, rest, frame)
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
    places = read_places(numbers, LINES_AT_MOST, "odd numbers")
    texts = section[numbers.at :].decode("utf-8", "surrogateescape").split("\n")
    if len(texts) != max(told + len(places), 1):
        raise ValueError(f"{len(texts)} texts for {told + len(places)}")
    return runs, texts[:told], dict(zip(places, texts[told:], strict=False))
