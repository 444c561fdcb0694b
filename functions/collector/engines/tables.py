"""The words engine tables are written in: where a value stands on a page and how it is folded over ranks.

A table maps a field to its sources in order of preference; each reads one value, or None: "the page does not say".
"""

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import chain
from typing import Any, Protocol

from collector.distributions import Buckets
from collector.engines.page import Indexes, Page, Reading
from collector.sections import Distribution, Model

SPLIT_AT_MOST = 32

Across = Callable[[Mapping[Any, float], Reading], float]


class Source(Protocol):
    def read(self, at: Reading) -> Any: ...


Table = Mapping[str, Sequence[Source]]


def read(table: Table, at: Reading) -> dict[str, Any]:
    """Each field with the first source that says something; fields that none does are left out."""
    values = {}
    for name, sources in table.items():
        for source in sources:
            value = source.read(at)
            if value is not None:
                values[name] = value
                break
    return values


def total(values: Mapping[Any, float], at: Reading) -> float:
    return sum(values.values())


def largest(values: Mapping[Any, float], at: Reading) -> float:
    return max(values.values())


def mean(values: Mapping[Any, float], at: Reading) -> float:
    return sum(values.values()) / len(values)


def weighted_by(name: str) -> Across:
    """The mean over groups, each counted as much as its own `name` says; the plain mean where it says nothing."""

    def weighted(values: Mapping[Any, float], at: Reading) -> float:
        weights = {group: at.total(indexes) or 0.0 for group, indexes in at.page.by_group(name).items()}
        whole = sum(weights.get(group, 0.0) for group in values)
        if not whole:
            return mean(values, at)
        return sum(value * weights.get(group, 0.0) for group, value in values.items()) / whole

    return weighted


# A page keeps what each source has found on it, by the source's identity: they are made once, never while reading.


@dataclass(frozen=True, eq=False)
class Series:
    """All of a name's series added up: what the tokenizer and the HTTP server count, over every label."""

    name: str
    where: Mapping[str, str | None] = field(default_factory=dict)  # label → value; None: absent
    scale: float = 1.0
    across: Across = total

    def read(self, at: Reading, suffix: str = "") -> float | None:
        parts = self.parts(at, suffix)
        if not parts:
            return None
        if len(parts) == 1:  # as on most servers, and folded it is itself
            [indexes] = parts.values()
            value = at.total(indexes)
            return None if value is None else value * self.scale
        known = {part: value for part, indexes in parts.items() if (value := at.total(indexes)) is not None}
        return self.across(known, at) * self.scale if known else None

    def parts(self, at: Reading, suffix: str = "") -> Mapping[Any, Indexes]:
        """The series that count, in the parts that are folded `across`; a part without any is left out."""
        page = at.page
        parts: Mapping[Any, Indexes] | None = page.memo.get((self, suffix))
        if parts is None:
            found = self.split(page, self.name + suffix)
            held = {part: [i for i in indexes if self.holds(page, i)] for part, indexes in found.items()}
            parts = page.memo[self, suffix] = {part: indexes for part, indexes in held.items() if indexes}
        return parts

    def split(self, page: Page, name: str) -> Mapping[Any, Indexes]:
        return {None: page.indexes(name)}

    def holds(self, page: Page, index: int) -> bool:
        """Whether a series has the labels that are asked for."""
        labels = page.labels(index)
        return all(labels.get(label) == value for label, value in self.where.items())

    def is_on(self, page: Page) -> bool:
        return any(self.holds(page, index) for index in page.indexes(self.name))


@dataclass(frozen=True, eq=False)
class PerGroup(Series):
    """One rank of each data-parallel group, whose other ranks repeat it, then `across` the groups."""

    def parts(self, at: Reading, suffix: str = "") -> Mapping[Any, Indexes]:
        parts = super().parts(at, suffix)
        if at.group is None:
            return parts
        return {at.group: parts[at.group]} if at.group in parts else {}

    def split(self, page: Page, name: str) -> Mapping[Any, Indexes]:
        return page.by_group(name)


@dataclass(frozen=True, eq=False)
class PerRank(Series):
    """Every rank's own: what is per GPU."""

    def split(self, page: Page, name: str) -> Mapping[Any, Indexes]:
        return page.by_rank(name)


@dataclass(frozen=True, eq=False)
class RankBlind(PerGroup):
    """A scheduler's counter without rank labels in older releases: what stands there is the sum over every rank."""

    def read(self, at: Reading, suffix: str = "") -> float | None:
        value = super().read(at, suffix)
        if value is None or any("tp_rank" in at.page.labels(index) for index in at.page.indexes(self.name)):
            return value
        return value / at.page.ranks_per_group if at.page.ranks_per_group else None


@dataclass(frozen=True, eq=False)
class FromLabel(PerGroup):
    """A number that stands in a label of an `_info` series, whose own value is 1."""

    label: str = ""

    def read(self, at: Reading, suffix: str = "") -> float | None:
        texts = {group: at.page.labels(indexes[0]).get(self.label, "") for group, indexes in self.parts(at).items()}
        known = {group: float(text) for group, text in texts.items() if text.isdecimal() and len(text) < 20}
        return self.across(known, at) * self.scale if known else None


