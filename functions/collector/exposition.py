"""A metrics page as samples: Prometheus' text format 0.0.4, and OpenMetrics 1.0 where a line of the page is `# EOF`."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import copy
from itertools import repeat
from typing import TypeVar, overload

from collector import shape
from collector.columns import BadLine, Columns
from collector.grammar import OPENMETRICS, TEXT, OpenMetricsFound
from collector.layout import Layout
from collector.limits import Limits
from collector.lines import Lines

_eof = re.compile(rb"(?:\A|\n)(# EOF\n?)\Z")


class Sample:
    """One line's value.

    `value` is a float, NaN and ±Inf included; `timestamp_ms` is in milliseconds since 1970, None on most pages. `le` is
    the bound of a `_bucket` as Prometheus spells it (`1` as `1.0`), None for any other sample.

    `labels` has all labels. `base_labels` has them without `le`: one object for all the buckets of a run and, where the
    labels are written alike, for `_sum` and `_count`. Neither is to be changed.

    It is made by `Samples`, which fills it: there is no `__init__`, since calling one would take a third of the time.
    """

    __slots__ = ("_types", "base_labels", "labels", "le", "name", "value")

    name: str
    labels: dict[str, str]
    base_labels: dict[str, str]
    le: str | None
    value: float
    _types: Mapping[str, str]

    @property
    def timestamp_ms(self) -> int | None:
        return None

    @property
    def type(self) -> str:
        """The type that the page declares for the sample's family, `untyped` where it declares none."""
        return self._types[self.name]

    def __repr__(self) -> str:
        facts = self.name, self.labels, self.value, self.timestamp_ms, self.type
        return "Sample(name={!r}, labels={!r}, value={!r}, timestamp_ms={!r}, type={!r})".format(*facts)


class _Timed(Sample):
    """A sample of a page that has timestamps."""

    __slots__ = ("timestamp_ms",)
    timestamp_ms: int | None


S = TypeVar("S", bound=Sample)


class Samples(Sequence[Sample]):
    """The samples of a page, in its order. They are kept as columns: a `Sample` is made when one is asked for."""

    def __init__(self, columns: Columns) -> None:
        self._columns = columns

    def __len__(self) -> int:
        return len(self._columns.values)

    def __iter__(self) -> Iterator[Sample]:
        return self._make(slice(None))

    @overload
    def __getitem__(self, index: int) -> Sample: ...
    @overload
    def __getitem__(self, index: slice) -> list[Sample]: ...
    def __getitem__(self, index: int | slice) -> Sample | list[Sample]:
        if isinstance(index, slice):
            return list(self._make(index))
        for sample in self._make(slice(index, index + 1 or None)):
            return sample
        raise IndexError(index)

    def _make(self, which: slice) -> Iterator[Sample]:
        timestamps_ms = self._columns.timestamps_ms
        return self._timed(which, timestamps_ms[which]) if timestamps_ms else self._filled(which, Sample)

    def _timed(self, which: slice, timestamps_ms: Iterable[int | None]) -> Iterator[Sample]:
        for sample, timestamp_ms in zip(self._filled(which, _Timed), timestamps_ms, strict=True):
            sample.timestamp_ms = timestamp_ms
            yield sample

    def _filled(self, which: slice, make: type[S]) -> Iterator[S]:
        columns = self._columns
        known = repeat(None) if columns.labels is None else columns.labels[which]
        pairs = columns.les[which], columns.values[which]
        for (name, base_labels, types), le, value, labels in zip(columns.series[which], *pairs, known, strict=False):
            sample = make()
            sample.name = name
            sample.base_labels = base_labels
            sample.le = le
            sample.value = value
            sample._types = types
            if labels is not None:
                sample.labels = labels
            elif le is None:
                sample.labels = base_labels
            else:
                # As `all_labels`, without a call.
                sample.labels = labels = base_labels.copy()
                labels["le"] = le
            yield sample


class Exposition:
    """A page that was read.

    Its `samples`; the same as a `layout` and the `values` beside it; `types` by family, as declared; the first
    `bad_lines` and their count.
    """

    def __init__(self, columns: Columns, layout: Layout) -> None:
        self._columns = columns
        self.samples = Samples(columns)
        self.layout = layout
        self.values: Sequence[float] = columns.values
        self.types: Mapping[str, str] = columns.types
        self.bad_lines: Sequence[BadLine] = columns.bad_lines
        self.bad_line_count = columns.bad_line_count

    def lines(self, page: bytes) -> Lines:
        """The page that it was read from as lines and numbers."""
        heads = self.layout.heads
        return Lines.of(page) if heads is None else Lines.known(page, heads, self.values)

    def earlier(self, lines: Lines) -> "Exposition":
        """An earlier page of the same server. Raises ExpositionError."""
        if lines.odd or lines.heads != self.layout.heads:
            return parse(lines.page())
        columns = copy(self._columns)
        columns.values = list(lines.values)
        return Exposition(columns, self.layout)


def parse(page: bytes | str, limits: Limits | None = None) -> Exposition:
    """Read a page into samples, in its order.

    A histogram stays as its `_bucket`, `_sum` and `_count` series. A page of comments, or of nothing, has no samples.
    A malformed line is skipped and counted, and the first few are listed in `bad_lines`.

    A page that was kept is read without limits: it was within those of its day.
    Raises ExpositionError when nothing can be read, or when more lines are bad than are samples; PageLimitError.
    """
    if isinstance(page, str):
        page = page.encode("utf-8", "surrogatepass")
    if eof := _eof.search(page[-7:]):
        columns, layout = shape.read(page[: -len(eof[1])], OPENMETRICS, limits)
    else:
        try:
            columns, layout = shape.read(page, TEXT, limits)
        except OpenMetricsFound:
            columns, layout = shape.read(page, OPENMETRICS, limits)
    if columns.bad_line_count > len(columns.values):
        raise columns.error()
    if columns.timestamps_ms:
        columns.timestamps_ms += repeat(None, len(columns.values) - len(columns.timestamps_ms))
    return Exposition(columns, layout)
