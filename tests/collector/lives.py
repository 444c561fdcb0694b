"""Lives of servers that nobody saw: recorded pages, changed at random as servers at work, faults and proxies do.

A `Life` is a few scrapes of one server after each other. Each page is a recorded one, or the one before with some work
done since, and edited: by name and seed, so that a failing example reads as what was done to it.
"""

import functools
import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from typing import NamedTuple

from hypothesis import strategies as st

from collector.errors import CollectorError, LateError, MetricsNotEnabled, RefusedError
from collector.exposition import parse
from collector.health import judge, judge_failure
from collector.outcome import Outcome
from collector.reading import Reading, Received, read
from collector.verdict import NO_MEMORY, Health
from support import ASKED_AT, PAGES, SHARED, target

ESCAPED = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})
SPELLED = {math.inf: "+Inf", -math.inf: "-Inf"}


class Line(NamedTuple):
    name: str
    labels: dict[str, str]
    value: float

    @property
    def is_finite(self) -> bool:
        return math.isfinite(self.value)

    @property
    def text(self) -> str:
        labels = ",".join(f'{name}="{value.translate(ESCAPED)}"' for name, value in self.labels.items())
        value = "NaN" if math.isnan(self.value) else SPELLED.get(self.value, repr(self.value))
        return f"{self.name}{{{labels}}} {value}\n"

    def at(self, value: float) -> "Line":
        return self._replace(value=value)

    def labelled(self, **labels: str) -> "Line":
        return self._replace(labels=self.labels | labels)


class Family(NamedTuple):
    name: str
    kind: str | None
    lines: tuple[Line, ...]

    @property
    def text(self) -> str:
        declared = f"# TYPE {self.name} {self.kind}\n" if self.kind else ""
        return declared + "".join(line.text for line in self.lines)

    @property
    def counts(self) -> bool:
        return self.kind in ("counter", "histogram")

    def each(self, change: Callable[[Line], Line]) -> "Family":
        return self._replace(lines=tuple(map(change, self.lines)))

    def more(self, lines: Iterable[Line]) -> "Family":
        return self._replace(lines=(*self.lines, *lines))


Page = tuple[Family, ...]


def text_of(page: Page) -> bytes:
    return "".join(family.text for family in page).encode()


@functools.cache
def recorded(path: Path) -> Page:
    page = parse(path.read_bytes())
    families: dict[str, list[Line]] = {}
    for sample in page.samples:
        names = sample.name, re.sub("_(bucket|sum|count|total|created|info)$", "", sample.name)
        family = next((name for name in names if name in page.types), sample.name)
        families.setdefault(family, []).append(Line(sample.name, dict(sample.labels), sample.value))
    return tuple(Family(name, page.types.get(name), tuple(lines)) for name, lines in families.items())


# Edits: a page and a source of chance, which says where.

STRANGE = (0.0, -0.0, 1.0, -1.0, 0.5, 17.5, 2.0**53 + 1, 2.0**63, 1e300, -1e300, 1.7e308, 5e-324)
NO_NUMBERS = (math.nan, math.inf, -math.inf)
RANK_LABELS = ("dp_rank", "engine", "worker_addr", "tp_rank")


def some(chance: Random, page: Page, at_most: int = 8, which: Callable[[Family], bool] = bool) -> set[str]:
    """The names of a few families."""
    names = [family.name for family in page if which(family)]
    return set(chance.sample(names, min(len(names), chance.randint(1, at_most))))


def each(page: Page, names: set[str], change: Callable[[Line], Line]) -> Page:
    return tuple(family.each(change) if family.name in names else family for family in page)


def counting(page: Page) -> set[str]:
    return {family.name for family in page if family.counts}


def everything(page: Page) -> set[str]:
    return {family.name for family in page}


def a_rank(page: Page, chance: Random, label: str) -> str | None:
    values = sorted({line.labels[label] for family in page for line in family.lines if label in line.labels})
    return chance.choice(values) if values else None


def drop_families(page, chance):
    gone = some(chance, page, 12)
    return tuple(family for family in page if family.name not in gone)


