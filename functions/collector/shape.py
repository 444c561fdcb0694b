"""What the pages of a server have in common: all but their numbers.

Most pages of a server have the lines of the page before, in the same order. So a page is compared with the lines of an
earlier one, up to their numbers and all at once; `Columns` reads the lines that do not compare. A line is taken only if
`grammar` takes it, with the same result: it begins with the text of a series that was read before and a blank, and the
rest is a number.

What is kept is capped. A page makes a shape or uses one, and never changes one, so threads share them.
"""

import re
from collections.abc import Iterator
from functools import cached_property
from operator import ne
from threading import Lock

from collector.columns import Columns, match_type, read_numbers
from collector.grammar import Format

SHAPES_KEPT = 1000
# A shape takes about twice its page.
KEPT_BYTES = 16 * 1024 * 1024
KEPT_BYTES_PER_PAGE = 1024 * 1024
# Where more of the lines are new, the next page makes a new shape.
NEW_LINES_RATIO = 0.1
# New lines are looked for one by one before comments are.
FEW_LINES = 20
# The lines of a large page are never there altogether.
PIECE_BYTES = 128 * 1024
COMPARED_PIECE_BYTES = 64 * 1024

_first_sample = re.compile(rb"^[^#\s].* ", re.MULTILINE)
_shapes: dict[tuple[Format, bytes], "Shape"] = {}
_lock = Lock()


def read(page: bytes, form: Format) -> Columns:
    """Read a page. Raises ExpositionError when far more lines are bad than are samples."""
    first_sample = _first_sample.search(page)
    key = form, first_sample[0] if first_sample else b""
    columns = Columns(form)
    if shape := _shapes.get(key):
        comparison = Comparison(shape, columns)
        for lines in _pieces(page, COMPARED_PIECE_BYTES):
            comparison.read(lines)
        comparison.declare_types()
        if comparison.new_lines > NEW_LINES_RATIO * columns.line_count:
            _forget(key)
    else:
        for lines in _pieces(page, PIECE_BYTES):
            columns.read(lines)
        if columns.is_plain and columns.values and len(page) <= KEPT_BYTES_PER_PAGE:
            _keep(key, Shape(columns, len(page)))
    return columns


def forget() -> None:
    """Keep nothing of the pages read so far."""
    for key in list(_shapes):
        _forget(key)


def _keep(key: tuple[Format, bytes], shape: "Shape") -> None:
    with _lock:
        _shapes[key] = shape
        kept_bytes = sum(kept.page_bytes for kept in _shapes.values())
        while kept_bytes > KEPT_BYTES or len(_shapes) > SHAPES_KEPT:
            oldest = next(iter(_shapes))
            kept_bytes -= _shapes.pop(oldest).page_bytes


def _forget(key: tuple[Format, bytes]) -> None:
    with _lock:
        _shapes.pop(key, None)


def _pieces(page: bytes, piece_bytes: int) -> Iterator[list[str]]:
    """The lines of a page, some at a time."""
    start = 0
    view = memoryview(page)
    while start < len(page):
        stop = page.find(b"\n", start + piece_bytes)
        if stop < 0:
            stop = len(page) - page.endswith(b"\n")
        yield str(view[start:stop], "utf-8", "surrogateescape").split("\n")
        start = stop + 1


class Shape:
    """The lines of a page, and its samples but for their values."""

    def __init__(self, columns: Columns, page_bytes: int) -> None:
        self.page_bytes = page_bytes
        self.series, self.les, self.types, self.blocks = columns.series, columns.les, columns.types, columns.blocks
        self._columns = columns

    @cached_property
    def lines(self) -> tuple[list[str], list[bool]]:
        """The lines, those of samples up to their values; and which are samples.

        Made when the next page comes, which may be never.
        """
        columns = self._columns
        starts = list(map(str.removesuffix, columns.lines, columns.ends))
        are_samples = list(map(bool, columns.ends))
        lines: list[str] = []
        is_sample: list[bool] = []
        done = 0
        for index, head, tail, first, last in columns.runs:
            lines += starts[done:index]
            lines += [f"{head}{le}{tail}" for le in self.les[first:last]]
            is_sample += are_samples[done:index]
            is_sample += [True] * (last - first)
            done = index
        return lines + starts[done:], is_sample + are_samples[done:]

    @cached_property
    def comments(self) -> dict[str, int]:
        """Where the comments are."""
        return {line: index for index, line in enumerate(self.lines[0]) if "" < line < "$"}

    @cached_property
    def declarations(self) -> dict[str, tuple[str, str]]:
        """The families that comments declare, and their types."""
        matches = map(match_type, self._columns.lines)
        return {match[0]: (match[1], match[2]) for match in matches if match}


class Comparison:
    """A page that is read by comparing it with a shape."""

    def __init__(self, shape: Shape, columns: Columns) -> None:
        columns.blocks |= shape.blocks
        self.new_lines = 0
        self._shape = shape
        self._columns = columns
        self._lines, self._is_sample = shape.lines
        self._first_line = self._line = self._sample = 0  # what of the shape comes next, and from where it was followed

    def read(self, lines: list[str]) -> None:
        """Read some more lines: those that come next in the shape, then others up to one that it has, and so on."""
        while lines:
            count = self._take(lines)
            lines = lines[count:]
            if lines:
                others = self._find(lines, 0 if count else 1)
                if others:
                    self._columns.read(lines[:others])
                    self.new_lines += others
                lines = lines[others:]

    def _find(self, lines: list[str], first: int) -> int:
        """Find a line to go on from: the one that comes next in the shape, behind a few others, or else a comment."""
        if self._line < len(self._lines) and (awaited := self._lines[self._line]):
            for index in range(first, min(len(lines), FEW_LINES)):
                if lines[index].startswith(awaited) and not any(line < "$" for line in lines[:index]):
                    return index
        self.declare_types()
        comments = self._shape.comments
        for index in range(first, len(lines)):
            if lines[index] in comments:
                self._first_line = self._line = comments[lines[index]]
                self._sample = sum(self._is_sample[: self._line])
                return index
        return len(lines)

    def declare_types(self) -> None:
        """Declare the types that the comments did which were taken since the last time."""
        taken = self._lines[self._first_line : self._line]
        if len(taken) == len(self._lines):
            self._columns.types |= self._shape.types
        else:
            self._columns.types.update(filter(None, map(self._shape.declarations.get, taken)))
        self._first_line = self._line

    def _take(self, lines: list[str]) -> int:
        """Take the lines that come next in the shape; return how many."""
        rests = list(map(str.removeprefix, lines, self._lines[self._line : self._line + len(lines)]))
        if not all(map(ne, lines, rests)):
            del rests[list(map(ne, lines, rests)).index(False) :]
        taken = slice(self._line, self._line + len(rests))
        try:
            values = read_numbers(list(filter(None, rests)))
        except ValueError:
            return 0
        if list(map(bool, rests)) != self._is_sample[taken]:
            return 0
        samples = slice(self._sample, self._sample + len(values))
        self._columns.add(self._shape.series[samples], self._shape.les[samples], values)
        self._columns.line_count += len(rests)
        self._line, self._sample = taken.stop, samples.stop
        return len(rests)
