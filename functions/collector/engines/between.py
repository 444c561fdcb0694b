"""From two pages of a server to what happened between them, for every engine alike."""

import math
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from collector.compare import Change
from collector.engines.page import Group, Page, Reading
from collector.engines.tables import Source, Table, read
from collector.interval import Interval, Moves, RankMoves
from collector.sections import is_count

# Amounts of an interval that are given per second as well.
RATES = ("requests_finished", "requests_aborted", "prompt_tokens", "cached_tokens", "generated_tokens")


@dataclass(frozen=True, eq=False)
class Between:
    """What to look at of two pages.

    `amounts` are fields of `Interval`, read off differences; so are `live_tokens`, if tokens are counted as they come.
    `in_flight`, `waiting` and `usage` are read off each page. The rest tells whether the server is at work: sources
    whose differences are work done, the names of gauges that it refreshes, and the clocks of its scheduler.
    """

    amounts: Table = field(default_factory=dict)
    live_tokens: Source | None = None
    in_flight: Source | None = None
    running: Source | None = None
    waiting: Source | None = None
    usage: Source | None = None
    progress: Sequence[Source] = ()
    rank_progress: Sequence[Source] = ()
    gauges: Sequence[str] = ()
    heartbeat: Sequence[Source] = ()
    idle_seconds: Source | None = None

    def only(self, fields: Collection[str]) -> "Between":
        """What these fields of an interval need, and all that tells what moved if `moves` is among them."""
        needed = {field.removesuffix("_per_second") for field in fields}
        if "cache_hit_rate" in needed:
            needed |= {"prompt_tokens", "cached_tokens"}
        if "generated_basis" in needed:
            needed |= {"generated_tokens"}
        return replace(
            self if "moves" in fields else Between(),
            amounts={name: sources for name, sources in self.amounts.items() if name in needed},
            live_tokens=self.live_tokens if "generated_tokens" in needed else None,
        )

    def read_interval(self, risen: Reading, change: Change, since: datetime, seconds: float) -> Interval:
        """The differences folded as the page itself is, and per second."""
        amounts: dict[str, Any] = read(self.amounts, risen)
        live = _say(self.live_tokens, risen)
        if live is not None:
            amounts |= {"generated_tokens": live, "generated_basis": "live"}
        elif "generated_tokens" in amounts:
            amounts["generated_basis"] = "at_finish"
        rates = {f"{name}_per_second": amounts[name] / seconds for name in RATES if is_count(amounts.get(name))}
        return Interval(
            since=since,
            seconds=seconds,
            restarted=change.restarted,
            notes=change.notes,
            **amounts,
            **rates,
        )

    def read_moves(self, before: Reading, now: Reading, change: Change, seconds: float) -> Moves:
        risen = Reading(now.page, change.values)
        idle_seconds = _say(self.idle_seconds, risen)
        return Moves(
            in_flight=_say(self.in_flight, now),
            in_flight_before=_say(self.in_flight, before),
            waiting_before=_say(self.waiting, before),
            usage_before=_say(self.usage, before),
            progress=_any_rose(self.progress, risen),
            gauges=self._gauges_changed(now.page, change.steps),
            heartbeat=_any_rose(self.heartbeat, risen),
            idle_ratio=None if idle_seconds is None else min(idle_seconds / seconds, 1.0),
            ranks=tuple(
                self._rank(name, group, before, now, risen)
                for name, group in _names(now.page.groups).items()
                if len(now.page.groups) > 1
            ),
            evidence=change.evidence,
        )

    def _gauges_changed(self, page: Page, steps: Sequence[float]) -> bool | None:
        shown = [steps[index] for name in self.gauges for index in page.indexes(name)]
        return any(step and not math.isnan(step) for step in shown) if shown else None

    def _rank(self, name: str, group: Group, before: Reading, now: Reading, risen: Reading) -> RankMoves:
        return RankMoves(
            name=name,
            running=_say(self.running, replace(now, group=group)),
            running_before=_say(self.running, replace(before, group=group)),
            progress=_any_rose(self.rank_progress, replace(risen, group=group)),
        )


def _names(groups: Iterable[Group]) -> dict[str, Group]:
    """A name for each: its worker's or rank's, and all that tells it apart where that is another's too."""
    short = Counter(group.worker or group.dp_rank for group in groups)
    return {
        name if short[name := group.worker or group.dp_rank] == 1 else " ".join(filter(None, group)): group
        for group in groups
    }


def _say(source: Source | None, at: Reading) -> float | None:
    value: float | None = source.read(at) if source else None
    return value


def _any_rose(sources: Iterable[Source], risen: Reading) -> bool | None:
    """None where none says anything. Of a server at work mostly the first does."""
    rose = None
    for source in sources:
        value = source.read(risen)
        if value is not None:
            if value > 0:
                return True
            rose = False
    return rose