def drop_series(page, chance):
    thinned = some(chance, page)
    return tuple(
        family._replace(lines=tuple(line for line in family.lines if chance.random() < 0.7))
        if family.name in thinned
        else family
        for family in page
    )


def drop_types(page, chance):
    bare = some(chance, page)
    return tuple(family._replace(kind=None) if family.name in bare else family for family in page)


def drop_everything(page, chance):
    return ()


def replace_values(page, chance):
    value, share = chance.choice(STRANGE + NO_NUMBERS), chance.choice((1.0, 0.3))
    return each(page, some(chance, page), lambda line: line.at(value) if chance.random() < share else line)


def scale_values(page, chance):
    factor = chance.choice((0.001, 0.5, 0.99, 1.01, 2.0, 1e6, 1e290, -1.0))
    return each(page, some(chance, page, 12), lambda line: line.at(line.value * factor))


def set_gauges(page, chance):
    """To loads that verdicts are about: nothing, a few, many; a pool that is nearly full."""
    value = chance.choice((0.0, 1.0, 3.0, 30.0, 0.85, 0.95))
    return each(page, some(chance, page, 20, lambda family: family.kind == "gauge"), lambda line: line.at(value))


def let_all_fall(page, chance):
    part = chance.choice((0.0, 0.1, 0.9))
    return each(page, counting(page), lambda line: line.at(float(int(line.value * part))) if line.is_finite else line)


def let_one_fall(page, chance):
    lines = [line for family in page if family.counts for line in family.lines]
    fallen = chance.choice(lines) if lines else None
    return each(page, counting(page), lambda line: line.at(line.value / 2) if line is fallen else line)


def let_a_rank_fall(page, chance):
    label = chance.choice(RANK_LABELS)
    rank = a_rank(page, chance, label)
    return each(page, counting(page), lambda line: line.at(0.0) if line.labels.get(label) == rank else line)


def change_process(page, chance):
    pid = chance.choice(("7", "4711"))
    return each(page, everything(page), lambda line: line.labelled(pid=pid) if "pid" in line.labels else line)


def add_process(page, chance):
    return tuple(
        family.more([line.labelled(pid="8") for line in family.lines if "pid" in line.labels]) for family in page
    )


def name_processes(page, chance):
    return each(page, some(chance, page), lambda line: line.labelled(pid="9"))


def forget_processes(page, chance):
    return each(
        page,
        everything(page),
        lambda line: line._replace(labels={name: value for name, value in line.labels.items() if name != "pid"}),
    )


def starts(page):
    return {family.name for family in page if "startup_time" in family.name or "start_time" in family.name}


def change_start(page, chance):
    seconds = chance.choice((1.0, -1.0, 100.0))
    return each(page, starts(page), lambda line: line.at(line.value + seconds))


def forget_start(page, chance):
    gone = starts(page)
    return tuple(family for family in page if family.name not in gone)


def add_rank(page, chance):
    """One more data-parallel, tensor or pipeline rank, in all families that have them or in some."""
    label = chance.choice(("dp_rank", "tp_rank", "pp_rank", "engine"))
    like = "engine_type" if label == "dp_rank" else label
    rank, share = chance.choice("123"), chance.choice((1.0, 1.0, 0.5))
    return tuple(
        family.more([line.labelled(**{label: rank}) for line in family.lines if like in line.labels])
        if chance.random() < share
        else family
        for family in page
        if not any(line.labels.get(label) == rank for line in family.lines)
    )


UNKNOWN = {
    "mode": "thought",
    "status_code": "999",
    "cache_source": "tape",
    "finished_reason": "bored",
    "priority": "5",
    "engine_type": "dynamic",
    "is_streaming": "maybe",
    "model_name": "another",
    "dp_rank": "x",
    "engine": "x",
    "err": "odd",
}


def add_unknown_labels(page, chance):
    label, beside = chance.choice(sorted(UNKNOWN)), chance.choice((True, False))

    def known(line):
        return label not in line.labels

    def other(line):
        return line if known(line) else line.labelled(**{label: UNKNOWN[label]})

    return tuple(
        family.more([other(line) for line in family.lines if not known(line)]) if beside else family.each(other)
        for family in page
    )


