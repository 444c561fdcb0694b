"""From stored scrapes to the rows of a history. Pure.

A row is of one scrape, or of a step: of the last good page in it. What has happened is the difference of that page and
the last good one before, series by series, however many lie between. Where the two cannot be compared, the row says
why, and nothing else.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, NamedTuple

from collector import compare, reading
from collector.batches import Item, read_key
from collector.codec import UnreadableError
from collector.errors import ExpositionError
from collector.exposition import Exposition, parse
from collector.fields import Fields, Sources, Value
from collector.interval import Interval
from collector.item import Stored, earlier_of, read_stored
from collector.outcome import EMPTY_PAGE
from collector.pages import Told
from collector.remembered import read_memory
from collector.timespan import iso
from collector.verdict import Health

NO_SCRAPE, NOT_READ, UNREADABLE_PAGE = "no_scrape", "not_read", "unreadable_page"
NOT_READ_WORDS = "the step has more scrapes than are read at once: ask for shorter steps"
# A clock that was set shows in scrapes that are further apart than their slots, or nearer. They may be late by so much.
LATE_SECONDS = 60.0

Row = dict[str, Value]
ROW_FIELDS = ("timestamp", "code", "error", "note")


class Page(NamedTuple):
    """A scrape whose page could be read."""

    stored: Stored
    exposition: Exposition


class Group(NamedTuple):
    """What one row is of: all scrapes of a step, oldest first, or one alone. `at_ms` is the step's end, or its slot."""

    at_ms: int
    items: Sequence[Item]
    is_whole: bool = True
    """Whether the step could be read to its end."""

    @property
    def shown(self) -> Item | None:
        """The last good one."""
        return next((item for item in reversed(self.items) if is_good(item)), None)


def is_good(item: Item) -> bool:
    """Whether it has a page, told without a look at that."""
    return _text(item, "code") in (None, EMPTY_PAGE)


