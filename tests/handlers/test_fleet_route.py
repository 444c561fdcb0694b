"""The fleet view from the slots of a schedule to the API's answer; wrong fields by name."""

import base64
import json
import time

import boto3
import pytest
from calls import ask, call

from collector import dynamodb, slots, ticks
from handlers import schedule, worker
from local.function import Context
from past import spoil_findings
from queue_of_messages import Context as WorkerContext
from queue_of_messages import Message, event
from servers import keeps_alive, whole
from support import PAGES

LOADED = (PAGES / "sglang-0.5.23-load.prom").read_bytes()
IDLE = (PAGES / "sglang-0.5.23-idle.prom").read_bytes()

pytestmark = pytest.mark.usefixtures("table")


@pytest.fixture
def scrape(on_a_laptop, start_queue):
    """Let the schedule tick and a worker take what it has sent, at once."""
    queue = start_queue()

    def scrape(ticked=0):
        queue.taken.clear()
        tick(ticked)
        sent = [Message(entry["MessageBody"]) for entry in queue.taken]
        assert worker.handler(event(*sent), WorkerContext()) == {"batchItemFailures": []}

    return scrape


def tick(minutes=0):
    """This minute's, or one so many minutes after it."""
    told = ticks.name(slots.tick(time.time_ns() // 1_000_000) + minutes * 60_000)
    schedule.handler({"scheduled_time": told}, Context(time.monotonic() + 60, 1024))


def register(instance_id, server=None, **settings):
    endpoint = f"http://127.0.0.{1 if server else 2}:{server.port if server else 1}/metrics"
    body = {"engine": "sglang", "endpoint": endpoint, "timeout_seconds": 2} | settings
    answer = ask("targets-put", path=f"/api/v1/targets/{instance_id}", headers={"if-match": "*"}, body=body)
    if answer["statusCode"] == 412:
        answer = ask("targets-put", path=f"/api/v1/targets/{instance_id}", body=body)
    assert answer["statusCode"] in (200, 201), answer


def good_once(visit):
    visit.request()
    visit.send(whole(IDLE) if visit.number == 1 else whole(b"busy", status="503 Service Unavailable"))


def fleet(**query):
    return call("fleet", query=query)


def by_name(answer):
    return {row["instance_id"]: row for row in answer["targets"]}


def test_what_workers_saw_is_read_at_a_glance(scrape, serve):
    register("up", serve(keeps_alive(whole(LOADED))))
    register("refuses")
    register("off", enabled=False)
    scrape()
    status, answer = fleet()
    assert status == 200
    rows = by_name(answer)
    assert rows.keys() == {"up", "refuses"}
    up = rows["up"]
    assert (up["engine"], up["error_code"], up["failures"], up["interval_seconds"]) == ("sglang", None, 0, 60)
    newest = call("metrics-newest", path="/api/v1/metrics/sglang/up")[1]
    assert (up["status"], up["since"]) == (newest["health"]["status"], newest["health"]["since"])
    assert up["scraped_at"] == newest["timestamp"]
    assert up["models"] == newest["metrics"]["models"]
    assert up["num_requests_running"] == newest["metrics"]["system_metrics"]["num_requests_running"] > 0
    assert (rows["refuses"]["error_code"], rows["refuses"]["failures"]) == ("connection_refused", 1)
    assert answer["totals"]["servers"] == 2
    assert [each["model"] for each in answer["models"]] == [*up["models"], None]
    assert (answer["cursor"], answer["complete"]) == (None, True)


def test_a_server_that_stops_answering_comes_first_under_the_model_that_it_served(scrape, serve):
    register("well", serve(keeps_alive(whole(IDLE))))
    register("ill", serve(good_once))
    for ticked in range(3):
        scrape(ticked)
    _, answer = fleet()
    ill = answer["targets"][0]
    assert (ill["instance_id"], ill["status"], ill["failures"], ill["error_code"]) == (
        "ill", "unreachable", 2, "http_status"
    )  # fmt: skip
    assert by_name(fleet(model=ill["models"][0], health="unreachable")[1]).keys() == {"ill"}
    assert answer["models"][0]["servers"] == answer["models"][0]["up"] + 1 == 2


def test_a_fleet_is_read_though_what_was_found_of_its_servers_is_spoilt(scrape):
    register("refuses")
    scrape(0)
    scrape(1)
    before = by_name(fleet()[1])
    assert spoil_findings() == 2
    assert by_name(fleet()[1]) == before
    scrape(2)
    [row] = fleet()[1]["targets"]
    assert (row["status"], row["failures"], row["since"]) == ("unreachable", 3, before["refuses"]["since"])


def test_what_is_registered_is_there_before_its_first_scrape_and_what_is_deleted_is_gone_with_the_next_tick(scrape):
    register("stays")
    register("goes")
    scrape()
    ask("targets-delete", path="/api/v1/targets/goes", headers={"if-match": "*"})
    register("stays", enabled=False)
    register("comes")
    tick(1)
    rows = by_name(fleet()[1])
    assert rows.keys() == {"comes"}
    assert (rows["comes"]["status"], rows["comes"]["scraped_at"]) == ("unknown", None)


def test_an_empty_fleet_is_an_empty_view():
    status, answer = fleet()
    assert (status, answer["targets"], answer["models"], answer["totals"]["servers"]) == (200, [], [], 0)


def test_totals_are_over_all_that_the_filters_let_through_and_not_over_the_page(scrape):
    for number in range(5):
        register(f"s{number}")
    scrape()
    _, first = fleet(limit="2")
    _, second = fleet(limit="2", cursor=first["cursor"])
    _, third = fleet(limit="2", cursor=second["cursor"])
    assert [len(page["targets"]) for page in (first, second, third)] == [2, 2, 1]
    assert third["cursor"] is None
    assert {name for page in (first, second, third) for name in by_name(page)} == {f"s{n}" for n in range(5)}
    assert {page["totals"]["servers"] for page in (first, second, third)} == {5}
    assert fleet(health="ok,idle")[1]["totals"]["servers"] == 0
    assert fleet(health="ok,unknown")[1]["totals"]["servers"] == 5


def test_a_view_is_one_call(scrape):
    register("a")
    scrape()
    asked = []
    dynamodb.client().meta.events.register("before-call.dynamodb", lambda model, **_: asked.append(model.name))
    fleet()
    assert asked == ["Query"]


def test_the_event_file_is_true():
    assert call("fleet")[0] == 200


def cursor(content):
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


@pytest.mark.parametrize(
    ("query", "field"),
    [
        pytest.param({"limit": "0"}, "query.limit", id="limit-too-small"),
        pytest.param({"limit": "1001"}, "query.limit", id="limit-too-large"),
        pytest.param({"limit": "many"}, "query.limit", id="limit-a-word"),
        pytest.param({"health": "poorly"}, "query.health.0", id="health"),
        pytest.param({"health": "ok,poorly"}, "query.health.1", id="the-second-health"),
        pytest.param({"health": ",".join(["ok"] * 10)}, "query.health", id="more-than-there-are"),
        pytest.param({"health": ""}, "query.health.0", id="empty-health"),
        pytest.param({"model": "m" * 257}, "query.model.0", id="model-too-long"),
        pytest.param({"model": ""}, "query.model.0", id="empty-model"),
        pytest.param({"model": ",".join("m" * 17)}, "query.model", id="models-too-many"),
        pytest.param({"cursor": ""}, "query.cursor", id="cursor-empty"),
        pytest.param({"cursor": "ä"}, "query.cursor", id="cursor-not-ascii"),
        pytest.param({"cursor": "a"}, "query.cursor", id="cursor-no-base64"),
        pytest.param({"cursor": cursor(b"fleet/1 ok 5 a b")}, "query.cursor", id="cursor-too-long"),
        pytest.param({"cursor": cursor(b"fleet/1 ok 5")}, "query.cursor", id="cursor-too-short"),
        pytest.param({"cursor": cursor(b"fleet/1 poorly 5 a")}, "query.cursor", id="cursor-of-no-status"),
        pytest.param({"cursor": cursor(b"fleet/1 ok -5 a")}, "query.cursor", id="cursor-before-time"),
        pytest.param({"cursor": cursor(b"fleet/1 ok 1e99 a")}, "query.cursor", id="cursor-after-time"),
        pytest.param({"cursor": cursor(b"fleet/1 ok +5 a")}, "query.cursor", id="cursor-another-spelling"),
        pytest.param({"cursor": cursor(b"targets/1:a")}, "query.cursor", id="cursor-of-another-list"),
        pytest.param({"cursor": cursor(b"fleet/1 ok 5 a") + "\n"}, "query.cursor", id="cursor-with-a-newline"),
    ],
)
def test_a_wrong_field_is_422_and_named(query, field):
    status, answer = fleet(**query)
    assert (status, [wrong["field"] for wrong in answer["fields"]]) == (422, [field])


def test_a_cursor_that_the_view_could_have_given_is_taken():
    assert fleet(cursor=cursor(b"fleet/1 ok 5 a"))[0] == 200


def test_a_table_that_is_not_there_is_our_own_fault():
    boto3.client("dynamodb").delete_table(TableName="targets")
    status, answer = fleet()
    assert (status, answer["error_code"]) == (500, "internal_error")
    assert "targets" not in json.dumps(answer)
