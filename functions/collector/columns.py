"""The samples of a page side by side, read line by line.

`grammar` reads a line strictly, and takes some microseconds. Nearly every line of a real page is in the plain spelling
that Prometheus' own libraries write, and most are a bucket that differs from the line above only in `le` and the value.
Such lines are told by comparing strings, and their numbers are read together. A piece of a page with any other line, a
bad one among them, is left to `grammar`. Either way a line is taken only if `grammar` takes it, with the same result.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import repeat
from typing import NamedTuple

from collector.errors import ExpositionError
from collector.grammar import (
    METRIC_NAME,
    Format,
    LineError,
    read_block,
    read_comment,
    read_sample,
)
from collector.layout import Series, all_labels
from collector.numerals import read_bounds, read_numbers

BAD_LINES_KEPT = 10
BAD_LINE_CHARACTERS = 80
# The rest of a page is not read past so many more bad lines than samples, and past so many in all.
MORE_BAD_LINES_ENDURED = 1000
BAD_LINES_ENDURED = 100_000
# Past so many label texts, and in so long ones, nothing is expected to come again.
TEXTS_KEPT = 10_000
TEXT_CHARACTERS = 4096

FAMILY_SUFFIXES = {
    "_total": ("counter",),
    "_created": ("counter", "histogram", "summary"),
    "_bucket": ("histogram", "gaugehistogram"),
    "_sum": ("histogram", "summary"),
    "_count": ("histogram", "summary"),
    "_gsum": ("gaugehistogram",),
    "_gcount": ("gaugehistogram",),
    "_info": ("info",),
}

_is_name = re.compile(METRIC_NAME).fullmatch
_match_help = re.compile(rf"# HELP ({METRIC_NAME}) ").match
match_type = re.compile(rf"# TYPE ({METRIC_NAME}) ([a-z]++)").fullmatch


class BadLine(NamedTuple):
    """A line that was skipped, cut short."""

    number: int
    reason: str
    line: str

    def __str__(self) -> str:
        """Without its text: it may be anything."""
        return f"line {self.number}: {self.reason}"


class Columns:
    """A page's samples: `series`, `les` and `values` side by side, and `timestamps_ms` where the page has any."""

    def __init__(self, form: Format) -> None:
        self.form = form
        self.series: list[Series] = []
        self.les: list[str | None] = []
        self.values: list[float] = []
        # All labels of each sample, on a page that is compared with one whose labels have been put together.
        self.labels: list[dict[str, str]] | None = None
        self.timestamps_ms: list[int | None] = []
        self.types: dict[str, str] = {}
        self.bad_lines: list[BadLine] = []
        self.bad_line_count = 0
        self.line_count = 0
        # Labels, by their text and the closing brace.
        self.blocks: dict[str, dict[str, str]] = {"}": {}}
        # Whether every line is in the plain spelling, and its text up to the number gives the sample but for the value.
        self.is_plain = True
        self._sample_types = _SampleTypes(self.types)
        self._labels = _Labels()
        self._read_label = self._labels.__getitem__
        self._label_sets: dict[tuple[tuple[str, str], ...], dict[str, str]] = {}

    def read(self, lines: Sequence[str]) -> None:
        """Read some more lines. Raises ExpositionError when far more lines are bad than are samples."""
        try:
            self._read_plain(lines)
        except ValueError:
            self.is_plain = False
            self._read_any(lines)
        self.line_count += len(lines)
        if len(self.blocks) > TEXTS_KEPT or len(self._labels) > TEXTS_KEPT:
            self.blocks = {"}": self.blocks["}"]}
            self._labels.clear()

    def add(
        self,
        series: Sequence[Series],
        les: Sequence[str | None],
        values: Sequence[float],
        labels: Iterable[dict[str, str]] | None = None,
    ) -> None:
        """Add samples without a timestamp."""
        self.series += series
        self.les += les
        self.values += values
        if self.labels is not None:
            self.labels += all_labels(series, les) if labels is None else labels

    def error(self) -> ExpositionError:
        """That the page is not an exposition, as its first bad line shows."""
        first = self.bad_lines[0]
        return ExpositionError(first.number, first.line, first.reason)

    def _read_plain(self, lines: Sequence[str]) -> None:
        """Take all lines, or no sample. Raises ValueError where a line is not plain."""
        all_series: list[Series] = []
        les: list[str | None] = []
        written: list[str] = []
        add_series, add_le, add_written = all_series.append, les.append, written.append
        get_labels = self.blocks.get
        types, kinds, sample_types = self.types, self.form.types, self._sample_types
        no_labels = self.blocks["}"]
        head = tail = declaration = ""
        family = "\n"  # no metric's name
        names: set[str] = set()
        series: Series = "", {}, {}
        for line in lines:
            if head:
                rest = line.removeprefix(head)
                if rest is not line:
                    bound, found, value = rest.partition(tail)
                    if found:
                        add_le(bound)
                        add_written(value)
                        continue
                all_series += repeat(series, len(les) - len(all_series))
                head = ""
            if line < "$":  # as comments are, and blank lines, but no plain sample
                if declaration and (kind := line.removeprefix(declaration)) in kinds:
                    types[family] = kind
                    declaration = ""
                    if kind == "histogram":
                        names |= {f"{family}_bucket", f"{family}_count", f"{family}_sum"}
                elif (match := _match_help(line)) and line.isascii():
                    family = match[1]
                    declaration = f"# TYPE {family} "
                elif (match := match_type(line)) and match[2] in kinds:
                    family, declaration = match[1], ""
                    types[family] = match[2]
                elif line[:1] == "#":
                    self.is_plain = not self._read_comment(line) and self.is_plain
                elif line or self.form.strict:
                    raise ValueError
                continue
            text, _, value = line.rpartition(" ")
            name, opened, block = text.partition("{")
            le = None
            if not opened:
                labels = no_labels
            elif name.endswith("_bucket"):
                labels, le, head, tail = self._start_run(name, block)
            else:
                labels = get_labels(block) or self._read_block(block)
            if name != family and name not in names and not _is_name(name):
                raise ValueError
            series = name, labels, sample_types
            add_series(series)
            add_le(le)
            add_written(value)
        all_series += repeat(series, len(les) - len(all_series))
        self.add(all_series, read_bounds(les), read_numbers(written))

    def _start_run(self, name: str, block: str) -> tuple[dict[str, str], str | None, str, str]:
        """A bucket's other labels and its bound, and the text of its line up to the bound and from there to the value.

        Without that text where the bound cannot be told from it. Raises ValueError.
        """
        before, _, rest = f",{block}".partition(',le="')
        bound, _, after = rest.partition('"')
        # Without `le`, `{le="1",}` would be `{}`: whether a comma may stand there is the format's to say. And it may
        # stand in a label's value, behind the quote that opens it.
        is_plain = after[:1] in (",", "}") and after != ",}" and before[-1:] in ("", '"') and "\\" not in block
        if not is_plain or before.count('"') % 2:
            labels = self._read_block(block)
            le = labels.get("le")
            return (labels if le is None else _without_le(labels)), le, "", ""
        others_block = (before + after).removeprefix(",")
        others = self.blocks.get(others_block) or self._read_block(others_block)
        if "le" in others:
            raise ValueError
        return others, bound, f"{name}{{" + f'{before},le="'[1:], f'"{after} '

    def _read_block(self, block: str) -> dict[str, str]:
        """Raises ValueError."""
        if block == "}":
            return self.blocks[block]
        texts = block[:-2].split('",')
        try:
            labels = dict(map(self._read_label, texts))
            is_plain = len(labels) == len(texts) and block.endswith('"}') and "\\" not in block
        except ValueError:
            is_plain = False
        if not is_plain or not block.isascii():
            labels = read_block(block, self.form)
        self.blocks[block] = labels
        return labels

    def _read_any(self, lines: Sequence[str]) -> None:
        for line_number, line in enumerate(lines, self.line_count + 1):
            try:
                start = line.lstrip(" \t")[:1]
                if start == "#":
                    self._read_comment(line)
                elif start or self.form.strict:
                    self._read_sample(line)
            except LineError as error:
                self.bad_line_count += 1
                if len(self.bad_lines) < BAD_LINES_KEPT:
                    self.bad_lines.append(BadLine(line_number, str(error), line[:BAD_LINE_CHARACTERS]))
                if self.bad_line_count > min(len(self.values) + MORE_BAD_LINES_ENDURED, BAD_LINES_ENDURED):
                    raise self.error() from None

    def _read_comment(self, line: str) -> bool:
        """Say whether it declares a type. Raises LineError."""
        declaration = read_comment(line, self.form)
        if declaration:
            self.types[declaration.family] = declaration.type
        return declaration is not None

    def _read_sample(self, line: str) -> None:
        """Raises LineError."""
        name, labels, value, timestamp_ms = read_sample(line, self.form)
        le = labels.get("le") if name.endswith("_bucket") else None
        if le is not None:
            labels = _without_le(labels)
        if timestamp_ms is not None:
            self.timestamps_ms += repeat(None, len(self.values) - len(self.timestamps_ms))
            self.timestamps_ms.append(timestamp_ms)
        labels = self._shared(labels)
        self.add([(name, labels, self._sample_types)], [le], [value])

    def _shared(self, labels: dict[str, str]) -> dict[str, str]:
        """The same object for equal labels."""
        if len(self._label_sets) >= TEXTS_KEPT:
            self._label_sets.clear()
        return self._label_sets.setdefault(tuple(labels.items()), labels)


class _Labels(dict[str, tuple[str, str]]):
    """A label's name and value, by its text up to the closing quote. Raises ValueError if that is not plain."""

    def __missing__(self, text: str) -> tuple[str, str]:
        name, quote, value = text.partition('="')
        if not quote or '"' in value or not name.isidentifier() or name in ("__name__", "quantile"):
            raise ValueError
        label = self[text] = name, value
        return label


class _SampleTypes(dict[str, str]):
    """Types by the name of a sample."""

    def __init__(self, declared: Mapping[str, str]) -> None:
        self._declared = declared

    def __missing__(self, name: str) -> str:
        declared = self._declared
        families = (
            declared[family]
            for suffix, kinds in FAMILY_SUFFIXES.items()
            if name.endswith(suffix) and declared.get(family := name.removesuffix(suffix)) in kinds
        )
        kind = self[name] = declared.get(name) or next(families, "untyped")
        return kind


def _without_le(labels: dict[str, str]) -> dict[str, str]:
    labels = labels.copy()
    del labels["le"]
    return labels
