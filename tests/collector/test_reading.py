"""A page says the same whether it was just scraped or read back, and a brief reading leads to the same verdict."""

import re
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from collector import findings, health
from collector.item import Stored
from collector.lines import Lines
from collector.pages import Told
from collector.pipeline import BRIEF
from collector.reading import WHOLE, Received, read, recall
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
# How a rule names a field; and what every interval has.
LOOKED_AT = re.compile(r"\b(interval|(?:request|cache|system)_metrics)\.(\w+)")
ALWAYS_READ = {"interval.since", "interval.seconds", "interval.restarted"}
PAIRS = [pytest.param(*pair, id="-then-".join(pair)) for run in RUNS for pair in pairwise(run)]


def page(name):
    return (PAGES / f"sglang-0.5.23-{name}.prom").read_bytes()


def verdict(reading):
    return health.judge(reading.snapshot, reading.interval, reading.moves, NO_MEMORY, LATER)


def stored(body, at, earlier=None):
    return Stored(target(), at, 0.02, 1000, Told(Lines.of(body), None), None, None, None, earlier)


@pytest.mark.parametrize(("before", "after"), PAIRS)
def test_what_is_read_back_is_what_was_read(before, after):
    fresh = read(target(), LATER, Received(page(after), 0.02, 1000), Lines.of(page(before)), ASKED_AT)
    kept = recall(stored(page(after), LATER, stored(page(before), ASKED_AT)))
    assert (kept.snapshot, kept.interval, kept.moves) == (fresh.snapshot, fresh.interval, fresh.moves)


@pytest.mark.parametrize(("before", "after"), PAIRS)
def test_a_brief_reading_leads_to_the_same_verdict(before, after):
    whole, brief = (
        read(target(), LATER, Received(page(after), 0.02, 1000), Lines.of(page(before)), ASKED_AT, detail)
        for detail in (WHOLE, BRIEF)
    )
    assert verdict(brief) == verdict(whole)


@pytest.mark.parametrize(
    ("name", "engine"),
    [
        pytest.param("router-0.3.2-after-load", "sglang", id="router"),
        pytest.param("router-0.3.2-engine-metrics", "sglang", id="workers"),
        pytest.param("vllm-0.33.0-dp2", "vllm", id="vllm"),
        pytest.param("tgi-documented", "tgi", id="tgi"),
        pytest.param("vllm-0.11.0-dp2", "tgi", id="of-another-engine"),
    ],
)
def test_so_does_one_of_any_engine(name, engine):
    body = (PAGES / f"{name}.prom").read_bytes()
    whole, brief = (
        read(target(engine=engine), LATER, Received(body, 0.02, 1000), Lines.of(body), ASKED_AT, detail)
        for detail in (WHOLE, BRIEF)
    )
    assert verdict(brief) == verdict(whole)


def test_a_page_is_of_an_unknown_engine_only_if_nothing_at_all_is_known_on_it():
    body = b"# TYPE sglang:radix_cache_size gauge\nsglang:radix_cache_size 3.0\n"
    reading = read(target(), LATER, Received(body, 0.02, 80), None, None, BRIEF)
    assert reading.snapshot.cache_metrics.radix_cache_size == 3
    assert not any(finding.code == "unknown_engine" for finding in verdict(reading)[0].findings)


def test_a_brief_reading_has_all_that_the_rules_look_at():
    rules = [Path(health.__file__), *Path(findings.__file__).parent.glob("*.py")]
    looked_at = {".".join(found) for rule in rules for found in LOOKED_AT.findall(rule.read_text())}
    assert looked_at >= {"cache_metrics.kv_usage_ratio", "interval.retracted"}
    assert looked_at - ALWAYS_READ <= BRIEF.fields


@pytest.mark.parametrize("seconds", [0, 0.5, -60, 3601], ids=["at-once", "too-soon", "a-clock-went-back", "long-ago"])
def test_pages_too_near_or_far_from_each_other_tell_nothing_of_a_time(seconds):
    since = LATER - timedelta(seconds=seconds)
    assert read(target(), LATER, Received(page("ok-2"), 0.02, 1000), Lines.of(page("ok-1")), since).interval is None
