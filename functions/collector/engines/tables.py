"""The words engine tables are written in: where a value stands on a page and how it is folded over ranks.

A table maps a field to its sources in order of preference; each reads one value, or None: "the page does not say".
"""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, Protocol

from collector.distributions import Buckets
from collector.engines.page import Page
from collector.exposition import Sample
from collector.snapshot import Distribution

SPLIT_AT_MOST = 32

Across = Callable[[Mapping[Any, float], Page], float]


class Source(Protocol):
    def read(self, page: Page) -> Any: ...


Table = Mapping[str, Sequence[Source]]


def read(table: Table, page: Page) -> dict[str, Any]:
    """Each field with the first source that says something; fields that none does are left out."""
    values = {
        name: next((v for source in sources if (v := source.read(page)) is not None), None)
        for name, sources in table.items()
    }
    return {name: value for name, value in values.items() if value is not None}


def total(values: Mapping[Any, float], page: Page) -> float:
    return sum(values.values())


def largest(values: Mapping[Any, float], page: Page) -> float:
    return max(values.values())


def mean(values: Mapping[Any, float], page: Page) -> float:
    return sum(values.values()) / len(values)


def weighted_by(name: str) -> Across:
    """The mean over groups, each counted as much as its own `name` says; the plain mean where it says nothing."""

    def weighted(values: Mapping[Any, float], page: Page) -> float:
        weights = {group: _sum(samples, {}) or 0.0 for group, samples in page.by_group(name).items()}
        whole = sum(weights.get(group, 0.0) for group in values)
        if not whole:
            return mean(values, page)
        return sum(value * weights.get(group, 0.0) for group, value in values.items()) / whole

    return weighted


@dataclass(frozen=True)
class Series:
    """All of a name's series added up: what the tokenizer and the HTTP server count, over every label."""

    name: str
    where: Mapping[str, str | None] = field(default_factory=dict)  # label → value; None: absent
    scale: float = 1.0
    across: Across = total

    def parts(self, page: Page, suffix: str = "") -> Mapping[Any, Sequence[Sample]]:
        return {None: page.series(self.name + suffix)}

    def read(self, page: Page, suffix: str = "") -> float | None:
        parts = {key: _sum(samples, self.where) for key, samples in self.parts(page, suffix).items()}
        known = {key: value for key, value in parts.items() if value is not None}
        return self.across(known, page) * self.scale if known else None


@dataclass(frozen=True)
class PerGroup(Series):
    """One rank of each data-parallel group, whose other ranks repeat it, then `across` the groups."""

    def parts(self, page: Page, suffix: str = "") -> Mapping[Any, Sequence[Sample]]:
        return page.by_group(self.name + suffix)


@dataclass(frozen=True)
class PerRank(Series):
    """Every rank's own: what is per GPU."""

    def parts(self, page: Page, suffix: str = "") -> Mapping[Any, Sequence[Sample]]:
        return page.by_rank(self.name + suffix)


@dataclass(frozen=True)
class RankBlind(PerGroup):
    """A scheduler's counter without rank labels in older releases: what stands there is the sum over every rank."""

    def read(self, page: Page, suffix: str = "") -> float | None:
        value = super().read(page, suffix)
        if value is None or any("tp_rank" in sample.base_labels for sample in page.series(self.name)):
            return value
        return value / page.ranks_per_group if page.ranks_per_group else None


@dataclass(frozen=True)
class Born:
    """A counter that is exposed from its first event on: 0 until then, where the page proves a release that has it."""

    since: str
    counter: Series

    def read(self, page: Page) -> float | None:
        if any(_holds(sample, self.counter.where) for sample in page.series(self.counter.name)):
            return self.counter.read(page)
        shown_here = page.has_tokenizer or isinstance(self.counter, PerGroup | PerRank)
        return 0.0 if shown_here and page.proves(self.since) else None


@dataclass(frozen=True)
class Until:
    """A name that later releases still declare but never set: read only while the page proves no such release."""

    gone_by: str
    source: Source

    def read(self, page: Page) -> Any:
        return None if page.proves(self.gone_by) else self.source.read(page)


@dataclass(frozen=True)
class By:
    """A counter split by a label's values; past the first few, which no real server has, they are `other`."""

    label: str
    counter: Series
    name_of: Callable[[str], str] = str

    def read(self, page: Page) -> dict[str, float] | None:
        found = {
            value
            for sample in page.series(self.counter.name)
            if (value := sample.base_labels.get(self.label)) is not None
        }
        split: dict[str, float] = defaultdict(float)
        for value in sorted(found):
            name = self.name_of(value)
            split[name if name in split or len(split) < SPLIT_AT_MOST else "other"] += (
                replace(self.counter, where={**self.counter.where, self.label: value}).read(page) or 0.0
            )
        return dict(split) or None


@dataclass(frozen=True)
class Mean:
    """A histogram's mean: its sum over its count; None while nothing was observed."""

    histogram: Series

    def read(self, page: Page) -> float | None:
        observed, count = self.histogram.read(page, "_sum"), replace(self.histogram, scale=1.0).read(page, "_count")
        return observed / count if observed is not None and count else None


@dataclass(frozen=True)
class Histogram:
    """A histogram over all the series that its source selects."""

    histogram: Series

    def read(self, page: Page) -> Distribution | None:
        by_bound: dict[float, list[float]] = {}
        for samples in self.histogram.parts(page, "_bucket").values():
            for sample in samples:
                bound = _bound(sample.le)
                if bound is not None and 0 <= sample.value < math.inf and _holds(sample, self.histogram.where):
                    by_bound.setdefault(bound, []).append(sample.value)
        # Series whose bounds differ can only be added where they all have one.
        everywhere = max(map(len, by_bound.values()), default=0)
        scale = self.histogram.scale
        cumulative = {bound * scale: sum(counts) for bound, counts in by_bound.items() if len(counts) == everywhere}
        if not cumulative:
            return None
        return Buckets(cumulative, total=_nan_if_none(self.histogram.read(page, "_sum"))).summarise()


def _sum(samples: Iterable[Sample], where: Mapping[str, str | None]) -> float | None:
    values = [s.value for s in samples if math.isfinite(s.value) and _holds(s, where)]
    return sum(values) if values else None


def _holds(sample: Sample, where: Mapping[str, str | None]) -> bool:
    return not where or all(sample.base_labels.get(label) == value for label, value in where.items())


@lru_cache(maxsize=4096)
def _bound(le: str | None) -> float | None:
    """The upper bound of a bucket; None for what is no bound."""
    try:
        bound = float(le) if le is not None else math.nan
    except ValueError:
        return None
    return bound if bound > -math.inf else None


def _nan_if_none(value: float | None) -> float:
    return math.nan if value is None else value
