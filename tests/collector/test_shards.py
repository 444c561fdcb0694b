"""Lines in a shard's item: the newest of each target, whoever brings it and in whatever order."""

import zlib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector import shards, slots
from collector.errors import LateError, RefusedError
from collector.item import HEADLINES
from collector.outcome import Outcome
from collector.shards import Line, Shard, UnreadableShardError
from collector.verdict import Memory
from fleet_lines import line
from support import ASKED_AT, PAGES, snapshot_of, target

SHARD = Shard(60, 16, 3)
SLOT_MS = 1_795_489_200_000
DAY_MS = 86_400_000
TIMES = st.integers(0, 4_102_444_800_000)
FIGURES = st.none() | st.floats(0, 1e12, allow_nan=False).map(lambda number: float(f"{number:.4g}"))
LINES = st.builds(
    Line,
    instance_id=st.from_regex(r"[A-Za-z0-9._:-]{1,128}", fullmatch=True),
    slot_ms=st.integers(SLOT_MS, SLOT_MS + 60_000),
    at_ms=TIMES,
    interval_seconds=st.just(60),
    engine=st.sampled_from(["sglang", "vllm", "tgi"]),
    models=st.lists(st.text(max_size=128), max_size=8).map(tuple),
    status=st.none() | st.sampled_from(["ok", "stalled", "unreachable"]),
    since_ms=st.none() | TIMES,
    progress_ms=st.none() | TIMES,
    last_good_slot_ms=st.none() | TIMES,
    failures=st.integers(0, 10_000),
    code=st.none() | st.sampled_from(["timeout", "late"]),
    **dict.fromkeys(HEADLINES.values(), FIGURES),
    stale_intervals=st.none() | st.floats(1e-6, 1e6),
)


def put(there, *lines):
    """The item after it was asked to take these in, whether it changed or not."""
    return shards.with_lines(SHARD, there, lines) or there


def slots_of(item):
    return {line.instance_id: line.slot_ms for line in shards.read_lines(item)}


@given(st.lists(LINES, min_size=1, max_size=30, unique_by=lambda line: line.instance_id))
def test_what_is_put_into_an_item_is_read_from_it(lines):
    item = put(None, *lines)
    assert set(shards.read_lines(item)) == set(lines)
    assert (item["pk"], item["sk"], item["version"]) == ({"S": "fleet"}, {"S": "60/16/3"}, {"N": "1"})
    assert int(item["expires_at"]["N"]) == max(line.slot_ms for line in lines) // 1000 + 86_400


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 5)), min_size=1, max_size=20).flatmap(
        lambda brought: st.tuples(st.just(brought), st.permutations(brought), st.integers(1, 4))
    )
)
def test_of_each_target_the_newest_slot_stands_in_whatever_order_and_parts_they_come(case):
    brought, order, size = case
    item = None
    for first in range(0, len(order), size):
        item = put(item, *(line(name, SLOT_MS + 60_000 * slot) for name, slot in order[first : first + size]))
    assert slots_of(item) == {
        name: SLOT_MS + 60_000 * max(slot for other, slot in brought if other == name) for name in dict(brought)
    }


def test_an_item_changes_its_version_and_one_that_learns_nothing_stays():
    first = put(None, line("a"), line("b"))
    assert shards.with_lines(SHARD, first, [line("a")]) is None
    assert shards.with_lines(SHARD, first, [line("b", SLOT_MS - 60_000)]) is None
    assert put(first, line("a", SLOT_MS + 60_000))["version"] == {"N": "2"}


def test_of_a_slot_that_comes_twice_the_first_line_stands():
    item = put(None, line("a", status="stalled"))
    assert shards.with_lines(SHARD, item, [line("a", status="ok", code="late")]) is None


def test_a_line_that_nothing_followed_for_a_day_is_left_out_with_the_next_write():
    item = put(None, line("gone", SLOT_MS), line("there", SLOT_MS))
    assert slots_of(put(item, line("there", SLOT_MS + DAY_MS - 60_000))).keys() == {"gone", "there"}
    assert slots_of(put(item, line("there", SLOT_MS + DAY_MS))).keys() == {"there"}


def test_a_server_that_cannot_be_scraped_keeps_the_models_that_it_named_last():
    item = put(None, line("a", models=("llama",)))
    item = put(item, line("a", SLOT_MS + 60_000, models=(), code="timeout"))
    [after] = shards.read_lines(item)
    assert (after.models, after.code) == (("llama",), "timeout")
    assert shards.read_lines(put(item, line("a", SLOT_MS + 120_000, models=("qwen",))))[0].models == ("qwen",)


