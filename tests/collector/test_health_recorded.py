"""A real server's life, replayed scrape by scrape: idle, at work, overloaded, stopped, killed and begun anew."""

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from edits import each
from lives import Life, Scrape

from collector import health
from collector.engines import sglang
from collector.errors import RefusedError
from collector.exposition import parse
from collector.snapshot import ScrapeFacts
from collector.verdict import NO_MEMORY
from support import PAGES, target

AT_WORK = {"sglang:realtime_tokens_total"}
LIFE = json.loads((PAGES / "sglang-0.5.23-health.json").read_text())


def replay(server):
    """The verdict on each scrape of a server, by the name of its page."""
    memory, before, verdicts = NO_MEMORY, None, {}
    for name, scrape in LIFE.items():
        if scrape["server"] != server:
            continue
        at = datetime.fromtimestamp(scrape["at_ms"] / 1000, UTC)
        short = name.removeprefix("sglang-0.5.23-").removesuffix(".prom")
        if "error" in scrape:
            for failures in (1, 2):
                verdicts[f"{short}-{failures}"], memory = health.judge_failure(
                    RefusedError(scrape["error"]), memory, at, failures
                )
            continue
        page = parse((PAGES / name).read_bytes())
        facts = ScrapeFacts(
            duration_seconds=0.05, wire_bytes=9000, page_bytes=90_000, samples=len(page.samples), bad_lines=0
        )
        snapshot = sglang.ENGINE.read_snapshot(page, target(), at, facts)
        interval = moves = None
        if before:
            since, earlier = before
            interval, moves = sglang.ENGINE.read_interval(earlier, page, since, (at - since).total_seconds())
        verdicts[short], memory = health.judge(snapshot, interval, moves, memory, at)
        memory = replace(memory, last_good_slot_ms=scrape["at_ms"])
        before = at, page
    return verdicts


@pytest.fixture(scope="module")
def one_life():
    return replay("a")


@pytest.mark.parametrize(
    ("page", "status"),
    [
        ("ok-2", "ok"),
        ("idle-2", "idle"),
        ("stalled-45s", "stalled"),
        ("restart-refused-1", "ok"),
        ("restart-refused-2", "unreachable"),
        ("restart-fresh", "restarted"),
        ("restart-loaded", "ok"),
    ],
)
def test_the_verdict_is_what_was_done_to_the_server(one_life, page, status):
    assert one_life[page].status == status


def test_a_stall_is_no_stall_before_its_time(one_life):
    assert {one_life[page].status for page in ("stalled-before", "stalled-5s")} == {"ok"}
    assert [finding.code for finding in one_life["stalled-25s"].findings] == ["scheduler_not_beating"]
    assert one_life["stalled-resumed"].status == "ok"


@pytest.mark.parametrize("step", [15, 30])
def test_of_two_ranks_at_work_the_one_that_stands_still_is_found_at_any_interval(step):
    def other_works(page, place):
        tokens = 40 * place
        return each(page, AT_WORK, lambda line: line.at(line.value + tokens) if line.labels["dp_rank"] == "1" else line)

    begun = Scrape(0, "sglang-0.5.23-dp2-load-later", None, ())
    told = Life("sglang", (begun, *[Scrape(step, None, None, ())] * 4)).told(other_works)
    for scrape, one in enumerate(told):
        found = [finding.evidence["ranks"] for finding in one.health.findings if finding.code == "rank_stalled"]
        assert found == (["0"] if scrape * step >= 35 else []), scrape


def test_an_overloaded_server_is_saturated():
    verdicts = replay("b")
    assert verdicts["saturated-1"].status not in ("stalled", "unreachable")
    assert {verdicts[page].status for page in ("saturated-2", "saturated-3")} == {"saturated"}


def test_nothing_critical_was_found_of_a_server_at_work(one_life):
    at_work = (
        "ok-1",
        "ok-2",
        "idle-1",
        "idle-2",
        "stalled-before",
        "stalled-resumed",
        "restart-fresh",
        "restart-loaded",
    )
    assert not [finding for page in at_work for finding in one_life[page].findings if finding.severity == "critical"]
