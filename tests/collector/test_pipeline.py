"""Targets together: nobody waits for a server that hangs, and one alone takes no threads."""

import threading
import time

import pytest

from collector import batches, pipeline, store
from collector.outcome import OutOfTimeError, Unfinished
from servers import keeps_alive, whole
from support import target

NOW_MS = time.time_ns() // 1_000_000


@pytest.fixture(autouse=True)
def _a_place_to_store_and_scrape(dynamodb, on_a_laptop):
    pass


def fleet(server, count, name="quick", **changes):
    endpoint = f"http://127.0.0.1:{server.port}/metrics"
    return [
        target(instance_id=f"{name}-{number}", endpoint=endpoint, slot_ms=NOW_MS, **changes) for number in range(count)
    ]


def soon(seconds=20.0):
    return time.monotonic() + seconds


def test_the_others_are_kept_while_a_server_hangs(serve):
    let_go = threading.Event()

    def hang(visit):
        visit.request()
        let_go.wait(30)
        visit.send(whole())

    hanging = fleet(serve(hang), 3, name="hanging")
    quick = fleet(serve(keeps_alive(whole())), batches.WRITES_AT_ONCE)
    results = pipeline.collect(hanging + quick, soon())
    first = [next(results) for _ in quick]
    assert {result.target.key for result in first} == {one.key for one in quick}
    let_go.set()
    assert {result.target.key for result in results} == {one.key for one in hanging}


def test_one_target_alone_is_asked_in_the_calling_thread(serve):
    threads = []

    def script(visit):
        threads.extend(thread.name for thread in threading.enumerate())
        keeps_alive(whole())(visit)

    [result] = pipeline.collect(fleet(serve(script), 1), soon())
    assert result.snapshot is not None
    assert not any(name.startswith("ThreadPoolExecutor") for name in threads)


def test_no_scrape_begins_that_could_outlast_the_deadline(serve):
    server = serve(keeps_alive(whole()))
    short, long = fleet(server, 2, timeout_seconds=1), fleet(server, 2, name="long", timeout_seconds=20)
    results = list(pipeline.collect(short + long, soon(10)))
    unfinished = [result for result in results if isinstance(result, Unfinished)]
    assert {result.target.key for result in unfinished} == {one.key for one in long}
    assert {type(result.reason) for result in unfinished} == {OutOfTimeError}
    assert len(server.requests) == 2


def test_no_more_outcomes_are_held_than_are_written_at_once(serve):
    server = serve(keeps_alive(whole()))
    results = pipeline.collect(fleet(server, 60), soon())
    keys = [(f"quick-{number}", NOW_MS) for number in range(60)]
    kept = [len(store.existing(keys, soon())) for _ in results]
    assert kept == [25] * 25 + [50] * 25 + [60] * 10
