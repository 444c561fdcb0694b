"""The worker as a function of the queue's events, against servers on loopback and a DynamoDB of its own process."""

import json
import time
from collections import Counter
from itertools import count

import boto3
import pytest

from collector import fleet, item, pages, reading, shards, store
from collector.backoff import State
from collector.errors import RefusedError
from collector.outcome import Outcome
from faulty_dynamodb import REFUSED
from handlers import worker
from queue_of_messages import Context, Message, event, message
from servers import PAGE, keeps_alive, sends, whole
from support import ASKED_AT, ROOT, target


@pytest.fixture
def now_ms():
    """When the test began: slots are told from it, and the suite may take longer than an interval."""
    return time.time_ns() // 1_000_000


@pytest.fixture(autouse=True)
def _a_place_to_store_and_scrape(dynamodb, on_a_laptop):
    pass


@pytest.fixture
def targets(serve, now_ms):
    """Make targets, each with a page of its own at one server; `server` stands for another."""
    pages = serve(keeps_alive(whole()))
    number = count(1)

    def make(server=None, **changes):
        index = next(number)
        fields = {"instance_id": f"sglang-{index:03}", "slot_ms": now_ms, "interval_seconds": 60}
        endpoint = f"http://127.0.0.1:{(server or pages).port}/metrics?{index}"
        return target(**fields | {"endpoint": endpoint} | changes)

    make.server = pages
    return make


def run(*messages, seconds=30):
    """The identifiers that come back."""
    answer = worker.handler(event(*messages), Context(seconds))
    return [failure["itemIdentifier"] for failure in answer["batchItemFailures"]]


def items():
    found = boto3.client("dynamodb").scan(TableName=store.table_name(), ConsistentRead=True)["Items"]
    return {item.read_key(stored): stored for stored in found}


def measured(capsys):
    """The metrics of the one run since it was last asked."""
    printed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    [emf] = [line for line in printed if "_aws" in line]
    return emf


def codes():
    return Counter(stored.get("code", {}).get("S") for stored in items().values())


def test_every_target_of_every_message_is_collected_once_and_kept(targets, dynamodb):
    fleet = [targets() for _ in range(60)]
    assert run(message(*fleet[:25]), message(*fleet[25:50]), message(*fleet[50:])) == []
    assert items().keys() == {one.key for one in fleet}
    assert len(targets.server.requests) == 60
    assert set(dynamodb.writes.values()) == {1}
    assert codes() == {None: 60}


def test_reads_and_writes_are_batched_and_what_pages_share_is_kept_once(targets, dynamodb):
    fleet = [targets() for _ in range(50)]
    run(message(*fleet))
    assert dynamodb.operations == {"BatchGetItem": 4 + 1, "PutItem": 1, "BatchWriteItem": 2}
    dynamodb.operations.clear()
    run(message(*(one.model_copy(update={"slot_ms": one.slot_ms + 60_000}) for one in fleet)))
    assert dynamodb.operations == {"BatchGetItem": 1, "BatchWriteItem": 2}


def test_a_new_worker_reads_what_pages_share_once(targets, dynamodb):
    fleet = [targets() for _ in range(50)]
    run(message(*fleet))
    pages.forget()
    dynamodb.operations.clear()
    run(message(*(one.model_copy(update={"slot_ms": one.slot_ms + 60_000}) for one in fleet)))
    assert dynamodb.operations == {"BatchGetItem": 2, "BatchWriteItem": 2}


def test_a_server_that_cannot_be_scraped_is_an_outcome_and_no_failure_of_its_message(targets, serve, now_ms):
    busy = serve(sends(whole(b"busy", status="503 Service Unavailable")))
    nobody = target(instance_id="down", endpoint="http://127.0.0.2:1/metrics", slot_ms=now_ms, interval_seconds=60)
    assert run(message(targets(), targets(busy), nobody)) == []
    assert codes() == {None: 1, "http_status": 1, "connection_refused": 1}


def test_labels_and_retention_are_kept_with_the_scrape(targets, now_ms):
    run(message(targets(labels={"team": "search"}, retention_days=7)))
    [stored] = items().values()
    assert stored["labels"] == {"M": {"team": {"S": "search"}}}
    assert int(stored["expires_at"]["N"]) == now_ms // 1000 + 7 * 86_400 + pages.ANCHOR_OUTLASTS_SECONDS


def test_the_same_slot_in_two_messages_is_asked_for_once(targets):
    one = targets()
    assert run(message(one, targets()), message(one)) == []
    assert len(targets.server.requests) == 2


