"""A verdict and a memory are read back as they were, from few bytes."""

from datetime import timedelta

import pytest

from collector.backoff import State
from collector.errors import DeadlineError
from collector.findings.case import found
from collector.findings.hints import HINTS, hint
from collector.health import judge_failure
from collector.item import item_bytes
from collector.packing import deflate, inflate
from collector.remembered import USUAL_FINDINGS, read_health, read_memory, tell_health, tell_memory
from collector.snapshot import VersionRange
from collector.verdict import NO_MEMORY, Health, Memory
from support import ASKED_AT

AT_MS = int(ASKED_AT.timestamp()) * 1000
KEY = {"instance_id": {"S": "sglang-001"}, "slot": {"N": str(AT_MS)}, "engine": {"S": "sglang"}}
NEWEST = VersionRange(at_least="0.5.23", before=None)
SLOW = found("slow_tokens", "degraded", "Slow.", hint("slow_tokens", "sglang", NEWEST), {"limit_seconds": 0.2})
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


def tell_json(*findings):
    return inflate(tell(*findings), USUAL_FINDINGS)


def tell(*findings):
    return dict(tell_health(health(*findings)))["findings"]["B"]


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


@pytest.mark.parametrize(
    "memory",
    [
        pytest.param({"S": "[1,0,1]"}, id="an-older-form"),
        pytest.param({"M": {"s": {"N": "5"}, "p": {"S": "soon"}}}, id="a-time-that-is-a-word"),
        pytest.param({"M": {"s": {"N": "5"}, "f": {"N": "1.5"}}}, id="a-failure-and-a-half"),
        pytest.param({"M": {"s": {"N": "5"}, "k": {"N": "1"}}}, id="ranks-that-are-a-number"),
    ],
)
def test_a_memory_that_cannot_be_read_is_forgotten_and_keeps_no_other_from_being_read(memory):
    item = item_of(health(), FULL, True) | {"memory": memory}
    assert read_memory(item) == Memory(status="degraded", last_good_slot_ms=AT_MS)
    assert read_health(item) is None


def test_nothing_remembered_takes_no_attribute():
    assert dict(tell_memory(NO_MEMORY, AT_MS, good=False)) == {}


@pytest.mark.parametrize("engine", ["sglang", "vllm", "tgi"])
@pytest.mark.parametrize("key", HINTS)
def test_every_hint_is_read_back_though_its_key_alone_is_kept(key, engine):
    finding = found("some_code", "degraded", "Something was found.", hint(key, engine, NEWEST), {"rank": "0"})
    item = item_of(health(finding), FULL, True, engine)
    assert read_health(item).findings == (finding,)
    assert item_bytes(item) - item_bytes(item_of(health(), FULL, True, engine)) < 120


def test_a_hint_in_other_words_is_kept_in_those():
    finding = found("some_code", "degraded", "Something was found.", "Words of nobody.", {})
    assert read_health(item_of(health(finding), FULL, True)).findings == (finding,)


def test_a_hint_under_a_key_of_a_later_release_is_left_out_and_takes_nothing_with_it():
    finding = found("some_code", "degraded", "Something was found.", "some_code by a cause of its own", {})
    assert read_health(item_of(health(finding), FULL, True)).findings == (finding.model_copy(update={"hint": None}),)


@pytest.mark.parametrize(
    "findings",
    [
        pytest.param({"B": b"nothing that was ever packed"}, id="no-deflate"),
        pytest.param({"B": tell(SLOW)[:-3]}, id="cut-short"),
        pytest.param({"B": tell(SLOW) + b"2"}, id="with-something-behind"),
        pytest.param({"B": b""}, id="empty"),
        pytest.param({"B": deflate(b"[{]", USUAL_FINDINGS)}, id="no-json"),
        pytest.param({"B": deflate(b'[{"code":"slow_tokens"}]', USUAL_FINDINGS)}, id="fields-missing"),
        pytest.param({"B": deflate(tell_json(SLOW).replace(b"degraded", b"dreadful"), USUAL_FINDINGS)}, id="severity"),
        pytest.param({"S": "slow_tokens"}, id="another-type"),
    ],
)
def test_findings_that_are_spoilt_are_told_as_one_and_leave_the_status_and_since_when(findings):
    verdict = health(SLOW)
    read = read_health(item_of(verdict, FULL, True) | {"findings": findings})
    assert (read.status, read.since) == (verdict.status, verdict.since)
    [finding] = read.findings
    assert (finding.code, finding.severity) == ("unreadable_findings", "warning")
    assert finding.message == "What was found then is stored, and cannot be read: it is damaged, or of another release."
    assert finding.evidence["reason"]
    assert "slow_tokens" not in finding.evidence["reason"]


def test_a_status_of_a_later_release_is_unknown_to_this_one():
    item = item_of(health(SLOW), FULL, True) | {"health": {"S": "on_fire"}}
    assert (read_health(item).status, read_health(item).findings) == ("unknown", (SLOW,))


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
            hint(code, "sglang", NEWEST),
            {f"{field}_{name}": value for name, value in evidence.items()},
        )
        for code, what, limit, field in (
            ("slow_first_token", "first", 5, "time_to_first_token"),
            ("slow_tokens", "next", 0.2, "inter_token_latency"),
        )
    ]
    memory = Memory(status="degraded", since_ms=AT_MS, progress_ms=AT_MS, gauges_ms=AT_MS, restarts=(False,) * 5)
    assert item_bytes(item_of(health(*slow), memory, True)) - item_bytes(ITEM | PAGE) < 160
