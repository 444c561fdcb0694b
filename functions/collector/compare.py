"""What happened between two pages of a server: each counter's difference, series by series, before anything is folded.

The differences stand beside the later page's layout, so the engine tables fold them as they fold the page itself.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from operator import sub
from weakref import WeakKeyDictionary

from collector.exposition import Exposition
from collector.layout import Layout

COUNTING = {"counter", "histogram", "summary", "gaugehistogram"}
# Gauges that a process sets once, when it starts.
START_TIMES = ("startup_time_seconds", "engine_startup_time", "process_start_time_seconds")
# One counter alone may fall by a fault of the server's; two or more do so at a restart.
FALLEN_AT_LEAST = 2

Key = tuple[str, str | None, tuple[tuple[str, str], ...]]
Histogram = tuple[str, tuple[tuple[str, str], ...]]


@dataclass(frozen=True, slots=True)
class Change:
    """The differences of two pages.

    `values` stand beside the later page's samples: how much a counter rose, NaN for what is no counter or cannot be
    said. `steps` are plain differences, of gauges too. `evidence` says why the server must have restarted in between;
    it did not where there is none.
    """

    values: Sequence[float]
    steps: Sequence[float]
    evidence: str | None = None
    notes: tuple[str, ...] = ()

    @property
    def restarted(self) -> bool:
        return self.evidence is not None


def compare(earlier: Exposition, later: Exposition, other_release: str | None = None) -> Change:
    """What happened between two pages of one server.

    A series that is new has risen from zero: counters appear with their first event. After a restart all have, if a
    process is proven to be another; where only falling counters tell of it, those that fell have. Where the counts of
    the process before are still summed up with the new one's, none has. `other_release` says why the server must be of
    another release than before: then it restarted, whatever its counters are called now and have come to.
    """
    before, now = _series_of(earlier.layout), _series_of(later.layout)
    old, new = before.values_beside(now, earlier.values), later.values
    steps = list(map(sub, new, old))
    values = steps.copy()
    for index in now.not_counters:
        values[index] = math.nan
    fallen = [index for index in now.counters if values[index] < 0]
    proofs = dict.fromkeys(now.workers, other_release) if other_release else {}
    proofs |= _other_starts(before, now, earlier.values, new) | _other_processes(before, now)
    evidence = next(iter(proofs.values()), None) or _lost_counts(before, now, fallen, earlier.values)
    reset: Iterable[int] = ()
    notes: list[str] = []
    if evidence and _processes_stay(before, now):
        notes.append("what the process before has counted is still in the sums")
    elif proofs:
        reset = [index for index in now.counters if now.workers[index] in proofs]
    elif evidence:
        reset = now.whole_histograms(fallen)
    for index in reset:
        values[index] = new[index]
    for index in fallen:
        values[index] = max(values[index], 0.0)
    if not evidence:
        if fallen:
            notes.append(f"{now.names[fallen[0]]} fell, and the server did not restart: counted as no change")
        for name, indexes in before.other_bounds(now):
            notes.append(f"the buckets of {name} have other bounds than before")
            for index in indexes:
                values[index] = math.nan
    return Change(values, steps, evidence, tuple(notes))


def is_same_process(earlier: Exposition, later: Exposition) -> bool:
    """Whether two pages are proven to be of one process, by when it started; counts that fell then say otherwise."""
    before, now = _series_of(earlier.layout), _series_of(later.layout)
    return (
        any(key in before.places for key in now.starts)
        and not _other_starts(before, now, earlier.values, later.values)
        and not _other_processes(before, now)
    )


def _other_processes(before: "_Series", now: "_Series") -> dict[str, str]:
    """The workers with a process id that is another than before, in a series that was there; and the two ids."""
    return {
        now.workers[now.places[key]]: f"process {_listed(pids - known)} was {_listed(known)}"
        for key, pids in now.pids.items()
        if not pids <= (known := before.pids.get(key, pids))
    }


def _processes_stay(before: "_Series", now: "_Series") -> bool:
    """Whether series of other processes stand beside all of those that were there."""
    return any(pids < now.pids.get(key, set()) for key, pids in before.pids.items())


def _other_starts(before: "_Series", now: "_Series", old: Sequence[float], new: Sequence[float]) -> dict[str, str]:
    """The workers whose start took another time than before, or was at another."""
    both = [(key, old[before.places[key]], new[now.places[key]]) for key in now.starts if key in before.places]
    return {
        now.workers[now.places[key]]: f"{key[0]} is {is_now:g} and was {was:g}"
        for key, was, is_now in both
        if was != is_now and not (math.isnan(was) or math.isnan(is_now))
    }


def _listed(words: Iterable[str]) -> str:
    return ", ".join(sorted(words))


def _lost_counts(before: "_Series", now: "_Series", fallen: Sequence[int], old: Sequence[float]) -> str | None:
    counts = [index for index in fallen if now.are_counts[index]]
    if len(counts) >= FALLEN_AT_LEAST:
        return f"{len(counts)} counters fell, {now.names[counts[0]]} among them"
    gone = [index for index in before.not_in(now) if old[index] > 0]
    if gone:
        return f"{len(gone)} counters are gone, {before.names[gone[0]]} among them"
    return None


class _Series:
    """The series of a layout as they are told from one page to another: a process id is not part of one."""

    def __init__(self, layout: Layout) -> None:
        self._series, self._les = layout.series, layout.les
        self.names = [series[0] for series in layout.series]
        self._kinds = [series[2][series[0]] for series in layout.series]
        self.counters = [index for index, kind in enumerate(self._kinds) if kind in COUNTING]
        self.not_counters = [index for index, kind in enumerate(self._kinds) if kind not in COUNTING]
        # Those that never fall while a process lives: counters, and the counts of histograms.
        self.are_counts = [
            kind == "counter" or (kind in COUNTING and name.endswith("_count"))
            for kind, name in zip(self._kinds, self.names, strict=True)
        ]
        # A router's page has those of several servers.
        self.workers = [series[1].get("worker_addr", "") for series in layout.series]
        self._beside: WeakKeyDictionary[_Series, list[int | None]] = WeakKeyDictionary()
        self._not_in: WeakKeyDictionary[_Series, list[int]] = WeakKeyDictionary()

    @cached_property
    def keys(self) -> list[Key]:
        labels: dict[int, tuple[tuple[str, str], ...]] = {}
        for _, one, _ in self._series:
            if id(one) not in labels:
                labels[id(one)] = tuple(sorted((name, value) for name, value in one.items() if name != "pid"))
        return [(series[0], le, labels[id(series[1])]) for series, le in zip(self._series, self._les, strict=True)]

    @cached_property
    def places(self) -> Mapping[Key, int]:
        return {key: index for index, key in enumerate(self.keys)}

    @cached_property
    def pids(self) -> Mapping[Key, set[str]]:
        """The process ids of the series that have one."""
        pids: dict[Key, set[str]] = defaultdict(set)
        for index, (_, labels, _) in enumerate(self._series):
            if "pid" in labels:
                pids[self.keys[index]].add(labels["pid"])
        return pids

    @cached_property
    def starts(self) -> list[Key]:
        return [key for key in self.keys if key[0].removeprefix("sglang:").removeprefix("sglang_") in START_TIMES]

    @cached_property
    def histograms(self) -> Mapping[Histogram, list[int]]:
        """The buckets, sum and count of each histogram, by its family and labels."""
        histograms: dict[Histogram, list[int]] = defaultdict(list)
        for index in self.counters:
            if self._kinds[index] != "counter":
                name, _, labels = self.keys[index]
                histograms[name.rpartition("_")[0], labels].append(index)
        return histograms

    def values_beside(self, later: "_Series", values: Sequence[float]) -> Sequence[float]:
        """This page's values in the order of a later one; 0 for what is new there."""
        if later is self:
            return values
        places = self._beside.get(later)
        if places is None:
            places = self._beside[later] = [self.places.get(key) for key in later.keys]
        return [0.0 if place is None else values[place] for place in places]

    def not_in(self, later: "_Series") -> list[int]:
        """The counts that a later page does not have."""
        if later is self:
            return []
        gone = self._not_in.get(later)
        if gone is None:
            gone = self._not_in[later] = [
                index for index, key in enumerate(self.keys) if self.are_counts[index] and key not in later.places
            ]
        return gone

    def whole_histograms(self, fallen: Sequence[int]) -> list[int]:
        """The fallen ones, and all of a histogram of which one fell: its buckets are of one process."""
        wanted = set(fallen)
        for indexes in self.histograms.values():
            if not wanted.isdisjoint(indexes):
                wanted.update(indexes)
        return sorted(wanted)

    def other_bounds(self, later: "_Series") -> list[tuple[str, list[int]]]:
        """Histograms that a later page has with other bounds: the family, and where they are there."""
        if later is self:
            return []
        both = self.histograms.keys() & later.histograms.keys()
        return [
            (name, later.histograms[name, labels])
            for name, labels in both
            if self._bounds((name, labels)) != later._bounds((name, labels))
        ]

    def _bounds(self, histogram: Histogram) -> set[str | None]:
        return {self._les[index] for index in self.histograms[histogram]}


_known: WeakKeyDictionary[Layout, _Series] = WeakKeyDictionary()


def _series_of(layout: Layout) -> _Series:
    known = _known.get(layout)
    if known is None:
        known = _known[layout] = _Series(layout)
    return known
