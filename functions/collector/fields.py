"""What a caller wants of each scrape: fields of the snapshot by their path, and series of the page by a selector.

`system_metrics.num_requests_running`, `interval.time_to_first_token.p95.value`, `health.status`: as an answer has them.
`sglang:num_running_reqs{dp_rank="0"}`: the sum over the page's series of that name with those labels.
"""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from collector.exposition import Exposition
from collector.item import HEADLINES
from collector.layout import Layout
from collector.paths import NOT_FIELDS, check_path
from collector.reading import THROUGHPUT, Detail
from collector.snapshot import Snapshot

FIELDS_AT_MOST = 50
DEFAULT = ("health.status", *HEADLINES)

_name = re.compile(r"[A-Za-z_:][A-Za-z0-9_:]*").fullmatch
_label = re.compile(r'\s*([A-Za-z_][A-Za-z0-9_]*)\s*=\s*"((?:[^"\\]|\\.)*)"\s*(?:,|\Z)', re.DOTALL).match
_piece = re.compile(r'[^,{}"]*(?:\{((?:[^"{}]|"(?:[^"\\]|\\.)*")*)\})?\s*', re.DOTALL).match
_escaped = re.compile(r"\\(.)", re.DOTALL)

Value = float | int | str | bool | None


class Sources(NamedTuple):
    """What the fields of a row are read from. None: there is none."""

    parts: Mapping[str, Any]
    """Fields of the snapshot by name, `interval` and `health` among them."""
    exposition: Exposition | None


@dataclass(frozen=True)
class Typed:
    """A field of the snapshot."""

    text: str
    path: tuple[str, ...]

    def read(self, sources: Sources) -> Value:
        value: Any = sources.parts.get(self.path[0])
        for at, part in enumerate(self.path[1:], 1):
            if value is None:
                return None
            if isinstance(value, dict):
                return _plain(value.get(".".join(self.path[at:])))
            if isinstance(value, tuple):
                value = value[int(part)] if int(part) < len(value) else None
            else:
                value = getattr(value, part)
        return _plain(value)


@dataclass(frozen=True)
class Selected:
    """Series of the page, added up."""

    text: str
    name: str
    labels: Mapping[str, str]
    _places: WeakKeyDictionary[Layout, Sequence[int]] = field(default_factory=WeakKeyDictionary, compare=False)

    def read(self, sources: Sources) -> Value:
        if sources.exposition is None:
            return None
        layout, values = sources.exposition.layout, sources.exposition.values
        places = self._places.get(layout)
        if places is None:
            named = layout.by_name.get(self.name, ())
            places = self._places[layout] = [place for place in named if self._holds(layout, place)]
        return _plain(sum(values[place] for place in places)) if places else None

    def _holds(self, layout: Layout, place: int) -> bool:
        labels, le = layout.series[place][1], layout.les[place]
        return all(
            _same_bound(le, value) if label == "le" and le is not None else labels.get(label, "") == value
            for label, value in self.labels.items()
        )


Field = Typed | Selected


@dataclass(frozen=True)
class Fields:
    """A row's columns, and what has to be known for them."""

    columns: tuple[Field, ...]

    @cached_property
    def texts(self) -> list[str]:
        return [column.text for column in self.columns]

    @cached_property
    def roots(self) -> set[str]:
        return {column.path[0] for column in self.columns if isinstance(column, Typed)}

    @cached_property
    def need_series(self) -> bool:
        return any(isinstance(column, Selected) for column in self.columns)

    @cached_property
    def need_snapshot(self) -> bool:
        return bool(self.roots - {"interval", "health"})

    @cached_property
    def need_interval(self) -> bool:
        return "interval" in self.roots or THROUGHPUT in self.texts

    @cached_property
    def detail(self) -> Detail:
        """The quantiles and fields that are asked for."""
        return Detail.of([column.text for column in self.columns if isinstance(column, Typed)])

    @cached_property
    def need_findings(self) -> bool:
        return any(column.path[:2] == ("health", "findings") for column in self.columns if isinstance(column, Typed))

    @cached_property
    def of_interval(self) -> set[str]:
        return {text for text in self.texts if text.startswith("interval.") or text == THROUGHPUT}

    def need_pages(self, stepwise: bool) -> bool:
        """Whether the items' headlines do not do: those of an interval are of the scrape before, not of a step."""
        told = HEADLINES.keys() - (self.of_interval if stepwise else set())
        return self.need_series or any(
            column.path[0] != "health" and column.text not in told
            for column in self.columns
            if isinstance(column, Typed)
        )

    def read(self, sources: Sources) -> dict[str, Value]:
        return {column.text: column.read(sources) for column in self.columns}

    def headlines(self, item: Mapping[str, Any], health: Any) -> dict[str, Value]:
        """What an item says without its page; None for all else."""
        sources = Sources({"health": health}, None)
        return {
            column.text: _number(item.get(HEADLINES[column.text])) if column.text in HEADLINES else column.read(sources)
            for column in self.columns
        }


def read_fields(text: str) -> Fields:
    """Fields with commas between. Raises ValueError naming the one that is wrong."""
    columns = {piece: _read_field(piece, labels) for piece, labels in _pieces(text)}
    if len(columns) > FIELDS_AT_MOST:
        raise ValueError(f"{len(columns)} fields are more than {FIELDS_AT_MOST}")
    return Fields(tuple(columns.values()))


def _pieces(text: str) -> Iterator[tuple[str, str | None]]:
    """Each field, and what stands in its braces."""
    at = 0
    while True:
        found = _piece(text, at)
        assert found
        end = found.end()
        if end < len(text) and text[end] != ",":
            raise ValueError(f'{text[at:][:80]!r} is no field: name, or name{{label="value"}}')
        yield found[0].strip(), found[1]
        if end >= len(text):
            return
        at = end + 1


def _read_field(text: str, labels: str | None) -> Field:
    name = text.partition("{")[0].rstrip()
    root, *rest = name.split(".")
    if labels is None and name in NOT_FIELDS:
        raise ValueError(f"{name!r} is no field: each row has its own, or it is the whole page")
    if labels is None and root in Snapshot.model_fields:
        check_path(name, Snapshot.model_fields[root].annotation, rest)
        return Typed(text, (root, *rest))
    if not _name(name):
        raise ValueError(f"{text[:80]!r} is neither a field of the snapshot nor a metric's name")
    return Selected(text, name, dict(_read_labels(text, labels or "")))


def _read_labels(text: str, labels: str) -> Iterator[tuple[str, str]]:
    at = 0
    while labels[at:].strip():
        found = _label(labels, at)
        if not found:
            raise ValueError(f'{text[:80]!r}: labels are written label="value", with commas between')
        yield found[1], _escaped.sub(lambda escaped: {"n": "\n"}.get(escaped[1], escaped[1]), found[2])
        at = found.end()


def _same_bound(le: str, wanted: str) -> bool:
    """`1` is `1.0`."""
    try:
        return le == wanted or float(le) == float(wanted)
    except ValueError:
        return False


def _number(attribute: Mapping[str, str] | None) -> Value:
    if attribute is None:
        return None
    value = float(attribute["N"])
    return int(value) if value.is_integer() else value


def _plain(value: Any) -> Value:
    """As JSON and CSV have it. None for what is no number: NaN, infinities."""
    match value:
        case float():
            return value if math.isfinite(value) else None
        case datetime():
            return value.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        case tuple():
            return ", ".join(map(str, value))
    plain: Value = value
    return plain