def test_a_message_that_came_before_is_asked_only_for_what_is_missing(targets):
    done, missing = targets(), targets()
    run(message(done))
    again = message(done, missing)
    again.received = 1
    assert run(again) == []
    assert len(targets.server.requests) == 2
    assert items().keys() == {done.key, missing.key}


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        pytest.param("not JSON", "body: Invalid JSON", id="not-json"),
        pytest.param('{"instance_id": "a"}', "body: Input should be a valid array", id="no-list"),
        pytest.param('[{"instance_id": "a b"}]', "0.instance_id: String should match pattern", id="wrong-name"),
        pytest.param('[{"instance_id": "a", "password": "hunter2"}]', "0.engine: Field required", id="no-engine"),
    ],
)
def test_a_message_that_cannot_be_read_comes_back_with_its_reason_in_the_log_and_the_others_are_done(
    targets, caplog, body, reason
):
    poison = Message(body)
    assert run(message(targets()), poison) == [poison.message_id]
    [line] = [record for record in caplog.records if record.message == "message returned"]
    assert line.message_id == poison.message_id
    assert line.reason.startswith(f"UnreadableError: {reason}")
    assert "hunter2" not in line.reason
    assert len(items()) == 1


def test_what_is_our_fault_concerns_one_target_and_its_message_alone(targets, caplog, monkeypatch):
    engine = reading.engine
    monkeypatch.setattr(reading, "engine", lambda name: {}[name] if name == "tgi" else engine(name))
    first, second = message(targets(), targets(engine="tgi"), targets()), message(targets())
    assert run(first, second) == [first.message_id]
    assert len(items()) == 3
    [line] = [record for record in caplog.records if record.message == "message returned"]
    assert (line.message_id, line.reason) == (first.message_id, "KeyError: 'tgi'")


def test_what_there_is_no_time_for_comes_back_and_the_rest_is_kept(targets):
    quick, long = targets(timeout_seconds=1), targets(timeout_seconds=20)
    first, second = message(quick), message(long)
    assert run(first, second, seconds=12) == [second.message_id]
    assert items().keys() == {quick.key}


def test_a_slot_that_is_over_is_kept_as_late_and_not_asked(targets, now_ms):
    over = targets(slot_ms=now_ms - 60_001)
    assert run(message(over, targets())) == []
    assert codes() == {"late": 1, None: 1}
    assert len(targets.server.requests) == 1
    assert "s late" in items()[over.key]["error"]["S"]


def test_late_never_takes_the_place_of_what_is_there(targets, now_ms):
    one = targets(slot_ms=now_ms - 120_000)
    there = Outcome(one, ASKED_AT, error=RefusedError("nothing listens there"))
    store.write([there], time.monotonic() + 1)
    before = items()[one.key]
    assert run(message(one)) == []
    assert items() == {one.key: before}


def test_a_server_that_keeps_failing_is_asked_less_often_and_each_slot_has_its_outcome(targets, serve):
    busy = serve(keeps_alive(whole(b"busy", status="503 Service Unavailable")))
    first = targets(busy)
    slots = [first.model_copy(update={"slot_ms": first.slot_ms + 60_000 * number}) for number in range(7)]
    for slot in slots:
        assert run(message(slot)) == []
    assert [stored["code"]["S"] for _, stored in sorted(items().items())] == [
        *(["http_status"] * 3),
        "backed_off",
        "http_status",
        *(["backed_off"] * 2),
    ]
    assert len(busy.requests) == 4


def test_back_off_ends_with_the_first_good_scrape(targets, now_ms):
    slot = targets(slot_ms=now_ms - 30_000)
    failed_often = Outcome(slot, ASKED_AT, error=RefusedError("nothing listens there"), state=State(9, now_ms + 1))
    store.write([failed_often], time.monotonic() + 1)
    back = slot.model_copy(update={"slot_ms": now_ms + 30_000})
    run(message(back))
    assert {"code", "failures", "retry_at"}.isdisjoint(items()[back.key])


@pytest.mark.parametrize(
    ("slots", "asked"),
    [pytest.param(4, 0, id="is-remembered"), pytest.param(5, 1, id="is-forgotten-in-the-end")],
)
def test_back_off_over_a_gap(targets, slots, asked, now_ms):
    before = targets(slot_ms=now_ms - 60_000 * (slots - 1))
    failed_often = Outcome(before, ASKED_AT, error=RefusedError("nothing listens there"), state=State(9, now_ms * 2))
    store.write([failed_often], time.monotonic() + 1)
    run(message(before.model_copy(update={"slot_ms": now_ms + 60_000})))
    assert len(targets.server.requests) == asked


