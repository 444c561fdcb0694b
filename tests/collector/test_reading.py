"""A page says the same whether it was just scraped or read back, and a brief reading leads to the same verdict."""

from datetime import timedelta
from itertools import pairwise

import pytest

from collector import health
from collector.item import Stored
from collector.lines import Lines
from collector.pages import Told
from collector.reading import BRIEF, WHOLE, Received, read, recall
from collector.verdict import NO_MEMORY
from support import ASKED_AT, PAGES, target

LATER = ASKED_AT + timedelta(seconds=60)
RUNS = [
    ["idle", "load", "load-later", "after-load"],
    ["ok-1", "ok-2", "idle-1", "idle-2"],
    ["stalled-before", "stalled-5s", "stalled-25s", "stalled-45s", "stalled-resumed"],
    ["restart-before", "restart-fresh", "restart-loaded"],
    ["saturated-1", "saturated-2", "saturated-3"],
    ["dp2-fresh", "dp2-idle", "dp2-load", "dp2-load-later", "dp2-after-load"],
]
PAIRS = [pytest.param(*pair, id="-then-".join(pair)) for run in RUNS for pair in pairwise(run)]


def page(name):
    return (PAGES / f"sglang-0.5.23-{name}.prom").read_bytes()


def stored(body, at, earlier=None):
    return Stored(target(), at, 0.02, 1000, Told(Lines.of(body), None), None, None, None, earlier)


@pytest.mark.parametrize(("before", "after"), PAIRS)
def test_what_is_read_back_is_what_was_read(before, after):
    fresh = read(target(), LATER, Received(page(after), 0.02, 1000), Lines.of(page(before)), ASKED_AT)
    kept = recall(stored(page(after), LATER, stored(page(before), ASKED_AT)))
    assert (kept.snapshot, kept.interval, kept.moves) == (fresh.snapshot, fresh.interval, fresh.moves)


@pytest.mark.parametrize(("before", "after"), PAIRS)
def test_a_brief_reading_leads_to_the_same_verdict(before, after):
    verdicts = []
    for detail in WHOLE, BRIEF:
        reading = read(target(), LATER, Received(page(after), 0.02, 1000), Lines.of(page(before)), ASKED_AT, detail)
        verdicts.append(health.judge(reading.snapshot, reading.interval, reading.moves, NO_MEMORY, LATER))
    assert verdicts[0] == verdicts[1]


@pytest.mark.parametrize("seconds", [0, 0.5, -60, 3601], ids=["at-once", "too-soon", "a-clock-went-back", "long-ago"])
def test_pages_too_near_or_far_from_each_other_tell_nothing_of_a_time(seconds):
    since = LATER - timedelta(seconds=seconds)
    assert read(target(), LATER, Received(page("ok-2"), 0.02, 1000), Lines.of(page("ok-1")), since).interval is None
