"""What the pages of a server have in common: all but their numbers.

Most pages of a server have the lines of the page before, in the same order. So a page is compared with the lines of an
earlier one, up to their numbers and all at once; `Columns` reads the lines that do not compare. A line is taken only if
`grammar` takes it, with the same result: it begins with the text of a series that was read before and a blank, and the
rest is a number.

Servers of a fleet begin alike and have some lines of their own. So a page is compared with one that has as many lines
and the same last one, or else with the first that began as it does. What is kept is capped; a shape is never changed,
so threads share them.
"""

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from functools import cached_property
from operator import ne
from threading import Lock

from collector.columns import Columns, match_type
from collector.grammar import Format
from collector.layout import Layout
from collector.limits import Limits
from collector.numerals import read_numbers

SHAPES_KEPT = 1000
# A shape takes about three times its page.
KEPT_BYTES = 16 * 1024 * 1024
KEPT_BYTES_PER_PAGE = 1024 * 1024
KEPT_LINES_PER_PAGE = 20_000
# Where more of the lines are new, later pages are compared with this one.
NEW_LINES_RATIO = 0.02
# So few lines that are new or gone are looked for one by one.
FEW_LINES = 6
# The lines of a large page are never there altogether.
PIECE_BYTES = 128 * 1024

_first_sample = re.compile(rb"^[^#\s].* ", re.MULTILINE)
# A format and the text of the first sample; with how many lines there are, and the text of the last.
Beginning = tuple[Format, bytes]
Key = tuple[Beginning, int, bytes]
_shapes: dict[Key, "Shape"] = {}
_usual: dict[Beginning, "Shape"] = {}
_lock = Lock()


def read(page: bytes, form: Format, limits: Limits | None = None) -> tuple[Columns, Layout]:
    """Read a page. Raises ExpositionError when far more lines are bad than are samples, and PageLimitError."""
    pieces: Iterable[list[str]] = _pieces(page)
    if len(page) <= PIECE_BYTES:  # to count its lines before they are parted would take half as long as parting them
        pieces = list(pieces)
        line_count = sum(map(len, pieces))
    else:
        line_count = page.count(b"\n") + (not page.endswith(b"\n"))
    if limits:
        limits.check_page(page, line_count)
    first_sample = _first_sample.search(page)
    beginning = form, first_sample[0] if first_sample else b""
    end = page[page.rfind(b"\n", 0, -1) + 1 : page.rfind(b" ")]
    columns = Columns(form)
    if usual := _usual.get(beginning):
        shape = _shapes.get((beginning, line_count, end), usual)
        comparison = Comparison(shape, columns)
        for lines in pieces:
            comparison.read(lines)
            if limits:
                limits.check_samples(columns)
        comparison.declare_types()
        if comparison.is_whole:
            if limits:
                limits.check_series(page, shape.layout)
            return columns, shape.layout
        if comparison.new_lines > NEW_LINES_RATIO * columns.line_count:
            _usual.pop(beginning, None)
    else:
        for lines in pieces:
            columns.read(lines)
            if limits:
                limits.check_samples(columns)
    is_short = len(page) <= KEPT_BYTES_PER_PAGE and columns.line_count <= KEPT_LINES_PER_PAGE
    is_kept = columns.is_plain and bool(columns.values) and is_short
    layout = Layout(columns.series, columns.les, columns.labels, page if is_kept else None)
    if limits:
        limits.check_series(page, layout)
    if is_kept:
        _keep((beginning, columns.line_count, end), Shape(columns, layout, len(page)))
    return columns, layout


def forget() -> None:
    """Keep nothing of the pages read so far."""
    with _lock:
        _shapes.clear()
        _usual.clear()


def _keep(key: Key, shape: "Shape") -> None:
    with _lock:
        _shapes.pop(key, None)
        _shapes[key] = shape
        _usual.setdefault(key[0], shape)
        kept_bytes = sum(kept.page_bytes for kept in _shapes.values())
        while kept_bytes > KEPT_BYTES or len(_shapes) > SHAPES_KEPT:
            oldest = next(iter(_shapes))
            gone = _shapes.pop(oldest)
            kept_bytes -= gone.page_bytes
            if _usual.get(oldest[0]) is gone:
                del _usual[oldest[0]]


