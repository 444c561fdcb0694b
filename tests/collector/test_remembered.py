"""A verdict and a memory are read back as they were, from few bytes."""

from datetime import timedelta

import pytest

from collector.backoff import State
from collector.errors import DeadlineError
from collector.findings.case import found
from collector.findings.hints import HINTS, hint
from collector.health import judge_failure
from collector.item import item_bytes
from collector.remembered import read_health, read_memory, tell_health, tell_memory
from collector.verdict import NO_MEMORY, Health, Memory
from support import ASKED_AT

AT_MS = int(ASKED_AT.timestamp()) * 1000
KEY = {"instance_id": {"S": "sglang-001"}, "slot": {"N": str(AT_MS)}, "engine": {"S": "sglang"}}
ITEM = KEY | {"scraped_at": {"N": str(AT_MS)}}
PAGE = {"blob": {"B": b"2"}}
FULL = Memory(
    status="degraded",
    since_ms=AT_MS - 86_400_000,
    failures=3,
    last_good_slot_ms=AT_MS - 180_000,
    progress_ms=AT_MS,
    gauges_ms=AT_MS - 1,
    heartbeat_ms=AT_MS - 61_234,
    most_running=40.0,
    restarts=(False, True, False, False, True),
    still_ranks={"1": AT_MS - 30_000},
)


def item_of(health, memory, good, engine="sglang"):
    item = ITEM | {"engine": {"S": engine}} | (PAGE if good else {})
    return item | dict(tell_health(health)) | dict(tell_memory(memory, AT_MS, good))


def health(*findings):
    return Health(status="degraded", since=ASKED_AT - timedelta(days=1), findings=findings)


@pytest.mark.parametrize(
    ("memory", "good"),
    [
        pytest.param(FULL, False, id="of-a-failure"),
        pytest.param(Memory(status="degraded", since_ms=AT_MS, last_good_slot_ms=AT_MS), True, id="of-a-good-scrape"),
        pytest.param(Memory(status="degraded"), False, id="next-to-nothing"),
    ],
)
def test_a_memory_is_read_back_as_it_was(memory, good):
    assert read_memory(item_of(health(), memory, good)) == memory


def test_nothing_remembered_takes_no_attribute():
    assert dict(tell_memory(NO_MEMORY, AT_MS, good=False)) == {}


@pytest.mark.parametrize("engine", ["sglang", "vllm", "tgi"])
@pytest.mark.parametrize("key", HINTS)
def test_every_hint_is_read_back_though_its_key_alone_is_kept(key, engine):
    finding = found("some_code", "degraded", "Something was found.", hint(key, engine), {"requests": 3.5, "rank": "0"})
    assert read_health(item_of(health(finding), FULL, True, engine)).findings == (finding,)


def test_a_hint_in_other_words_is_left_out_and_takes_nothing_with_it():
    finding = found("some_code", "degraded", "Something was found.", "Words of nobody.", {})
    assert read_health(item_of(health(finding), FULL, True)).findings == (finding.model_copy(update={"hint": None}),)


def test_what_is_found_of_a_failure_is_read_back():
    verdict, memory = judge_failure(DeadlineError("10.0.0.1: no answer in 10 s"), FULL, ASKED_AT, State(4).failures)
    assert verdict.status == "unreachable"
    assert read_health(item_of(verdict, memory, False)) == verdict


def test_two_usual_findings_and_a_memory_take_little_of_a_write_unit():
    evidence = {"p95_seconds": 7.863291694418102, "p95_lower_bound_seconds": 6.0, "count": 731.0, "limit_seconds": 0.2}
    slow = [
        found(
            code,
            "degraded",
            f"One in twenty waited 7.86 s or longer for the {what} token; {limit} s is the limit.",
            hint(code, "sglang"),
            {f"{field}_{name}": value for name, value in evidence.items()},
        )
        for code, what, limit, field in (
            ("slow_first_token", "first", 5, "time_to_first_token"),
            ("slow_tokens", "next", 0.2, "inter_token_latency"),
        )
    ]
    memory = Memory(status="degraded", since_ms=AT_MS, progress_ms=AT_MS, gauges_ms=AT_MS, restarts=(False,) * 5)
    assert item_bytes(item_of(health(*slow), memory, True)) - item_bytes(ITEM | PAGE) < 160
