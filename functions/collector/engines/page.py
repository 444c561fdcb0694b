"""A page as the engine tables see it: series by name, ranks told apart, duplicates taken once."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import copy
from typing import NamedTuple

from collector.exposition import Exposition, Sample

# Where one page shows two types, the one that answers the client counts: its requests went through the other too.
ENGINE_TYPE_PREFERENCE = ("decode", "unified", "prefill")


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
    """The series of an exposition, looked up by their colon names.

    `rank_families` are exposed by every rank: they tell which ranks and engine types there are. `model_families` name
    the model where no rank does yet. `proves` says whether the page's families prove a release.
    """

    def __init__(
        self,
        exposition: Exposition,
        rank_families: Iterable[str],
        model_families: Iterable[str],
        proves: Callable[[str], bool],
    ) -> None:
        self.proves = proves
        self._by_name = exposition.by_name
        self._by_group: dict[str, dict[Group, list[Sample]]] = {}
        self._only: Group | None = None
        # By the identity of labels: series whose labels are written alike share them, and most are.
        self._places: dict[int, Place] = {}
        of_ranks = [sample for name in rank_families for sample in self._all_series(name)]
        of_models = [sample for name in model_families for sample in self._all_series(name)]
        self.engine_types = _by_preference(_values(of_ranks, "engine_type") or _values(of_models, "engine_type"))
        self.engine_type = next(iter(self.engine_types), None)
        self.models = tuple(sorted(_values([*of_ranks, *of_models], "model_name")))
        self._ranks_by_group: dict[Group, set[tuple[int, int]]] = defaultdict(set)
        for sample in self._of_engine_type(of_ranks):
            group, rank = self._place(sample)
            self._ranks_by_group[group].add(rank)

    @property
    def groups(self) -> list[Group]:
        """The data-parallel ranks, in their order."""
        return sorted(self._ranks_by_group, key=lambda group: (group.worker, group.model, _number(group.dp_rank)))

    @property
    def ranks_per_group(self) -> int | None:
        """Tensor times pipeline ranks, where every group has as many; None where the page does not say."""
        sizes = {len(ranks) for ranks in self._ranks_by_group.values()}
        return sizes.pop() if len(sizes) == 1 else None

    @property
    def has_tokenizer(self) -> bool:
        """False on the page of a multi-node server's later nodes, which hold none of the tokenizer's series."""
        ranks = {rank for group in self._ranks_by_group.values() for rank in group}
        return not ranks or (0, 0) in ranks

    def lowest_rank(self, group: Group) -> tuple[int, int]:
        """The (pipeline, tensor) rank that a group is read from."""
        return min(self._ranks_by_group[group])

    def only(self, group: Group) -> "Page":
        """The same page with the ranks of one group."""
        view = copy(self)
        view._only = group
        return view

    def series(self, name: str) -> Sequence[Sample]:
        """The series of a name that count for this server: engine types are never added up."""
        return self._of_engine_type(self._all_series(name))

    def by_group(self, name: str) -> Mapping[Group, list[Sample]]:
        """One rank's series per data-parallel group: the lowest pipeline, then tensor rank. The others repeat it."""
        if name not in self._by_group:
            ranks: dict[Group, dict[tuple[tuple[int, int], str], list[Sample]]] = {}
            for sample in self.series(name):
                group, rank = self._place(sample)
                of_group = ranks.setdefault(group, {})
                of_group.setdefault((rank, sample.base_labels.get("dp_rank", "")), []).append(sample)
            self._by_group[name] = {group: _totals(of_group[min(of_group)]) for group, of_group in ranks.items()}
        return self._in_view(self._by_group[name])

    def by_rank(self, name: str) -> Mapping[Place, list[Sample]]:
        """Every rank's own series: what is per GPU."""
        ranks: dict[Place, list[Sample]] = defaultdict(list)
        for sample in self.series(name):
            ranks[self._place(sample)].append(sample)
        return {rank: _totals(samples) for rank, samples in ranks.items()}

    def _place(self, sample: Sample) -> Place:
        labels = sample.base_labels
        place = self._places.get(id(labels))
        if place is None:
            # Some families say dp_rank="0" where their siblings on the same server say nothing.
            group = Group(labels.get("worker_addr", ""), labels.get("model_name", ""), labels.get("dp_rank") or "0")
            place = Place(group, (_number(labels.get("pp_rank")), _number(labels.get("tp_rank"))))
            self._places[id(labels)] = place
        return place

    def _all_series(self, name: str) -> Sequence[Sample]:
        """In either spelling: OpenMetrics and the router write `sglang_` for `sglang:`."""
        return self._by_name.get(name) or self._by_name.get(name.replace(":", "_", 1)) or ()

    def _in_view(self, by_group: dict[Group, list[Sample]]) -> dict[Group, list[Sample]]:
        if self._only is None:
            return by_group
        return {self._only: by_group[self._only]} if self._only in by_group else {}

    def _of_engine_type(self, samples: Sequence[Sample]) -> Sequence[Sample]:
        if len(self.engine_types) < 2:
            return samples
        # The tokenizer says "unified" or nothing where the scheduler already says "decode": a name's own series decide.
        own = _values(samples, "engine_type")
        if self.engine_type not in own:
            return samples
        return [sample for sample in samples if sample.base_labels.get("engine_type") == self.engine_type]


def _number(text: str | None) -> int:
    return int(text) if text and text.isdecimal() and len(text) < 10 else 0


def _totals(samples: list[Sample]) -> list[Sample]:
    """Without a breakdown by priority that stands beside its total; one series where only the process id differs."""
    if any(sample.base_labels.get("priority") == "" for sample in samples):
        samples = [sample for sample in samples if not sample.base_labels.get("priority")]
    if not any("pid" in sample.base_labels for sample in samples):
        return samples
    without_pid = {tuple(sorted((k, v) for k, v in sample.labels.items() if k != "pid")): sample for sample in samples}
    return list(without_pid.values())


def _values(samples: Iterable[Sample], label: str) -> set[str]:
    return {value for sample in samples if (value := sample.base_labels.get(label))}


def _by_preference(engine_types: set[str]) -> tuple[str, ...]:
    known = [name for name in ENGINE_TYPE_PREFERENCE if name in engine_types]
    return (*known, *sorted(engine_types.difference(known)))
