"""A real server's life, page by page: at work, idle, its scheduler stopped, killed and started again, overloaded."""

import json
import math

import pytest

from collector.compare import compare
from collector.exposition import parse
from support import PAGES, snapshot_of

LIFE = json.loads((PAGES / "sglang-0.5.23-health.json").read_text())
# What the server's other processes count, while the scheduler's stands still.
NOT_THE_SCHEDULERS = {
    "sglang:process_cpu_seconds_total",
    "sglang:http_requests_total",
    "sglang:http_responses_total",
}
HEARTBEAT = (
    "scheduler_process_cpu_seconds_total",
    "scheduler_stage_seconds_total",
    "scheduler_idle_seconds_total",
)


def file(name):
    return PAGES / f"sglang-0.5.23-{name}.prom"


def page(name):
    return parse(file(name).read_bytes())


def seconds_between(earlier, later):
    return (LIFE[file(later).name]["at_ms"] - LIFE[file(earlier).name]["at_ms"]) / 1000


class Between:
    """What happened between two pages: by how much a family rose, and which did."""

    def __init__(self, earlier, later):
        self.earlier, self.later = page(earlier), page(later)
        self.change = compare(self.earlier, self.later)

    def risen(self, name):
        return sum(self.change.values[index] for index in self.later.layout.by_name.get(f"sglang:{name}", ()))

    @property
    def moved(self):
        samples = zip(self.later.samples, self.change.values, strict=True)
        return {sample.name for sample, rise in samples if rise > 0}


