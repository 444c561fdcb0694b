"""The fleet as a reader sees it: who is worst, since when, what all come to; and what is stale."""

from datetime import UTC, datetime, timedelta

import pytest

from collector import glance
from collector.fleet import Kept
from collector.thresholds import DEFAULT
from collector.verdict import Status
from fleet_lines import line

NOW = datetime(2026, 11, 24, 3, 1, tzinfo=UTC)
NOW_MS = round(NOW.timestamp() * 1000)


def kept(*lines, members=None):
    return Kept({one.instance_id: one for one in lines}, members, whole=True)


def fresh(instance_id="a", status="ok", since_seconds=600, **changes):
    """A line of a scrape 30 s ago."""
    at_ms = NOW_MS - 30_000
    return line(
        instance_id,
        at_ms - 100,
        **{"at_ms": at_ms, "status": status, "since_ms": NOW_MS - 1000 * since_seconds} | changes,
    )


def look(*lines, members=None, rules=DEFAULT):
    return glance.look(kept(*lines, members=members), NOW, rules)


def names(seen):
    return [one.place.instance_id for one in seen]


def rows(*lines, **options):
    return glance.page(look(*lines, **options), None, 1_000)[0]


def test_every_status_has_its_place():
    assert sorted(glance.STATUSES) == sorted(Status.__args__)


def test_the_worst_come_first_then_those_that_have_been_so_for_longest_then_by_name():
    lines = [fresh(status, status) for status in reversed(glance.STATUSES) if status != "stale"]
    assert names(look(*lines)) == [status for status in glance.STATUSES if status != "stale"]
    assert names(look(fresh("b"), fresh("c", since_seconds=700), fresh("a"))) == ["c", "a", "b"]


@pytest.mark.parametrize(
    ("age_seconds", "interval_seconds", "intervals", "status"),
    [
        pytest.param(180, 60, 3, "stalled", id="three-intervals-to-the-millisecond"),
        pytest.param(180.001, 60, 3, "stale", id="and-one-more"),
        pytest.param(180.001, 300, 3, "stalled", id="of-a-longer-interval"),
        pytest.param(180.001, 60, 5, "stalled", id="where-five-are-allowed"),
    ],
)
def test_a_line_that_nothing_followed_is_stale(age_seconds, interval_seconds, intervals, status):
    at_ms = NOW_MS - round(1000 * age_seconds)
    old = line("a", at_ms, interval_seconds, at_ms=at_ms, status="stalled", since_ms=5)
    [row] = rows(old, rules=DEFAULT.with_overrides({"stale_intervals": intervals}))
    assert row.status == status
    stale_since = NOW - timedelta(seconds=age_seconds - intervals * interval_seconds)
    assert row.since == (stale_since if status == "stale" else glance.EPOCH + timedelta(milliseconds=5))


def test_a_target_is_stale_after_intervals_of_its_own():
    at_ms = NOW_MS - 240_000
    patient, usual = (
        line(name, at_ms, 60, at_ms=at_ms, status="ok", stale_intervals=own) for name, own in (("a", 4.0), ("b", None))
    )
    assert {row.instance_id: row.status for row in rows(patient, usual)} == {"a": "ok", "b": "stale"}
    strict = DEFAULT.with_overrides({"stale_intervals": 1})
    assert {row.instance_id: row.status for row in rows(patient, usual, rules=strict)} == {"a": "ok", "b": "stale"}


def test_the_numbers_of_stale_servers_are_shown_and_not_summed():
    fleet = look(fresh("a", run=3.0, wait=1.0, tps=10.5), fresh("b", at_ms=NOW_MS - 999_000, run=5.0))
    assert [row.num_requests_running for row in glance.page(fleet, None, 9)[0]] == [5, 3]
    together = glance.totals(fleet)
    assert (together.servers, together.up) == (2, 1)
    assert (together.num_requests_running, together.num_requests_waiting) == (3, 1)
    assert together.throughput_tokens_per_second == 10.5
    assert together.by_status == {"stale": 1, "ok": 1}


def test_who_is_not_a_member_is_not_shown_and_who_was_never_scraped_is_unknown():
    assert [(row.instance_id, row.status) for row in rows(fresh("a"), fresh("deleted"), members={"a", "new"})] == [
        ("new", "unknown"),
        ("a", "ok"),
    ]
    [row] = rows(members={"new"})
    assert (row.since, row.scraped_at, row.engine, row.models, row.failures) == (None, None, None, (), 0)