def test_one_line_says_what_came_of_a_batch(targets, serve, caplog, now_ms):
    busy = serve(sends(whole(b"busy", status="503 Service Unavailable")))
    run(message(targets(), targets(busy)), message(targets(slot_ms=now_ms - 61_000), targets()), Message("?"))
    [line] = [record for record in caplog.records if record.message == "collected"]
    assert line.outcomes == {"ok": 2, "http_status": 1, "late": 1}
    assert (line.messages, line.returned, line.targets, line.unfinished) == (3, 1, 4, 0)


def test_scrapes_failures_passed_over_slots_and_returned_messages_are_metrics(targets, serve, capsys, now_ms):
    busy = serve(sends(whole(b"busy", status="503 Service Unavailable")))
    run(message(targets(), targets(busy), targets(slot_ms=now_ms - 61_000)), Message("?"))
    counted = measured(capsys)
    assert {name: counted[name] for name in ("Scrapes", "FailedScrapes", "SlotsPassedOver", "MessagesReturned")} == {
        "Scrapes": [2.0],
        "FailedScrapes": [1.0],
        "SlotsPassedOver": [1.0],
        "MessagesReturned": [1.0],
    }


def lines():
    """Those of the fleet view, by their shards."""
    found = boto3.client("dynamodb").scan(TableName=fleet.table_name(), ConsistentRead=True)["Items"]
    return {stored["sk"]["S"]: shards.read_lines(stored) for stored in found}


def test_each_registered_target_has_a_line_in_the_fleet_view_one_write_for_each_shard(targets, dynamodb):
    regular = [targets(shards=16) for _ in range(40)]
    once = targets(interval_seconds=None)
    run(message(*regular[:20], once), message(*regular[20:]))
    dynamodb.operations.clear()
    run(message(*(one.model_copy(update={"slot_ms": one.slot_ms + 60_000}) for one in regular)))
    written = {"/".join(map(str, shards.Shard.of(one))) for one in regular}
    assert dynamodb.operations == {"BatchGetItem": 1 + 1, "BatchWriteItem": 2, "PutItem": len(written)}
    shown = lines()
    assert shown.keys() == written
    assert {one.instance_id: one.slot_ms for of_shard in shown.values() for one in of_shard} == {
        one.instance_id: one.slot_ms + 60_000 for one in regular
    }


def test_a_fleet_view_that_cannot_be_written_returns_no_message_and_is_counted_and_told(
    targets, dynamodb, caplog, capsys
):
    dynamodb.fault = lambda operation, request, forward: (
        REFUSED(operation, request, forward)
        if fleet.table_name() in (request.get("TableName"), *request.get("RequestItems", ()))
        else forward(request)
    )
    assert run(message(*(targets(shards=1) for _ in range(3)))) == []
    assert codes() == {None: 3}
    [line] = [record for record in caplog.records if record.message == "lines of the fleet view are lost"]
    assert (line.levelname, line.shards, sum(line.reasons.values())) == ("ERROR", 1, 1)
    assert "AccessDenied" in next(iter(line.reasons))
    assert measured(capsys)["FleetLinesLost"] == [3.0]


def test_a_bug_in_the_fleet_view_returns_no_message_either(targets, monkeypatch, caplog):
    monkeypatch.delenv("TARGETS_TABLE")
    assert run(message(targets(shards=1))) == []
    assert codes() == {None: 1}
    assert "the fleet view was not written" in [record.message for record in caplog.records]


def test_a_server_that_turns_ill_is_counted_once_by_what_it_turned_into(targets, serve, capsys):
    server = serve(keeps_alive(whole(b"busy", status="503 Service Unavailable")))
    busy = [targets(server) for _ in range(3)]
    turned = []
    for number in range(3):
        run(message(*(one.model_copy(update={"slot_ms": one.slot_ms + 60_000 * number}) for one in busy)))
        turned.append({name: count for name, count in measured(capsys).items() if name.startswith("Turned")})
    assert turned == [{"TurnedUnknown": [3.0]}, {"TurnedUnreachable": [3.0]}, {}]


@pytest.mark.parametrize(
    ("name", "outcomes", "returned"),
    [
        pytest.param("worker", {None: 3}, 0, id="worker"),
        pytest.param("worker-late", {"late": 2}, 0, id="late"),
        pytest.param("worker-again", {None: 2}, 1, id="again"),
    ],
)
def test_the_event_files_are_true(serve, name, outcomes, returned):
    server = serve(keeps_alive(whole(PAGE)))
    text = (ROOT / f"events/{name}.json").read_text().replace("host.docker.internal:30000", f"127.0.0.1:{server.port}")
    answer = worker.handler(json.loads(text), Context())
    assert codes() == outcomes
    assert len(answer["batchItemFailures"]) == returned
