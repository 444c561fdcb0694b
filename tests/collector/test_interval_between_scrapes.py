"""Scrape after scrape of one server: what each finds of the one before, good or failed."""

import itertools
import time
from datetime import timedelta

import boto3
import pytest

from collector import asking, pipeline, store
from servers import sends, whole
from support import target

PAGE = (
    "# TYPE sglang:num_running_reqs gauge\nsglang:num_running_reqs 1\n"
    "# TYPE sglang:gen_throughput gauge\nsglang:gen_throughput 999\n"
    "# TYPE sglang:num_requests_total counter\nsglang:num_requests_total {0}\n"
    "# TYPE sglang:generation_tokens_total counter\nsglang:generation_tokens_total {0}00\n"
)


@pytest.fixture(autouse=True)
def _a_place_to_store_and_scrape(dynamodb, on_a_laptop):
    pass


@pytest.fixture
def server(serve):
    """A server whose requests grow by ten with each scrape, and which fails while `fails` is set."""
    counts = itertools.count(10, 10)

    def script(visit):
        answer = whole(PAGE.format(next(counts)).encode())
        sends(whole(b"busy", status="500 Oops") if server.fails else answer)(visit)

    server = serve(script)
    server.fails = False
    return server


@pytest.fixture
def collect(server, monkeypatch):
    """One scrape after the other, each a minute later by a clock of the test's; without an interval, as a caller's."""
    slots = itertools.count(time.time_ns() // 60_000_000_000 * 60_000, 60_000)
    now = asking.now()
    moments = itertools.count()

    def once(interval_seconds=60, skip=0):
        for _ in range(skip):
            next(slots), next(moments)
        moment = now + next(moments) * timedelta(minutes=1)
        monkeypatch.setattr(asking, "now", lambda: moment)
        one = target(
            slot_ms=next(slots), interval_seconds=interval_seconds, endpoint=f"http://127.0.0.1:{server.port}/metrics"
        )
        [outcome] = pipeline.collect([one], time.monotonic() + 60)
        return outcome

    return once


def test_the_first_scrape_has_no_interval(collect):
    assert collect().snapshot.interval is None


@pytest.mark.parametrize("interval_seconds", [60, None], ids=["registered", "asked-for"])
def test_the_next_has_what_happened_since(collect, interval_seconds):
    collect(interval_seconds)
    found = collect(interval_seconds).snapshot.interval
    assert (found.seconds, found.requests_finished, found.requests_finished_per_second) == (60, 10, 10 / 60)


@pytest.mark.parametrize("interval_seconds", [60, None], ids=["registered", "asked-for"])
def test_failed_scrapes_in_between_do_not_break_an_interval(collect, server, interval_seconds):
    collect(interval_seconds)
    server.fails = True
    assert [collect(interval_seconds).code for _ in range(2)] == ["http_status"] * 2
    server.fails = False
    found = collect(interval_seconds).snapshot.interval
    assert (found.seconds, found.requests_finished) == (180, 30)


def test_a_page_of_too_long_ago_tells_nothing(collect):
    collect(None)
    assert collect(None, skip=15).snapshot.interval is None


def test_a_gap_of_slots_is_looked_over(collect):
    collect()
    assert collect(skip=2).snapshot.interval.seconds == 180


def test_a_good_scrape_and_one_that_failed_say_when_the_last_good_one_was(collect, server):
    good = collect()
    server.fails = True
    failed = collect()
    assert (good.memory.last_good_slot_ms, good.memory.failures) == (good.target.slot_ms, 0)
    assert (failed.memory.last_good_slot_ms, failed.memory.failures) == (good.target.slot_ms, 1)
    [before] = store.read_befores(
        [failed.target.model_copy(update={"slot_ms": failed.target.slot_ms + 60_000})], time.monotonic() + 9
    ).values()
    assert before.memory == failed.memory
    assert before.told.lines.page() == good.page


@pytest.mark.parametrize("blob", [b"", b"\x00", b"\x02?", b"\x09abc"], ids=["empty", "zero", "broken", "later-release"])
def test_a_page_that_cannot_be_read_is_as_none(collect, blob):
    good = collect()
    table = boto3.resource("dynamodb").Table(store.table_name())
    table.update_item(
        Key={"instance_id": good.target.instance_id, "slot": good.target.slot_ms},
        UpdateExpression="SET #blob = :blob",
        ExpressionAttributeNames={"#blob": "blob"},
        ExpressionAttributeValues={":blob": blob},
    )
    assert collect().snapshot.interval is None
    assert collect().snapshot.interval.requests_finished == 10


def test_the_throughput_is_the_intervals_where_there_is_one(collect):
    first, second = (collect().snapshot.system_metrics.throughput_tokens_per_second for _ in range(2))
    assert (first, second) == (999, pytest.approx(1000 / 60))