@dataclass
class Rows:
    """The rows of groups that follow each other; `before` is the last page that could be read."""

    fields: Fields
    step_ms: int | None = None
    before: Page | None = None
    restarted: bool = False
    """Whether a scrape since that page has found that the server began anew."""

    def needs_page(self, item: Item) -> bool:
        """Whether the item does not say it itself, as those of releases without headlines do not."""
        return self.fields.need_pages(bool(self.step_ms)) or "took" not in item

    def row(self, group: Group, told: Told | UnreadableError | None) -> Row:
        """`told` is the page of the scrape that is shown, if any is needed."""
        health = self._health(group)
        at_ms = group.at_ms if self.step_ms else scraped_at_ms(group.items[0])
        shown, last = group.shown, group.items[-1] if group.items else None
        if not group.is_whole:
            return _row(at_ms, NOT_READ, NOT_READ_WORDS, None, self.fields.headlines({}, None))
        self.restarted = self.restarted or any(map(self._found_a_restart, group.items))
        if shown is None:
            values = self.fields.headlines({}, health)
            code, error = (_text(last, "code"), _text(last, "error")) if last else (NO_SCRAPE, None)
            return _row(at_ms, code, error, None, values)
        if not self.needs_page(shown):
            return _row(at_ms, _text(shown, "code"), None, None, self.fields.headlines(shown, health))
        try:
            if not isinstance(told, Told):
                raise told or UnreadableError("it is gone")
            page = Page(read_stored(shown, told), self._read(told))
        except (UnreadableError, ExpositionError) as exc:
            return _row(
                at_ms,
                UNREADABLE_PAGE,
                f"the stored page cannot be read: {exc}",
                None,
                self._without_page(shown, health),
            )
        interval, note = self._interval(page) if self.fields.need_interval else (None, None)
        self.before, self.restarted = page, False
        sources = Sources(self._parts(page, interval) | {"health": health}, page.exposition)
        return _row(at_ms, _text(shown, "code"), None, note, self.fields.read(sources))

    def begin(self, item: Item, told: Told | UnreadableError | None) -> None:
        """With the last good scrape before the first group."""
        if isinstance(told, Told):
            try:
                self.before = Page(read_stored(item, told), self._read(told))
            except ExpositionError:
                self.before = None

    def _read(self, told: Told) -> Exposition:
        """Most pages have the lines of the one before, so their values stand as that one's do."""
        return self.before.exposition.earlier(told.lines) if self.before else parse(told.lines.page())

    def _without_page(self, item: Item, health: Health | Mapping[str, str] | None) -> dict[str, Value]:
        """A step's interval is not the one that an item's headlines are of."""
        values = self.fields.headlines(item, health)
        if self.step_ms:
            values |= {text: None for text in values if text in self.fields.of_interval}
        return values

    def _health(self, group: Group) -> Health | Mapping[str, str] | None:
        """Of the last scrape, good or failed; its status alone where it is of a release that kept no more."""
        last = group.items[-1] if group.items else None
        if last is None or "health" not in self.fields.roots:
            return None
        return read_stored(last, None).health or {"status": last["health"]["S"]} if "health" in last else None

    def _parts(self, page: Page, interval: Interval | None) -> dict[str, Any]:
        if not self.fields.need_snapshot:
            return {"interval": interval}
        stored, exposition = page.stored, page.exposition
        body_bytes = len(told_page(stored)) if "scrape" in self.fields.roots else 0
        facts = reading.facts(exposition, stored.duration_seconds, stored.wire_bytes, body_bytes)
        engine = reading.engine(stored.target.engine)
        snapshot = engine.read_snapshot(
            exposition, stored.target, stored.scraped_at, facts, self.fields.detail.of_life, self.fields.detail.fields
        )
        read = reading.Reading(exposition, snapshot, interval, None)
        return dict(read.with_verdict(None))

    def _interval(self, page: Page) -> tuple[Interval | None, str | None]:
        """What has happened since the page before, or why that cannot be said."""
        before = self.before
        if before is None:
            return None, "no page before it"
        seconds = (page.stored.scraped_at - before.stored.scraped_at).total_seconds()
        slots_seconds = (page.stored.target.slot_ms - before.stored.target.slot_ms) / 1000
        late_seconds = max(LATE_SECONDS, page.stored.target.interval_seconds or 0)
        if seconds < 1 or abs(seconds - slots_seconds) > late_seconds:
            return None, f"the clock was set: the page before was asked for {seconds:g} s before it"
        if seconds > longest_seconds(page.stored.target.interval_seconds, self.step_ms):
            return None, f"the page before is {timedelta(seconds=round(seconds))} older"
        engine = reading.engine(page.stored.target.engine)
        interval, _ = engine.read_interval(
            before.exposition,
            page.exposition,
            before.stored.scraped_at,
            seconds,
            self.fields.detail.of_interval,
            self.fields.detail.fields,
        )
        if interval.restarted and compare.is_same_process(before.exposition, page.exposition):
            return None, "its counts fell, and the process is the same: the slots are not in the order of the pages"
        if not interval.restarted and self.restarted:
            return None, "the server restarted in between, and the two pages do not show it"
        return interval, "; ".join(interval.notes) or None

    def _found_a_restart(self, item: Item) -> bool:
        """Whether a scrape, in what has happened since `before` or since a later one, has found a restart."""
        earlier = earlier_of(item)
        since_ms = self.before.stored.target.slot_ms if self.before else 0
        return earlier is not None and earlier[1] >= since_ms and read_memory(item).restarts[-1:] == (True,)


def longest_seconds(interval_seconds: int | None, step_ms: int | None) -> float:
    """Of an interval: what lies further back is beyond a gap, and says nothing of a step."""
    return max(reading.LONGEST_INTERVAL_SECONDS, 3 * (interval_seconds or 0), 2 * (step_ms or 0) / 1000)


def told_page(stored: Stored) -> bytes:
    assert isinstance(stored.told, Told)
    return stored.told.lines.page()


def _row(at_ms: int, code: str | None, error: str | None, note: str | None, values: Mapping[str, Value]) -> Row:
    return {"timestamp": iso(at_ms), "code": code, "error": error, "note": note, **values}


def _text(item: Item, attribute: str) -> str | None:
    return item.get(attribute, {}).get("S")


def scraped_at_ms(item: Item) -> int:
    return int(item["scraped_at"]["N"])


def slot_ms(item: Item) -> int:
    return read_key(item)[1]