def test_where_no_members_are_known_every_line_is_shown():
    assert names(look(fresh("a"), fresh("b"))) == ["a", "b"]
    assert names(look(fresh("a"), members=set())) == []


def test_a_status_of_a_later_release_is_unknown():
    assert [row.status for row in rows(fresh(status="upside-down"), fresh("b", status=None))] == ["unknown"] * 2


def test_a_row_says_what_its_line_says():
    [row] = rows(
        fresh(
            "a",
            "saturated",
            models=("llama",),
            progress_ms=NOW_MS - 42_500,
            last_good_slot_ms=NOW_MS - 60_000,
            failures=1,
            code="timeout",
            run=4.0,
            wait=None,
            kv=0.5,
            tps=1234.0,
            hit=0.25,
            ttft=0.125,
        )
    )
    assert row.model_dump() == {
        "instance_id": "a",
        "status": "saturated",
        "since": NOW - timedelta(seconds=600),
        "seconds_without_progress": 12.5,
        "scraped_at": NOW - timedelta(seconds=30),
        "last_good_slot": NOW - timedelta(seconds=60),
        "failures": 1,
        "error_code": "timeout",
        "interval_seconds": 60,
        "engine": "sglang",
        "models": ("llama",),
        "num_requests_running": 4,
        "num_requests_waiting": None,
        "kv_usage_ratio": 0.5,
        "throughput_tokens_per_second": 1234.0,
        "cache_hit_rate": 0.25,
        "time_to_first_token_p95_seconds": 0.125,
    }


FLEET = look(
    fresh("a", "stalled", models=("llama",), run=1.0, wait=2.0, tps=3.25),
    fresh("b", "ok", models=("llama", "adapter"), run=10.0, wait=None, tps=None),
    fresh("c", "unreachable", models=("qwen",), run=None, wait=None, tps=None),
    members={"a", "b", "c", "new"},
)


def test_sums_are_by_model_and_a_server_of_two_counts_with_each():
    sums = [
        (each.model, each.servers, each.up, each.num_requests_running, each.num_requests_waiting)
        for each in glance.by_model(FLEET)
    ]
    assert sums == [
        ("adapter", 1, 1, 10, None),
        ("llama", 2, 2, 11, 2),
        ("qwen", 1, 0, None, None),
        (None, 1, 0, None, None),
    ]
    assert glance.totals(FLEET).num_requests_running == 11


@pytest.mark.parametrize(
    ("statuses", "models", "shown"),
    [
        pytest.param((), (), ["c", "a", "new", "b"], id="all"),
        pytest.param(("stalled",), (), ["a"], id="a-status"),
        pytest.param(("ok", "unreachable"), (), ["c", "b"], id="two"),
        pytest.param((), ("llama",), ["a", "b"], id="a-model"),
        pytest.param((), ("adapter", "qwen"), ["c", "b"], id="either-of-two"),
        pytest.param(("ok",), ("llama",), ["b"], id="both"),
        pytest.param((), ("gpt",), [], id="a-model-that-nobody-serves"),
    ],
)
def test_filters(statuses, models, shown):
    assert names(glance.only(FLEET, statuses, models)) == shown


def test_nothing_comes_to_nothing():
    assert glance.totals([]).model_dump() == {
        "servers": 0,
        "up": 0,
        "num_requests_running": None,
        "num_requests_waiting": None,
        "throughput_tokens_per_second": None,
        "by_status": {},
    }
    assert glance.by_model([]) == []
    assert glance.page([], None, 10) == ([], None)


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 5])
def test_pages_follow_each_other_without_a_gap(limit):
    found, place = [], None
    while True:
        page, place = glance.page(FLEET, place, limit)
        assert len(page) <= limit
        found += [row.instance_id for row in page]
        if place is None:
            break
    assert found == ["c", "a", "new", "b"]


def test_a_page_goes_on_from_a_place_where_nobody_stands_any_more():
    _, place = glance.page(FLEET, None, 2)
    healed = [seen for seen in FLEET if seen.place != place]
    assert [row.instance_id for row in glance.page(healed, place, 9)[0]] == ["new", "b"]
