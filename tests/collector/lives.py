"""Lives of servers that nobody saw: a few scrapes of one server after each other.

Each page is a recorded one, or the one before with some work done since, and edited: by name and seed, so that a
failing example reads as what was done to it.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from random import Random

from edits import EDITS, work
from hypothesis import strategies as st
from written import Page, recorded, text_of

from collector.errors import CollectorError, LateError, MetricsNotEnabled, RefusedError
from collector.health import judge, judge_failure
from collector.outcome import Outcome
from collector.reading import Reading, Received, read
from collector.verdict import NO_MEMORY, Health
from support import ASKED_AT, PAGES, SHARED, target

FAILURES = {error.code: error for error in (RefusedError("refused"), MetricsNotEnabled("404"), LateError("late"))}
# With those of many versions, where they are beside the repository.
PAGE_FILES = {
    path.stem: path for folder in (*(SHARED / "expositions").glob("*"), PAGES) for path in sorted(folder.glob("*.prom"))
}
ENGINES = {name: name.split("-")[0].replace("router", "sglang") for name in PAGE_FILES}


@dataclass(frozen=True)
class Scrape:
    """So long after the one before: a failure, or a page; a recorded one, or that of before with work done since."""

    seconds: int
    recorded: str | None
    work: int | None
    edits: tuple[tuple[str, int], ...]
    failure: str | None = None


@dataclass(frozen=True)
class Life:
    engine: str
    scrapes: tuple[Scrape, ...]

    def pages(self) -> Iterable[Page | None]:
        """What each scrape meets; None where it fails."""
        page: Page = ()
        for scrape in self.scrapes:
            if scrape.failure:
                yield None
                continue
            if scrape.recorded:
                page = recorded(PAGE_FILES[scrape.recorded])
            if scrape.work is not None:
                page = work(page, Random(scrape.work))
            for name, seed in scrape.edits:
                page = EDITS[name](page, Random(seed))
            yield page

    def told(self, change: Callable[[Page, int], Page] = lambda page, place: page) -> list["Told"]:
        """What each scrape tells, one after the other, as in `pipeline.observe`; each page may be changed before."""
        at, memory, before = ASKED_AT, NO_MEMORY, (None, None)
        told = []
        for place, (scrape, page) in enumerate(zip(self.scrapes, self.pages(), strict=True)):
            at += timedelta(seconds=scrape.seconds)
            one = target(engine=self.engine, slot_ms=round(at.timestamp() * 1000))
            try:
                if page is None:
                    raise FAILURES[scrape.failure]
                body = text_of(change(page, place))
                reading = read(one, at, Received(body, 0.03, len(body)), *before)
            except CollectorError as error:
                verdict, memory = judge_failure(error, memory, at, memory.failures + 1)
                memory = replace(memory, failures=memory.failures + 1)
                told.append(Told(at, verdict, None, Outcome(one, at, error=error, health=verdict, memory=memory)))
                continue
            verdict, memory = judge(reading.snapshot, reading.interval, reading.moves, memory, at)
            memory = replace(memory, failures=0, last_good_slot_ms=one.slot_ms)
            before = reading.exposition.lines(body), at
            snapshot = reading.with_verdict(verdict)
            outcome = Outcome(one, at, snapshot, reading.exposition, body, health=verdict, memory=memory)
            told.append(Told(at, verdict, replace(reading, snapshot=snapshot), outcome))
        return told

    def good(self) -> list["Told"]:
        return [told for told in self.told() if told.reading]


@dataclass(frozen=True)
class Told:
    """What a scrape of a life told; no reading where it failed."""

    at: datetime
    health: Health
    reading: Reading | None
    outcome: Outcome


seeds = st.integers(0, 2**16)
edits = st.lists(st.tuples(st.sampled_from(sorted(EDITS)), seeds), max_size=3).map(tuple)
seconds = st.sampled_from((1, 5, 15, 30, 40, 60, 300, 900)) | st.integers(1, 900)


@st.composite
def lives(draw, most: int = 4, failures: bool = True):
    first = draw(st.sampled_from(sorted(PAGE_FILES)))
    engine = ENGINES[first]
    others = st.sampled_from([name for name in sorted(PAGE_FILES) if ENGINES[name] == engine])
    later = st.builds(
        Scrape,
        seconds,
        st.none() | st.none() | st.none() | others,
        st.none() | seeds,
        edits,
        st.sampled_from((None,) * 12 + tuple(FAILURES)) if failures else st.none(),
    )
    rest = draw(st.lists(later, min_size=1, max_size=most - 1))
    return Life(engine, (Scrape(0, first, None, draw(edits)), *rest))
