"""From a page to what it says: a snapshot, and what has happened since an earlier page. Pure.

A page that was just scraped goes this way, and one that was kept: what a stored page says is worked out when it is
asked for, by the engine tables of the day.
"""

import functools
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from importlib import import_module
from typing import NamedTuple, Self

from collector import exposition
from collector.distributions import QUANTILES
from collector.engines import ENGINES
from collector.engines.engine import Engine
from collector.exposition import Exposition
from collector.interval import Interval, Moves
from collector.item import Stored
from collector.limits import Limits
from collector.lines import Lines
from collector.pages import Told
from collector.snapshot import ScrapeFacts, Snapshot
from collector.targets import Target
from collector.verdict import Health

# What lies further back says nothing of now.
LONGEST_INTERVAL_SECONDS = 15 * 60


THROUGHPUT = "system_metrics.throughput_tokens_per_second"
BETTER_THROUGHPUT = "interval.generated_tokens_per_second"  # which it is, where that is known


class Detail(NamedTuple):
    """What is worked out of a page: quantiles, of the server's life and of the interval; and fields, None: all."""

    of_life: Collection[str]
    of_interval: Collection[str]
    fields: frozenset[str] | None = None

    @classmethod
    def of(cls, paths: Collection[str]) -> Self:
        """For these, as `interval.time_to_first_token.p95.value`; `moves` is all that moved, `missing` needs all."""
        of_life, of_interval, fields = set[str](), set[str](), set[str]()
        for path in [*paths, BETTER_THROUGHPUT] if THROUGHPUT in paths else paths:
            root, *parts = path.split(".")
            fields |= {root, ".".join([root, *parts[:1]])}
            (of_interval if root == "interval" else of_life).update(QUANTILES.keys() & {*parts})
        return cls(tuple(of_life), tuple(of_interval), None if "missing" in fields else frozenset(fields))


WHOLE = Detail(tuple(QUANTILES), tuple(QUANTILES))


@dataclass(frozen=True, slots=True)
class Reading:
    """What a page says, and what has happened since an earlier one, if that tells."""

    exposition: Exposition
    snapshot: Snapshot
    interval: Interval | None
    moves: Moves | None

    def with_verdict(self, verdict: Health | None) -> Snapshot:
        """The snapshot with all that is known. The interval's throughput is better than any gauge."""
        system, interval = self.snapshot.system_metrics, self.interval
        if interval and interval.generated_tokens_per_second is not None:
            system = system.model_copy(update={"throughput_tokens_per_second": interval.generated_tokens_per_second})
        return self.snapshot.model_copy(update={"interval": interval, "health": verdict, "system_metrics": system})


@dataclass(frozen=True, slots=True)
class Received:
    """A page as it came."""

    body: bytes
    duration_seconds: float
    wire_bytes: int


def read(
    target: Target,
    asked_at: datetime,
    page: Received,
    earlier: Lines | None,
    since: datetime | None,
    detail: Detail = WHOLE,
    limits: Limits | None = None,
) -> Reading:
    """What a page says, and what has happened since an earlier one.

    Raises ExpositionError, PageLimitError, and KeyError for an engine that there is not.
    """
    parsed = exposition.parse(page.body, limits)
    reader = engine(target.engine)
    scrape = facts(parsed, page.duration_seconds, page.wire_bytes, len(page.body))
    snapshot = reader.read_snapshot(parsed, target, asked_at, scrape, detail.of_life, detail.fields)
    if snapshot.says_nothing and detail.fields is not None:  # perhaps it does in others
        snapshot = reader.read_snapshot(parsed, target, asked_at, scrape, detail.of_life)
    seconds = (asked_at - since).total_seconds() if since else 0.0
    if earlier is None or since is None or not 1 <= seconds <= _longest(target):
        return Reading(parsed, snapshot, None, None)
    before = parsed.earlier(earlier)
    interval, moves = reader.read_interval(before, parsed, since, seconds, detail.of_interval, detail.fields)
    return Reading(parsed, snapshot, interval, moves)


def recall(stored: Stored) -> Reading | None:
    """The same of a page that was kept, beside the one that it was compared with; None where it has none to read."""
    if not isinstance(stored.told, Told):
        return None
    body = stored.told.lines.page()
    page = Received(body, stored.duration_seconds, stored.wire_bytes)
    earlier = stored.earlier
    before = earlier.told.lines if earlier and isinstance(earlier.told, Told) else None
    return read(stored.target, stored.scraped_at, page, before, earlier.scraped_at if earlier else None)


def _longest(target: Target) -> float:
    return max(LONGEST_INTERVAL_SECONDS, 3 * (target.interval_seconds or 0))


def facts(page: Exposition, duration_seconds: float, wire_bytes: int, page_bytes: int) -> ScrapeFacts:
    return ScrapeFacts(
        duration_seconds=duration_seconds,
        wire_bytes=wire_bytes,
        page_bytes=page_bytes,
        samples=len(page.samples),
        bad_lines=page.bad_line_count,
        first_bad_lines=tuple(map(str, page.bad_lines)),
    )


@functools.cache
def engine(name: str) -> Engine:
    """The engine of that name, loaded when it is first asked for. Raises KeyError for a name not in `ENGINES`."""
    if name not in ENGINES:
        raise KeyError(name)
    tables: Engine = import_module(f"collector.engines.{name}").ENGINE
    return tables