def let_one_rank_work(page, chance):
    """While the others stand still."""
    label = chance.choice(RANK_LABELS)
    rank = a_rank(page, chance, label)
    at_work = counting(page) | {family.name for family in page if "running" in family.name}
    return each(page, at_work, lambda line: line.at(line.value + 40) if line.labels.get(label) == rank else line)


def let_answers_fail(page, chance):
    code = chance.choice(("200", "404", "500", "503"))
    return tuple(
        family.more(line.labelled(status_code=code, path="/v1") for line in family.lines[:1])
        if "responses" in family.name or "failed" in family.name
        else family
        for family in page
    )


def reorder(page, chance):
    return tuple(chance.sample(page, len(page)))


def histograms(page, chance):
    return some(chance, page, 6, lambda family: family.kind == "histogram")


def cut_bounds(page, chance):
    cut, kept = histograms(page, chance), chance.choice((0.0, 0.3, 0.8))
    keeps: dict[str, bool] = {}

    def stays(line):
        bound = line.labels.get("le")
        return bound is None or keeps.setdefault(bound, chance.random() < kept)

    return tuple(
        family._replace(lines=tuple(filter(stays, family.lines))) if family.name in cut else family for family in page
    )


def let_buckets_run_ahead(page, chance):
    """As on a page that is written while requests finish."""
    return each(
        page,
        histograms(page, chance),
        lambda line: line.at(line.value + chance.choice((1.0, 2.0, 50.0))) if chance.random() < 0.2 else line,
    )


EDITS = {
    edit.__name__: edit
    for edit in (
        *(drop_families, drop_series, drop_types, drop_everything, replace_values, scale_values, set_gauges),
        *(let_all_fall, let_one_fall, let_a_rank_fall, change_process, add_process, name_processes, forget_processes),
        *(change_start, forget_start, add_rank, add_unknown_labels, let_one_rank_work, let_answers_fail, reorder),
        *(cut_bounds, let_buckets_run_ahead),
    )
}


def work(page: Page, chance: Random) -> Page:
    """Counters rise, histograms fill from some bound on, gauges change."""
    share = chance.choice((0.1, 0.5, 1.0))

    def worked(family: Family) -> Family:
        if chance.random() > share or not all(line.is_finite for line in family.lines):
            return family
        if family.kind == "histogram":
            return filled(family, chance.choice((0.005, 0.3, 2.0, 30.0, 1e9)), chance.choice((1, 25, 400)))
        if family.kind == "counter":
            step = chance.choice((1, 7, 300, 20_000))
            return family.each(lambda line: line.at(line.value + step))
        if family.kind == "gauge" and "start" not in family.name:
            return family.each(lambda line: line.at(line.value * chance.choice((0.0, 1.0, 1.5))))
        return family

    return tuple(map(worked, page))


def filled(family: Family, seconds: float, requests: int) -> Family:
    def more(line: Line) -> Line:
        if line.name.endswith("_sum"):
            return line.at(line.value + requests * seconds)
        return line.at(line.value + requests) if float(line.labels.get("le", "+Inf")) >= seconds else line

    return family.each(more)


# Lives

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

    def told(self, change: Callable[[Page], Page] = tuple) -> list["Told"]:
        """What each scrape tells, one after the other, as in `pipeline.observe`; each page may be changed before."""
        at, memory, before = ASKED_AT, NO_MEMORY, (None, None)
        told = []
        for scrape, page in zip(self.scrapes, self.pages(), strict=True):
            at += timedelta(seconds=scrape.seconds)
            one = target(engine=self.engine, slot_ms=round(at.timestamp() * 1000))
            try:
                if page is None:
                    raise FAILURES[scrape.failure]
                body = text_of(change(page))
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

    def good(self, change: Callable[[Page], Page] = tuple) -> list["Told"]:
        return [told for told in self.told(change) if told.reading]


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
