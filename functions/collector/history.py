"""A server's history: its stored scrapes, read some at a time and told as rows.

Where steps are long, one page of many is needed: then items are read without their pages, and those pages afterwards.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from collector import pages, store
from collector.batches import PATIENCE_SECONDS, Item, read_key
from collector.codec import UnreadableError
from collector.fields import Fields
from collector.item import HEADLINES
from collector.pages import Told
from collector.rows import Group, Row, Rows, longest_seconds, slot_ms
from collector.targets import Key
from collector.timespan import Span

# Of one walk; DynamoDB's answers have 1 MB at most.
QUERIES_AT_MOST = 10
ROWS_OF_A_WALK = 1000
# What is worked on at once: rows, pages, and the bytes that those are stored in.
ROWS_AT_ONCE, PAGES_AT_ONCE, BYTES_AT_ONCE = 500, 100, 256 * 1024
# With longer steps, most pages are in the middle of one.
SPARSE_STEP_MS = 600_000
LONGEST_SCRAPE_INTERVAL_SECONDS = 3600
# How many scrapes are looked at for the last good one before the first row. As a rule it is the first of them.
LOOKED_BACK = (4, 1000)

Pages = dict[Key, Told | UnreadableError]


@dataclass(frozen=True)
class Question:
    """Which server, when, and what of it."""

    instance_id: str
    engine: str
    span: Span
    fields: Fields


class Walk:
    """A history from a position on: `rows` of them at most, and the one after to tell that there are more.

    Each row comes with the position behind it. A walk ends where the time asked for does, or earlier, when it has read
    as much as one may: then `position` is where the next goes on; None where that was all. A position is a slot; with
    steps, the end of one. Raises NO_ANSWER and UnprocessedError.
    """

    def __init__(self, question: Question, position: int | None, rows: int, now_ms: int) -> None:
        self._question, self._span, self._fields = question, question.span, question.fields
        self._wanted, self._now_ms = rows, now_ms
        self._rows = Rows(question.fields, question.span.step_ms)
        self._is_sparse = (question.span.step_ms or 0) > SPARSE_STEP_MS
        self._has_looked_back = False
        self.has_found = False
        """Whether any scrape was met."""
        self._begin = self._span.start_ms - (not self._span.step_ms) if position is None else position
        self.position: int | None = self._begin

    def __iter__(self) -> Iterator[tuple[int, Row]]:
        groups: list[Group] = []
        shown_count = blob_bytes = 0
        for group in self._steps() if self._span.step_ms else self._single():
            groups.append(group)
            if shown := group.shown:
                shown_count += 1
                blob_bytes += len(shown.get("blob", {}).get("B", b""))
            if len(groups) >= ROWS_AT_ONCE or shown_count >= PAGES_AT_ONCE or blob_bytes >= BYTES_AT_ONCE:
                yield from self._tell(groups)
                groups, shown_count, blob_bytes = [], 0, 0
        yield from self._tell(groups)

    # From items to the groups that rows are of

    def _single(self) -> Iterator[Group]:
        """Each scrape alone."""
        end_ms = self._span.end_ms
        for items, read_to in self._read(self._begin, end_ms, self._wanted + 1):
            for item in items:
                yield Group(slot_ms(item), [item])
            self.position = read_to if read_to < end_ms else None

    def _steps(self) -> Iterator[Group]:
        """The scrapes of each step. One that is not over yet is the last."""
        ends = list(islice(self._ends(), self._wanted + 1))
        told = 0
        begun: list[Item] = []
        for items, read_to in self._read(self._begin, ends[-1] if ends else self._begin, store.RANGE_LIMIT):
            for item in items:
                while slot_ms(item) > ends[told]:
                    yield Group(ends[told], begun)
                    told, begun = told + 1, []
                begun.append(item)
            while told < len(ends) and ends[told] <= read_to:
                yield Group(ends[told], begun)
                told, begun = told + 1, []
        if ends and not told:
            yield Group(ends[told], begun, is_whole=False)
            told += 1
        self.position = ends[told - 1] if told < len(ends) or told > self._wanted else None

    def _ends(self) -> Iterator[int]:
        for end_ms in self._span.ends(self._begin):
            yield end_ms
            if end_ms >= self._now_ms:
                return

    def _read(self, after_ms: int, last_ms: int, limit: int) -> Iterator[tuple[list[Item], int]]:
        """Answers of DynamoDB's, each with the slot up to which all is read then."""
        for _ in range(QUERIES_AT_MOST):
            items, read_to = store.read_range(
                self._question.instance_id,
                self._question.engine,
                (after_ms + 1, last_ms),
                self._attributes(with_page=not self._is_sparse),
                _soon(),
                limit=limit,
            )
            self.has_found = self.has_found or bool(items)
            yield items, last_ms if read_to is None else read_to
            if read_to is None:
                return
            after_ms = read_to

    def _attributes(self, *, with_page: bool) -> set[str]:
        """Those that rows are made of."""
        fields = self._fields
        names = {"endpoint", "took", *(HEADLINES[text] for text in fields.texts if text in HEADLINES)}
        if with_page and fields.need_pages(bool(self._span.step_ms)):
            names |= {"blob"}
        if "scrape" in fields.roots:
            names |= {"wire"}
        if "health" in fields.roots:
            names |= {"health", "memory", *["findings"] * fields.need_findings}
        if fields.need_interval and fields.need_pages(bool(self._span.step_ms)):
            names |= {"memory", "earlier"}
        return names

    # From groups to rows

    def _tell(self, groups: Sequence[Group]) -> Iterator[tuple[int, Row]]:
        shown = [item for group in groups if (item := group.shown) and self._rows.needs_page(item)]
        told = self._read_pages(shown)
        for group in groups:
            item = group.shown
            yield group.at_ms, self._rows.row(group, told.get(read_key(item)) if item else None)

    def _read_pages(self, items: Sequence[Item]) -> Pages:
        """Their pages; and once the last good one before the first of them, which its row is compared with."""
        if not items:
            return {}
        without = [read_key(item) for item in items if "blob" not in item]
        there = {read_key(item): item for item in items if "blob" in item}
        if without:
            there |= store.read_items(without, {"blob"}, _soon())
        if self._fields.need_interval and not self._has_looked_back:
            self._has_looked_back = True
            self._look_back(self._begin if self._span.step_ms else slot_ms(items[0]) - 1)
        return pages.read_pages(there.values(), store.table_name(), _soon())

    def _look_back(self, last_ms: int) -> None:
        window_ms = round(1000 * longest_seconds(LONGEST_SCRAPE_INTERVAL_SECONDS, self._span.step_ms))
        slots = max(0, last_ms - window_ms), last_ms
        for limit in LOOKED_BACK:
            attributes = self._attributes(with_page=True) | {"blob"}
            found, read_to = store.read_range(
                self._question.instance_id,
                self._question.engine,
                slots,
                attributes,
                _soon(),
                limit=limit,
                backwards=True,
                good=True,
            )
            if found:
                told = pages.read_pages(found[:1], store.table_name(), _soon())
                self._rows.begin(found[0], told.get(read_key(found[0])))
            if found or read_to is None:
                return


def whole(question: Question, now_ms: int) -> Iterator[Row]:
    """All rows, in as many walks as that takes. Raises NO_ANSWER and UnprocessedError."""
    position: int | None = None
    while True:
        walk = Walk(question, position, ROWS_OF_A_WALK, now_ms)
        rows = list(islice(walk, ROWS_OF_A_WALK))
        yield from (row for _, row in rows)
        position = rows[-1][0] if len(rows) == ROWS_OF_A_WALK else walk.position
        if position is None:
            return


def newest_page(instance_id: str, engine: str, at_ms: int) -> tuple[Item, Told | UnreadableError] | None:
    """The last scrape with a page, at a time or before. Raises NO_ANSWER and UnprocessedError."""
    for limit in LOOKED_BACK:
        found, read_to = store.read_range(
            instance_id, engine, (0, at_ms), {"blob"}, _soon(), limit=limit, backwards=True, good=True
        )
        if found:
            return found[0], pages.read_pages(found[:1], store.table_name(), _soon())[read_key(found[0])]
        if read_to is None:
            break
        at_ms = read_to - 1
    return None


def _soon() -> float:
    return time.monotonic() + PATIENCE_SECONDS