def gauges(exposition):
    """As text, since NaN is not equal to itself."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): repr(sample.value)
        for sample in exposition.samples
        if sample.type == "gauge"
    }


def in_flight(name):
    system = snapshot_of(file(name)).system_metrics
    return system.num_requests_running, system.num_requests_waiting


def test_every_page_of_the_life_is_there_and_they_are_in_order():
    assert all((PAGES / name).is_file() != ("error" in facts) for name, facts in LIFE.items())
    times = [facts["at_ms"] for facts in LIFE.values()]
    assert times == sorted(times)


@pytest.mark.parametrize(
    ("earlier", "later", "finished"),
    [
        pytest.param("ok-1", "ok-2", 280, id="at-work"),
        pytest.param("ok-2", "idle-1", 284, id="the-last-answers"),
        pytest.param("idle-1", "idle-2", 0, id="idle"),
        pytest.param("idle-2", "stalled-before", 1016, id="at-work-again"),
        pytest.param("stalled-before", "stalled-5s", 36, id="stopped-in-between"),
        pytest.param("stalled-5s", "stalled-25s", 0, id="stopped"),
        pytest.param("stalled-25s", "stalled-45s", 0, id="still-stopped"),
        pytest.param("stalled-45s", "stalled-resumed", 232, id="resumed"),
        pytest.param("stalled-resumed", "restart-before", 357, id="before-the-kill"),
        pytest.param("restart-fresh", "restart-loaded", 289, id="after-the-restart"),
        pytest.param("saturated-1", "saturated-2", 392, id="saturated"),
        pytest.param("saturated-2", "saturated-3", 374, id="still-saturated"),
    ],
)
def test_pages_of_one_process_show_no_restart_and_what_was_finished(earlier, later, finished):
    between = Between(earlier, later)
    assert (between.change.evidence, between.change.notes) == (None, ())
    assert between.risen("num_requests_total") == finished


def test_a_server_at_work_has_requests_in_flight_and_hardly_lets_them_wait():
    assert [in_flight(name) for name in ("ok-1", "ok-2")] == [(2, 0), (3, 0)]
    between = Between("ok-1", "ok-2")
    assert between.risen("queue_time_seconds_sum") / between.risen("queue_time_seconds_count") < 0.001
    assert all(between.risen(name) > 0 for name in HEARTBEAT[:2])


def test_an_idle_schedulers_clocks_are_all_that_moves():
    assert in_flight("idle-1") == in_flight("idle-2") == (0, 0)
    between = Between("idle-1", "idle-2")
    assert between.moved == NOT_THE_SCHEDULERS | {f"sglang:{name}" for name in HEARTBEAT}
    assert between.risen("scheduler_idle_seconds_total") >= 0.9 * seconds_between("idle-1", "idle-2")


def test_an_idle_page_accounts_for_each_generated_token():
    idle = page("idle-2")

    def total(name, **labels):
        return sum(s.value for s in idle.samples if s.name == f"sglang:{name}" and labels.items() <= s.labels.items())

    decoded, first_tokens = total("realtime_tokens_total", mode="decode"), total("time_to_first_token_seconds_count")
    assert (decoded, first_tokens) == (30915, 750)
    assert decoded + first_tokens == total("generation_tokens_total")


@pytest.mark.parametrize(
    ("earlier", "later"), [("stalled-5s", "stalled-25s"), ("stalled-25s", "stalled-45s"), ("stalled-5s", "stalled-45s")]
)
def test_a_stopped_scheduler_looks_busy_and_nothing_of_its_moves(earlier, later):
    assert in_flight(later) == (7, 0)
    assert snapshot_of(file(later)).system_metrics.throughput_tokens_per_second == pytest.approx(1032.92, abs=0.01)
    between = Between(earlier, later)
    assert between.moved == NOT_THE_SCHEDULERS
    assert gauges(between.earlier) == gauges(between.later)


def test_five_seconds_after_the_stop_the_last_second_of_work_still_shows():
    between = Between("stalled-before", "stalled-5s")
    assert between.risen("generation_tokens_total") == 1344
    assert 0 < between.risen("scheduler_process_cpu_seconds_total") < 1.2


def test_a_scheduler_that_goes_on_takes_up_where_it_stopped():
    between = Between("stalled-45s", "stalled-resumed")
    assert all(between.risen(name) > 0 for name in ("realtime_tokens_total", *HEARTBEAT[:2]))
    assert gauges(between.earlier) != gauges(between.later)


@pytest.mark.parametrize(
    ("later", "evidence"),
    [
        # A process id comes with the first request.
        ("restart-fresh", "sglang:startup_time_seconds is 16.3992 and was 31.0716"),
        ("restart-loaded", "process 21946 was 16925"),
    ],
)
def test_a_restart_is_told_and_everything_counts_from_zero(later, evidence):
    between = Between("restart-before", later)
    assert between.change.evidence == evidence
    pairs = zip(between.later.samples, between.change.values, strict=True)
    assert all(sample.value == rise for sample, rise in pairs if not math.isnan(rise))


def test_a_restart_changes_the_process_id_which_a_fresh_page_does_not_say_yet():
    pids = [
        {sample.labels["pid"] for sample in page(f"restart-{name}").samples if "pid" in sample.labels}
        for name in ("before", "fresh", "loaded")
    ]
    assert pids == [{"16925"}, set(), {"21946"}]


def test_a_fresh_page_does_not_say_what_is_in_flight():
    assert in_flight("restart-fresh") == (None, None)
    assert snapshot_of(file("restart-fresh")).request_metrics.success_total == 0


def test_an_overloaded_server_has_a_queue_on_each_page():
    assert [in_flight(f"saturated-{at}") for at in (1, 2, 3)] == [(9, 37), (6, 39), (10, 36)]


@pytest.mark.parametrize(
    ("earlier", "later", "waited_seconds", "retracted"),
    [("saturated-1", "saturated-2", 1.478, 4), ("saturated-2", "saturated-3", 1.432, 3)],
)
def test_an_overloaded_servers_first_tokens_come_late_because_requests_wait(earlier, later, waited_seconds, retracted):
    between = Between(earlier, later)
    waited = between.risen("queue_time_seconds_sum") / between.risen("queue_time_seconds_count")
    first_token = between.risen("time_to_first_token_seconds_sum") / between.risen("time_to_first_token_seconds_count")
    assert waited == pytest.approx(waited_seconds, abs=0.001)
    assert waited > 0.9 * first_token
    assert between.risen("num_retracted_requests_total") == retracted
