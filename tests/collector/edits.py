"""What may be done to a page: by servers at work, by faults, proxies and other versions.

Each edit takes a page and a source of chance, which says where.
"""

import math
from collections.abc import Callable, Iterable
from random import Random

from written import Family, Line, Page

STRANGE = (0.0, -0.0, 1.0, -1.0, 0.5, 17.5, 2.0**53 + 1, 2.0**63, 1e300, -1e300, 1.7e308, 5e-324)
NO_NUMBERS = (math.nan, math.inf, -math.inf)
RANK_LABELS = ("dp_rank", "engine", "worker_addr", "tp_rank")


def some(chance: Random, page: Page, which: Callable[[Family], bool] = bool) -> set[str]:
    """The names of one family, of a few, or of half a page's."""
    names = [family.name for family in page if which(family)]
    return set(chance.sample(names, min(len(names), chance.choice((1, 4, 12, 40)))))


def each(page: Page, names: set[str], change: Callable[[Line], Line]) -> Page:
    return tuple(family.each(change) if family.name in names else family for family in page)


def counting(page: Page) -> set[str]:
    return {family.name for family in page if family.counts}


def everything(page: Page) -> set[str]:
    return {family.name for family in page}


def a_rank(page: Page, chance: Random) -> tuple[str, str]:
    """A label and its value that some of the page's series have."""
    labels = chance.sample(RANK_LABELS, len(RANK_LABELS))
    there = {pair for family in page for line in family.lines for pair in line.labels.items()}
    return next((chance.choice(ranks) for name in labels if len(ranks := sorted(of(name, there))) > 1), ("", ""))


def of(label: str, pairs: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    return [pair for pair in pairs if pair[0] == label]


def drop_families(page, chance):
    gone = some(chance, page)
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
    return each(page, some(chance, page), lambda line: line.at(line.value * factor))


def set_gauges(page, chance):
    """To loads that verdicts are about: nothing, a few, many; a pool that is nearly full."""
    value = chance.choice((0.0, 1.0, 3.0, 30.0, 0.85, 0.95))
    return each(page, some(chance, page, lambda family: family.kind == "gauge"), lambda line: line.at(value))


def let_all_fall(page, chance):
    part = chance.choice((0.0, 0.1, 0.9))
    return each(page, counting(page), lambda line: line.at(float(int(line.value * part))) if line.is_finite else line)


def let_one_fall(page, chance):
    families = [family for family in page if family.counts and family.lines]
    fallen = chance.choice(chance.choice(families).lines) if families else None
    return each(page, counting(page), lambda line: line.at(line.value / 2) if line is fallen else line)


def let_a_rank_fall(page, chance):
    label, rank = a_rank(page, chance)
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
    label, rank = a_rank(page, chance)
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
    return some(chance, page, lambda family: family.kind == "histogram")


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
