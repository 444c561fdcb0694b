"""From a page to a snapshot, for every engine alike: what an engine calls things is in its tables."""

import functools
from collections import Counter
from collections.abc import Callable, Collection, Mapping, MutableMapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from weakref import WeakKeyDictionary

from collector import compare
from collector.distributions import QUANTILES
from collector.engines.between import Between
from collector.engines.page import Group, Page, Ranks, Reading
from collector.engines.releases import Releases
from collector.engines.tables import Table, read
from collector.exposition import Exposition
from collector.interval import Interval, Moves
from collector.layout import Layout
from collector.sections import CacheMetrics, RequestMetrics, Section, SystemMetrics
from collector.snapshot import RankMetrics, ScrapeFacts, Snapshot, VersionRange
from collector.targets import Target


@dataclass(frozen=True, eq=False)
class Engine:
    """Tables for the three sections and the ranks of a snapshot, and for what only this engine says: its `own`.

    A field that no table names is None: "the server does not say".
    """

    ranks: Ranks
    requests: Table = field(default_factory=dict)
    cache: Table = field(default_factory=dict)
    system: Table = field(default_factory=dict)
    rank: Table = field(default_factory=dict)
    own: Table = field(default_factory=dict)  # fields of the snapshot itself, as `vllm`
    between: Between = field(default_factory=Between)
    releases: Releases | None = None
    engine_type: str | None = None  # where no label says it
    instead: "Callable[[Exposition], Engine | None]" = lambda page: None  # the engine of a page that is another's
    _pages: MutableMapping[Layout, Page] = field(default_factory=WeakKeyDictionary, repr=False)

    def read_snapshot(
        self,
        exposition: Exposition,
        target: Target,
        asked_at: datetime,
        scrape: ScrapeFacts,
        quantiles: Collection[str] = tuple(QUANTILES),
        fields: frozenset[str] | None = None,
    ) -> Snapshot:
        """A page as one server's snapshot: ranks folded, versions bridged, None where the page says nothing.

        With `fields`, as `system_metrics.num_requests_running`, `ranks` or `vllm`, no others are worked out, nor what
        is missing.
        """
        engine = self._for(exposition, fields)
        page = engine._page_of(exposition.layout)
        at = Reading(page, exposition.values, quantiles=quantiles)
        requests = RequestMetrics(**read(engine.requests, at))
        cache = CacheMetrics(**read(engine.cache, at))
        system = SystemMetrics(**read(engine.system, at))
        sections = {"request_metrics": requests, "cache_metrics": cache, "system_metrics": system}
        return Snapshot(
            timestamp=asked_at,
            instance_id=target.instance_id,
            endpoint=target.endpoint,
            request_metrics=requests,
            cache_metrics=cache,
            system_metrics=system,
            engine=target.engine,
            engine_type=engine.engine_type or page.engine_type,
            other_engine_types=page.engine_types[1:],
            models=page.models,
            version_range=page.version_range,
            ranks=engine._ranks(at),
            missing=_missing(sections) if fields is None else (),
            scrape=scrape,
            **read(engine.own, at),
        )

    def read_interval(
        self,
        earlier: Exposition,
        later: Exposition,
        since: datetime,
        seconds: float,
        quantiles: Collection[str] = tuple(QUANTILES),
        fields: frozenset[str] | None = None,
    ) -> tuple[Interval, Moves]:
        """What happened between two pages of a server, `seconds` after each other.

        With `fields`, as `interval.queue_time`, no others are worked out, and what moved only with `moves`.
        """
        engine = self._for(later, fields)
        page, page_before = engine._page_of(later.layout), engine._page_of(earlier.layout)
        change = compare.compare(earlier, later, engine._other_release(page_before, page))
        before = Reading(page_before, earlier.values)
        moves = engine.between.read_moves(before, Reading(page, later.values), change, seconds)
        risen = Reading(page, change.values, quantiles=quantiles)
        return engine.between.read_interval(risen, change, since, seconds), moves

    def _for(self, page: Exposition, fields: frozenset[str] | None) -> "Engine":
        engine = self.instead(page) or self
        return engine if fields is None else _only(engine, fields)

    def _other_release(self, before: Page, now: Page) -> str | None:
        """Why a server must be of another release than before; None where it may be the same, or several are shown."""
        if before is now or not self.releases or any(group.worker for group in (*before.groups, *now.groups)):
            return None
        was, is_now = before.version_range, now.version_range
        if not self.releases.differ(was, is_now):
            return None
        return f"its families are of release {_words(is_now)}, and were of {_words(was)}"

    def _page_of(self, layout: Layout) -> Page:
        page = self._pages.get(layout)
        if page is None:
            page = self._pages[layout] = Page(layout, self.ranks, self.releases)
        return page

    def _ranks(self, at: Reading) -> tuple[RankMetrics, ...]:
        of_worker = Counter(group.worker for group in at.page.groups)
        return tuple(self._rank(at, group, alone=of_worker[group.worker] == 1) for group in at.page.groups)

    def _rank(self, at: Reading, group: Group, alone: bool) -> RankMetrics:
        pp_rank, tp_rank = at.page.lowest_rank(group)
        return RankMetrics(
            dp_rank=None if alone or not group.dp_rank.isdecimal() else int(group.dp_rank),
            pp_rank=pp_rank,
            tp_rank=tp_rank,
            engine_type=at.page.engine_type,
            model_name=group.model or None,
            worker=group.worker or None,
            **read(self.rank, replace(at, group=group)),
        )


def _missing(sections: Mapping[str, Section]) -> tuple[str, ...]:
    return tuple(f"{name}.{unsaid}" for name, section in sections.items() for unsaid in section.missing())


@functools.lru_cache(maxsize=100)
def _only(engine: Engine, fields: frozenset[str]) -> Engine:
    """The same with the tables that these fields need. It shares the pages."""

    def of(section: str, table: Table) -> Table:
        return {name: sources for name, sources in table.items() if f"{section}{name}" in fields}

    return replace(
        engine,
        requests=of("request_metrics.", engine.requests),
        cache=of("cache_metrics.", engine.cache),
        system=of("system_metrics.", engine.system),
        rank=engine.rank if "ranks" in fields else {},
        own=of("", engine.own),
        between=engine.between.only({field.removeprefix("interval.") for field in fields}),
    )


def _words(version: VersionRange) -> str:
    at_least = f"{version.at_least} or newer" if version.at_least else None
    before = f"before {version.before}" if version.before else None
    return ", ".join(filter(None, (at_least, before)))
