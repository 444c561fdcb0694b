"""A page as the engine tables see it: series by name, ranks told apart, duplicates taken once.

Which series a value is made of follows from the page's layout alone, so a `Page` is made once for all pages that share
one; a `Reading` has the values of one of them, or the differences of two.
"""

import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from collector.distributions import QUANTILES
from collector.engines.releases import NO_RANGE, Releases
from collector.layout import Layout

# Where one page shows two types, the one that answers the client counts: its requests went through the other too.
ENGINE_TYPE_PREFERENCE = ("decode", "unified", "prefill")

Indexes = Sequence[int]


@dataclass(frozen=True)
class Ranks:
    """Which labels say where a series comes from, and which families tell what ranks there are.

    `families` are exposed by every rank; `model_families` name the model where no rank does yet.
    """

    families: Sequence[str]
    model_families: Sequence[str] = ()
    model: str = "model_name"
    data: str = "dp_rank"
    pipeline: str = "pp_rank"
    tensor: str = "tp_rank"
    worker: str = "worker_addr"  # on a page that a router gathers from several servers


class Group(NamedTuple):
    """One data-parallel rank: its tensor and pipeline ranks all run the same batch."""

    worker: str
    model: str
    dp_rank: str


class Place(NamedTuple):
    """Where a series comes from: a data-parallel rank, and in it a pipeline and a tensor rank."""

    group: Group
    rank: tuple[int, int]


