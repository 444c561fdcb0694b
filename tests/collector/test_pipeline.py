"""Targets together: nobody waits for a server that hangs, and one alone takes no threads."""

import threading
import time

import pytest

from collector import batches, deployment, pipeline, store
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


def verdicts(server, **changes):
    """The codes found, target by target."""
    results = pipeline.collect(fleet(server, 1, **changes) + fleet(server, 1, name="other"), soon())
    return {result.target.instance_id: {finding.code for finding in result.health.findings} for result in results}


@pytest.mark.parametrize(
    ("page", "own", "found", "otherwise"),
    [
        pytest.param(
            whole(b"busy", status="503 Busy"), {"failures_in_a_row": 1}, "unreachable", "scrape_failed", id="a-failure"
        ),
        pytest.param(whole(), {"slow_scrape_seconds": 0.000001}, "slow_scrape", None, id="a-page"),
    ],
)
def test_a_target_is_judged_by_its_own_thresholds_and_the_others_are_not(serve, page, own, found, otherwise):
    codes = verdicts(serve(keeps_alive(page)), thresholds=own)
    assert found in codes["quick-0"] - codes["other-0"]
    assert otherwise is None or otherwise in codes["other-0"]


def test_a_targets_own_come_before_those_for_all_servers(serve, set_thresholds):
    set_thresholds("failures_in_a_row=1,stalled_seconds=60")
    codes = verdicts(serve(keeps_alive(whole(b"busy", status="503 Busy"))), thresholds={"failures_in_a_row": 5})
    assert codes == {"quick-0": {"scrape_failed"}, "other-0": {"unreachable"}}


def test_thresholds_for_all_servers_that_cannot_be_are_told_with_their_variable(set_thresholds):
    set_thresholds("idle_ratio=90")
    with pytest.raises(ValueError, match=r"^HEALTH_THRESHOLDS: idle_ratio is '90': "):
        deployment.base_thresholds()


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