@dataclass(frozen=True, eq=False)
class Born:
    """A counter that is exposed from its first event on: 0 until then, where the page proves `since`.

    That is a release that has it or, for an engine whose releases are not told, a family that is there before it.
    """

    since: str
    counter: Series

    def read(self, at: Reading) -> float | None:
        value = self.counter.read(at)
        if value is not None or self.counter.is_on(at.page):
            return value
        shown_here = at.page.has_tokenizer or isinstance(self.counter, PerGroup | PerRank)
        return 0.0 if shown_here and at.page.proves(self.since) else None


@dataclass(frozen=True, eq=False)
class Until:
    """A name that later releases still declare but never set: read only while the page proves no such release."""

    gone_by: str
    source: Source

    def read(self, at: Reading) -> Any:
        return None if at.page.proves(self.gone_by) else self.source.read(at)


def status_class(code: str) -> str:
    """`2xx`, `5xx`, …"""
    return code[:1] + "xx"


@dataclass(frozen=True, eq=False)
class By:
    """A counter split by a label's values; past the first few, which no real server has, they are `other`."""

    label: str
    counter: Series
    name_of: Callable[[str], str] = str
    passes_over: Callable[[Mapping[str, str]], bool] | None = None  # by the other labels

    def read(self, at: Reading) -> dict[str, float] | None:
        split = self._split(at)
        return None if split is None else {name: at.total(indexes) or 0.0 for name, indexes in split.items()}

    def _split(self, at: Reading) -> Mapping[str, Indexes] | None:
        """The series by name; None where none has the label."""
        key = self, at.group
        if key not in at.page.memo:
            by_value: dict[str, list[int]] = defaultdict(list)
            for index in chain.from_iterable(self.counter.parts(at).values()):
                by_value[at.page.labels(index).get(self.label, "")].append(index)
            by_value.pop("", None)
            at.page.memo[key] = self._named(by_value, at.page) if by_value else None
        split: Mapping[str, Indexes] | None = at.page.memo[key]
        return split

    def _named(self, by_value: Mapping[str, Indexes], page: Page) -> Mapping[str, Indexes]:
        split: dict[str, list[int]] = defaultdict(list)
        for value, indexes in sorted(by_value.items()):
            if counted := [i for i in indexes if not (self.passes_over and self.passes_over(page.labels(i)))]:
                name = self.name_of(value)
                split[name if name in split or len(split) < SPLIT_AT_MOST else "other"] += counted
        return split


@dataclass(frozen=True, eq=False)
class Mean:
    """A histogram's mean: its sum over its count; None while nothing was observed."""

    histogram: Series

    def read(self, at: Reading) -> float | None:
        observed, count = self.histogram.read(at, "_sum"), self._unscaled.read(at, "_count")
        return observed / count if observed is not None and count else None

    @cached_property
    def _unscaled(self) -> Series:
        return replace(self.histogram, scale=1.0)


@dataclass(frozen=True, eq=False)
class Histogram:
    """A histogram over all the series that its source selects; its count alone where no quantile is asked for."""

    histogram: Series

    def read(self, at: Reading) -> Distribution | None:
        if not at.quantiles:
            count = self._unscaled.read(at, "_count")
            return None if count is None else Distribution(count=count)
        bounds, series = self._buckets(at)
        counts = [sum(of_bound) for of_bound in zip(*(at.pick(indexes) for indexes in series), strict=True)]
        cumulative = dict(zip(bounds, counts, strict=True))
        if not (math.isfinite(sum(counts)) and min(counts, default=0) >= 0):
            cumulative = {bound: count for bound, count in cumulative.items() if 0 <= count < math.inf}
        if not cumulative:
            return None
        total = self.histogram.read(at, "_sum")
        return Buckets(cumulative, total=math.nan if total is None else total).summarise(at.quantiles)

    @cached_property
    def _unscaled(self) -> Series:
        return replace(self.histogram, scale=1.0)

    def _buckets(self, at: Reading) -> tuple[Sequence[float], Sequence[Indexes]]:
        """Upper bounds, and for each series its buckets: only bounds that all of them have can be added."""
        buckets: tuple[Sequence[float], Sequence[Indexes]] | None = at.page.memo.get(self)
        if buckets is None:
            by_bound: dict[float, list[int]] = defaultdict(list)
            for indexes in self.histogram.parts(at, "_bucket").values():
                for index in indexes:
                    if (bound := _bound(at.page.les[index])) is not None:
                        by_bound[bound * self.histogram.scale].append(index)
            everywhere = max(map(len, by_bound.values()), default=0)
            common = {bound: indexes for bound, indexes in by_bound.items() if len(indexes) == everywhere}
            buckets = at.page.memo[self] = list(common), list(zip(*common.values(), strict=True))
        return buckets


@dataclass(frozen=True, eq=False)
class Part:
    """A part that a server may lack altogether, with a table of its own: None when the page shows nothing of it."""

    model: type[Model]
    table: Table

    def read(self, at: Reading) -> Model | None:
        values = read(self.table, at)
        return self.model(**values) if values else None


def _bound(le: str | None) -> float | None:
    """The upper bound of a bucket; None for what is no bound."""
    try:
        bound = float(le) if le is not None else math.nan
    except ValueError:
        return None
    return bound if bound > -math.inf else None