BASE = put(None, line("a"))


@pytest.mark.parametrize(
    ("attributes", "words"),
    [
        pytest.param({"lines": {"B": b"?"}}, "shard 60/16/3 cannot be read", id="not-compressed"),
        pytest.param({"lines": {"B": zlib.compress(b"{")}}, "cannot be read", id="not-json"),
        pytest.param({"lines": {"B": zlib.compress(b"[1,0,[1]]")}}, "cannot be read", id="another-row"),
        pytest.param({"lines": {"B": zlib.compress(b"[2,0]")}}, "lines of format 2", id="another-format"),
        pytest.param({"lines": {"S": "a"}}, "cannot be read", id="another-type"),
        pytest.param({"sk": {"S": "sixty"}}, "shard sixty cannot be read", id="another-name"),
    ],
)
def test_an_item_that_no_release_has_written_is_refused_and_gives_way(attributes, words):
    with pytest.raises(UnreadableShardError, match=words):
        shards.read_lines(BASE | attributes)
    assert slots_of(put(BASE | attributes, line("b"))) == {"b": SLOT_MS}


def test_a_target_stands_in_the_shard_of_its_position_and_one_that_was_asked_for_once_in_none():
    regular = target(instance_id="sglang-001", interval_seconds=60, shards=64)
    assert Shard.of(regular) == (60, 64, slots.shard(slots.position("sglang-001"), 64))
    assert Shard.of(target()) is None
    assert Shard.of(target(interval_seconds=60)) is None  # of a schedule before this release


@pytest.mark.parametrize(("own", "intervals"), [({}, None), ({"stale_intervals": 10.0}, 10.0)], ids=["usual", "own"])
def test_a_line_says_after_how_many_intervals_its_target_is_stale_where_it_has_its_own(own, intervals):
    one = target(interval_seconds=60, shards=16, thresholds={"stalled_seconds": 90.0} | own)
    said = shards.line_of(Outcome(one, ASKED_AT, error=RefusedError("refused")))
    assert said.stale_intervals == intervals
    assert shards.read_lines(put(None, said))[0].stale_intervals == intervals


def test_a_good_scrapes_line_says_what_its_snapshot_and_its_memory_say():
    snapshot = snapshot_of(PAGES / "sglang-0.5.23-load.prom")
    memory = Memory("ok", since_ms=5, last_good_slot_ms=60_000, progress_ms=7)
    one = target(slot_ms=60_000, interval_seconds=60, shards=16)
    said = shards.line_of(Outcome(one, ASKED_AT, snapshot, memory=memory))
    assert (said.instance_id, said.slot_ms, said.at_ms) == ("sglang-001", 60_000, SLOT_MS)
    assert (said.status, said.since_ms, said.progress_ms, said.last_good_slot_ms) == ("ok", 5, 7, 60_000)
    assert (said.run, said.wait) == (
        snapshot.system_metrics.num_requests_running,
        snapshot.system_metrics.num_requests_waiting,
    )
    assert (said.kv, said.models) == (pytest.approx(snapshot.cache_metrics.kv_usage_ratio, rel=1e-3), snapshot.models)
    assert (said.hit, said.ttft, said.code) == (None, None, None)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        pytest.param(RefusedError("nothing listens there"), "connection_refused", id="failed"),
        pytest.param(LateError("not asked"), "late", id="passed-over"),
    ],
)
def test_a_slot_without_a_page_has_a_line_with_the_reason_and_what_is_remembered(error, code):
    memory = Memory("unreachable", since_ms=5, failures=3, last_good_slot_ms=60_000)
    said = shards.line_of(Outcome(target(slot_ms=1, interval_seconds=60), ASKED_AT, error=error, memory=memory))
    assert (said.code, said.status, said.since_ms, said.failures, said.last_good_slot_ms) == (
        code, "unreachable", 5, 3, 60_000
    )  # fmt: skip
    assert {getattr(said, name) for name in HEADLINES.values()} == {None}


def test_a_page_that_names_many_long_models_takes_no_more_room_than_eight_of_them():
    snapshot = snapshot_of(PAGES / "sglang-0.5.23-load.prom")
    snapshot = snapshot.model_copy(update={"models": tuple(f"{number:03}" * 100 for number in range(1_000))})
    said = shards.line_of(Outcome(target(interval_seconds=60), ASKED_AT, snapshot))
    assert [len(model) for model in said.models] == [128] * 8
    assert replace(said, models=()) == shards.line_of(
        Outcome(target(interval_seconds=60), ASKED_AT, snapshot.model_copy(update={"models": ()}))
    )