class Page:
    """The series of a layout, looked up by their colon names; a series is where it stands.

    What sources find out about the page they keep in `memo`.
    """

    def __init__(self, layout: Layout, ranks: Ranks, releases: Releases | None = None) -> None:
        self._ranks = ranks
        self._releases = releases
        self.les = layout.les
        self.memo: dict[Any, Any] = {}
        self._series, self._by_name = layout.series, layout.by_name
        self._by_group: dict[str, Mapping[Group, Indexes]] = {}
        of_ranks = [index for name in ranks.families for index in self._all_indexes(name)]
        of_models = [index for name in ranks.model_families for index in self._all_indexes(name)]
        self.engine_types = _by_preference(
            self.label_values(of_ranks, "engine_type") or self.label_values(of_models, "engine_type")
        )
        self.engine_type = next(iter(self.engine_types), None)
        self.models = tuple(sorted(self.label_values([*of_ranks, *of_models], ranks.model)))
        # Some families leave the model out where their siblings on the same server name it.
        self._unnamed_model = self.models[0] if len(self.models) == 1 else ""
        self._ranks_by_group: dict[Group, set[tuple[int, int]]] = defaultdict(set)
        for index in self._of_engine_type(of_ranks):
            group, rank = self._place(index)
            self._ranks_by_group[group].add(rank)
        # The data-parallel ranks, in their order.
        self.groups = sorted(
            self._ranks_by_group, key=lambda group: (group.worker, group.model, _number(group.dp_rank))
        )

        self.version_range = releases.range_of(self) if releases else NO_RANGE

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and bool(self._all_indexes(name))

    def proves(self, since: str) -> bool:
        """Whether its families prove a release; a family that is on it, for an engine whose releases are not told."""
        return self._releases.reaches(self.version_range, since) if self._releases else since in self

    @cached_property
    def ranks_per_group(self) -> int | None:
        """Tensor times pipeline ranks, where every group has as many; None where the page does not say."""
        sizes = {len(ranks) for ranks in self._ranks_by_group.values()}
        return sizes.pop() if len(sizes) == 1 else None

    @cached_property
    def has_tokenizer(self) -> bool:
        """False on the page of a multi-node server's later nodes, which hold none of the tokenizer's series."""
        ranks = {rank for group in self._ranks_by_group.values() for rank in group}
        return not ranks or (0, 0) in ranks

    def lowest_rank(self, group: Group) -> tuple[int, int]:
        """The (pipeline, tensor) rank that a group is read from."""
        return min(self._ranks_by_group[group])

    def labels(self, index: int) -> Mapping[str, str]:
        """A series' labels without `le`."""
        return self._series[index][1]

    def label_values(self, indexes: Iterable[int], label: str) -> set[str]:
        return {value for index in indexes if (value := self.labels(index).get(label))}

    def indexes(self, name: str) -> Indexes:
        """The series of a name that count for this server: engine types are never added up."""
        return self._of_engine_type(self._all_indexes(name))

    def by_group(self, name: str) -> Mapping[Group, Indexes]:
        """One rank's series per data-parallel group: the lowest pipeline, then tensor rank. The others repeat it."""
        if name not in self._by_group:
            ranks: dict[Group, dict[tuple[tuple[int, int], str], list[int]]] = {}
            for index in self.indexes(name):
                group, rank = self._place(index)
                of_group = ranks.setdefault(group, {})
                of_group.setdefault((rank, self.labels(index).get(self._ranks.data, "")), []).append(index)
            self._by_group[name] = {group: self._totals(of_group[min(of_group)]) for group, of_group in ranks.items()}
        return self._by_group[name]

    def by_rank(self, name: str) -> Mapping[Place, Indexes]:
        """Every rank's own series: what is per GPU."""
        ranks: dict[Place, list[int]] = defaultdict(list)
        for index in self.indexes(name):
            ranks[self._place(index)].append(index)
        return {rank: self._totals(indexes) for rank, indexes in ranks.items()}

    def _all_indexes(self, name: str) -> Indexes:
        """In either spelling: OpenMetrics and the router write `sglang_` for `sglang:`."""
        return self._by_name.get(name) or self._by_name.get(name.replace(":", "_", 1)) or ()

    def _of_engine_type(self, indexes: Indexes) -> Indexes:
        if len(self.engine_types) < 2:
            return indexes
        # The tokenizer says "unified" or nothing where the scheduler already says "decode": a name's own series decide.
        if self.engine_type not in self.label_values(indexes, "engine_type"):
            return indexes
        return [index for index in indexes if self.labels(index).get("engine_type") == self.engine_type]

    def _place(self, index: int) -> Place:
        labels = self.labels(index)
        ranks = self._ranks
        group = Group(
            labels.get(ranks.worker, ""),
            labels.get(ranks.model) or self._unnamed_model,
            # Some families say dp_rank="0" where their siblings on the same server say nothing.
            labels.get(ranks.data) or "0",
        )
        return Place(group, (_number(labels.get(ranks.pipeline)), _number(labels.get(ranks.tensor))))

    def _totals(self, indexes: Indexes) -> Indexes:
        """Without a breakdown by priority beside its total; one series where only the process id differs."""
        if any(self.labels(index).get("priority") == "" for index in indexes):
            indexes = [index for index in indexes if not self.labels(index).get("priority")]
        if not any("pid" in self.labels(index) for index in indexes):
            return indexes
        without_pid = {(self.les[index], *_without_pid(self.labels(index))): index for index in indexes}
        return list(without_pid.values())


@dataclass(frozen=True, slots=True)
class Reading:
    """The values of a page, in its order; of one group's ranks alone where `group` is given."""

    page: Page
    values: Sequence[float]
    group: Group | None = None
    quantiles: Collection[str] = tuple(QUANTILES)
    """Those that distributions are to have."""

    def total(self, indexes: Indexes) -> float | None:
        """The sum of those that are finite; None where none is."""
        values = self.values
        if len(indexes) == 1:  # as most values are
            value = values[indexes[0]]
            return value if math.isfinite(value) else None
        finite = [value for index in indexes if math.isfinite(value := values[index])]
        return sum(finite) if finite else None

    def pick(self, indexes: Indexes) -> list[float]:
        values = self.values
        return [values[index] for index in indexes]


def _without_pid(labels: Mapping[str, str]) -> list[tuple[str, str]]:
    return sorted((name, value) for name, value in labels.items() if name != "pid")


def _number(text: str | None) -> int:
    return int(text) if text and text.isdecimal() and len(text) < 10 else 0


def _by_preference(engine_types: set[str]) -> tuple[str, ...]:
    known = [name for name in ENGINE_TYPE_PREFERENCE if name in engine_types]
    return (*known, *sorted(engine_types.difference(known)))
