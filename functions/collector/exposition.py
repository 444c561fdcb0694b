"""A metrics page as samples: Prometheus' text format 0.0.4, and OpenMetrics 1.0 where a line of the page is `# EOF`."""

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from itertools import repeat
from typing import overload

from collector import shape
from collector.columns import BadLine, Columns, Series
from collector.grammar import OPENMETRICS, TEXT, OpenMetricsFound

_eof = re.compile(rb"(?:\A|\n)(# EOF\n?)\Z")


class Sample:
    """One line's value.

    `value` is a float, NaN and ±Inf included; `timestamp_ms` is in milliseconds since 1970, None on most pages. `le` is
    the bound of a `_bucket` as Prometheus spells it (`1` as `1.0`), None for any other sample.

    `labels` has all labels, put together when asked for. `base_labels` has them without `le`: one object for all the
    buckets of a run and, where the labels are written alike, for `_sum` and `_count`. Neither is to be changed.
    """

    __slots__ = ("_series", "le", "name", "value")

    timestamp_ms: int | None = None

    def __init__(self, series: Series, le: str | None, value: float) -> None:
        self._series = series
        self.name = series[0]
        self.le = le
        self.value = value

    @property
    def labels(self) -> dict[str, str]:
        # As `all_labels`, without a call: it is asked for with every sample.
        le = self.le
        labels = self._series[1]
        if le is None:
            return labels
        labels = labels.copy()
        labels["le"] = le
        return labels

    @property
    def base_labels(self) -> dict[str, str]:
        return self._series[1]

    @property
    def type(self) -> str:
        """The type that the page declares for the sample's family, `untyped` where it declares none."""
        return self._series[2][self.name]

    def __repr__(self) -> str:
        facts = self.name, self.labels, self.value, self.timestamp_ms, self.type
        return "Sample(name={!r}, labels={!r}, value={!r}, timestamp_ms={!r}, type={!r})".format(*facts)


class _Labelled(Sample):
    """A sample of a page whose labels have been put together already."""

    __slots__ = ("labels",)
    labels: dict[str, str]

    def __init__(self, series: Series, le: str | None, value: float, labels: dict[str, str]) -> None:
        self._series = series
        self.name = series[0]
        self.le = le
        self.value = value
        self.labels = labels


class _Timed(Sample):
    """A sample of a page that has timestamps."""

    __slots__ = ("timestamp_ms",)

    def __init__(self, series: Series, le: str | None, value: float, timestamp_ms: int | None) -> None:
        super().__init__(series, le, value)
        self.timestamp_ms = timestamp_ms


class Samples(Sequence[Sample]):
    """The samples of a page, in its order. They are kept as columns: a `Sample` is made when one is asked for."""

    def __init__(self, columns: Columns) -> None:
        self._columns = columns

    def __len__(self) -> int:
        return len(self._columns.values)

    def __iter__(self) -> Iterator[Sample]:
        columns = self._columns
        if columns.timestamps_ms:
            return map(_Timed, columns.series, columns.les, columns.values, columns.timestamps_ms)
        if columns.labels is not None:
            return map(_Labelled, columns.series, columns.les, columns.values, columns.labels)
        return map(Sample, columns.series, columns.les, columns.values)

    @overload
    def __getitem__(self, index: int) -> Sample: ...
    @overload
    def __getitem__(self, index: slice) -> list[Sample]: ...
    def __getitem__(self, index: int | slice) -> Sample | list[Sample]:
        if isinstance(index, slice):
            return list(self)[index]
        columns = self._columns
        timestamp_ms = columns.timestamps_ms[index] if columns.timestamps_ms else None
        return _Timed(columns.series[index], columns.les[index], columns.values[index], timestamp_ms)


class Exposition:
    """A page that was read: its `samples`; `types` by family, as declared; the first `bad_lines` and their count."""

    def __init__(self, columns: Columns) -> None:
        self.samples = Samples(columns)
        self.types: Mapping[str, str] = columns.types
        self.bad_lines: Sequence[BadLine] = columns.bad_lines
        self.bad_line_count = columns.bad_line_count

    @cached_property
    def by_name(self) -> Mapping[str, Sequence[Sample]]:
        """The samples by their name, each in the page's order."""
        by_name: dict[str, list[Sample]] = {}
        for sample in self.samples:
            by_name.setdefault(sample.name, []).append(sample)
        return by_name


def parse(page: bytes | str) -> Exposition:
    """Read a page into samples, in its order.

    A histogram stays as its `_bucket`, `_sum` and `_count` series. A page of comments, or of nothing, has no samples.
    A malformed line is skipped and counted, and the first few are listed in `bad_lines`.

    Raises ExpositionError when nothing can be read, or when more lines are bad than are samples.
    """
    if isinstance(page, str):
        page = page.encode("utf-8", "surrogatepass")
    if eof := _eof.search(page[-7:]):
        columns = shape.read(page[: -len(eof[1])], OPENMETRICS)
    else:
        try:
            columns = shape.read(page, TEXT)
        except OpenMetricsFound:
            columns = shape.read(page, OPENMETRICS)
    if columns.bad_line_count > len(columns.values):
        raise columns.error()
    if columns.timestamps_ms:
        columns.timestamps_ms += repeat(None, len(columns.values) - len(columns.timestamps_ms))
    return Exposition(columns)