def _pieces(page: bytes) -> Iterator[list[str]]:
    """The lines of a page, some at a time."""
    start = 0
    view = memoryview(page)
    while start < len(page):
        stop = page.find(b"\n", start + PIECE_BYTES)
        if stop < 0:
            stop = len(page) - page.endswith(b"\n")
        yield str(view[start:stop], "utf-8", "surrogateescape").split("\n")
        start = stop + 1


class Shape:
    """The lines of a page, and its samples but for their values."""

    def __init__(self, columns: Columns, layout: Layout, page_bytes: int) -> None:
        self.page_bytes = page_bytes
        self.layout, self.types, self.blocks = layout, columns.types, columns.blocks

    @property
    def lines(self) -> list[str]:
        heads = self.layout.heads
        return heads.lines if heads else []

    @cached_property
    def not_samples(self) -> list[int]:
        """Where the lines are that are no samples: comments, and blank ones."""
        return [index for index, line in enumerate(self.lines) if line < "$"]

    @cached_property
    def comments(self) -> dict[str, int]:
        """Where the comments are."""
        return {self.lines[index]: index for index in self.not_samples if self.lines[index]}

    @cached_property
    def declarations(self) -> dict[str, tuple[str, str]]:
        """The families that comments declare, and their types."""
        matches = map(match_type, self.comments)
        return {match[0]: (match[1], match[2]) for match in matches if match}


class Comparison:
    """A page that is read by comparing it with a shape."""

    def __init__(self, shape: Shape, columns: Columns) -> None:
        columns.blocks |= shape.blocks
        self.new_lines = 0
        self._shape = shape
        self._columns = columns
        self._lines, self._not_samples = shape.lines, shape.not_samples
        columns.labels = []
        self._line = self._sample = 0  # what comes next in the shape
        self._first_line = 0  # from where on no comment was passed over
        self._in_order = True

    @property
    def is_whole(self) -> bool:
        """Whether the page has the lines of the shape, in its order, and no others."""
        return self._in_order and self._line == len(self._lines)

    def read(self, lines: list[str]) -> None:
        """Read some more lines: those that come next in the shape, then others up to one that it has, and so on."""
        while lines:
            count = self._take(lines)
            lines = lines[count:]
            if lines:
                self._in_order = False
                others = self._skip_few(lines)
                if others is None:
                    others = self._jump(lines, 0 if count else 1)
                if others:
                    self._columns.read(lines[:others])
                    self.new_lines += others
                lines = lines[others:]

    def _skip_few(self, lines: list[str]) -> int | None:
        """Go on behind a few samples that are new, are gone, or have other labels; return how many the page has."""
        awaited = self._lines[self._line : self._line + FEW_LINES]
        for few in range(1, FEW_LINES):
            for new, gone in (few, 0), (few, few), (0, few):
                if new >= len(lines) or gone >= len(awaited) or not awaited[gone]:
                    continue
                if lines[new].startswith(awaited[gone]) and all(line > "$" for line in lines[:new] + awaited[:gone]):
                    self._line += gone
                    self._sample += gone
                    return new
        return None

    def _jump(self, lines: list[str], first: int) -> int:
        """Go on from the next comment that the shape has too; return how many lines are before it."""
        self.declare_types()
        comments = self._shape.comments
        for index in range(first, len(lines)):
            if lines[index] in comments:
                self._first_line = self._line = comments[lines[index]]
                self._sample = self._line - bisect_left(self._not_samples, self._line)
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
        awaited = self._lines[self._line : self._line + len(lines)]
        rests = list(map(str.removeprefix, lines, awaited))
        if not all(map(ne, lines, rests)):
            same = (
                line == rest and bool(line or known) for line, rest, known in zip(lines, rests, awaited, strict=False)
            )
            del rests[next((index for index, found in enumerate(same) if found), len(rests)) :]
        first, end = self._line, self._line + len(rests)
        written = list(filter(None, rests))
        not_samples = self._not_samples[bisect_left(self._not_samples, first) : bisect_left(self._not_samples, end)]
        if len(written) + len(not_samples) != len(rests) or any(rests[index - first] for index in not_samples):
            return 0
        try:
            values = read_numbers(written)
        except ValueError:
            return 0
        samples = slice(self._sample, self._sample + len(values))
        layout = self._shape.layout
        self._columns.add(layout.series[samples], layout.les[samples], values, layout.labels[samples])
        self._columns.line_count += len(rests)
        self._line, self._sample = end, samples.stop
        return len(rests)
