"""Ticks as EventBridge Scheduler sends them: once, twice, late, never; with a registry that changes meanwhile."""

import json
import time
from collections import Counter
from types import SimpleNamespace

import boto3
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

import collector.members
from collector import dynamodb, messages, slots, ticks
from collector.targets import MESSAGE
from handlers import schedule
from queues import refusal
from support import ROOT

EVENTS = {path.stem: json.loads(path.read_text()) for path in (ROOT / "events").glob("schedule*.json")}
CONTEXT = SimpleNamespace(
    function_name="schedule",
    memory_limit_in_mb=512,
    invoked_function_arn="arn:aws:lambda:eu-west-1:123456789012:function:schedule",
    aws_request_id="52fdfc07-2182-154f-163f-5f0f9a621d72",
    get_remaining_time_in_millis=lambda: 60_000,
)
MINUTE_MS = 60_000


@pytest.fixture(autouse=True)
def _an_empty_registry(table):
    pass


@pytest.fixture
def queue(start_queue):
    return start_queue()


def item(instance_id, **settings):
    typed = {
        "pk": {"S": "target"},
        "sk": {"S": instance_id},
        "engine": {"S": "sglang"},
        "endpoint": {"S": f"http://{instance_id}:30000/metrics"},
    }
    for name, value in settings.items():
        typed[name] = {"BOOL": value} if isinstance(value, bool) else {"N": str(value)}
    return typed


def register(*items):
    client = boto3.client("dynamodb")
    for start in range(0, len(items), 25):
        client.batch_write_item(
            RequestItems={"targets": [{"PutRequest": {"Item": each}} for each in items[start : start + 25]]}
        )


def fleet(size, **settings):
    return [item(f"sglang-{number:04}", **settings) for number in range(size)]


def this_minute():
    return slots.tick(time.time_ns() // 1_000_000)


def tick(at_ms, context=CONTEXT):
    return schedule.handler({"scheduled_time": ticks.name(at_ms)}, context)


def queued(queue):
    """Every target and slot in the queue, and how often."""
    bodies = [MESSAGE.validate_json(entry["MessageBody"]) for entry in queue.taken]
    return Counter((target.instance_id, target.slot_ms) for body in bodies for target in body)


def slots_of(ids, at_ms, interval_seconds=60):
    """What a tick has to send of these."""
    window = slots.window(at_ms)
    return Counter(
        (each, slot_ms) for each in ids for slot_ms in slots.slots(slots.position(each), interval_seconds, *window)
    )


def ids_of(items):
    return [each["sk"]["S"] for each in items]


def test_a_tick_sends_the_slots_of_the_minute_after_next(queue):
    register(*(servers := fleet(120)))
    report = tick(now := this_minute())
    assert queued(queue) == slots_of(ids_of(servers), now)
    assert {name: report[name] for name in ("tick", "targets", "due", "sent", "left_out", "unsent", "refusals")} == {
        "tick": ticks.name(now),
        "targets": 120,
        "due": 120,
        "sent": 120,
        "left_out": 0,
        "unsent": 0,
        "refusals": {},
    }
    assert report["messages"] == len(queue.taken)
    for entry in queue.taken:
        first_ms = min(target.slot_ms for target in MESSAGE.validate_json(entry["MessageBody"]))
        assert entry["DelaySeconds"] <= (first_ms - now) / 1000 <= 120


def test_a_message_has_what_the_worker_needs(queue):
    own = {"thresholds": {"M": {"stalled_seconds": {"N": "90"}}}}
    register(item("a", interval_seconds=30, timeout_seconds=2.5, retention_days=7) | own)
    tick(this_minute())
    target = MESSAGE.validate_json(queue.taken[0]["MessageBody"])[0]
    assert (target.instance_id, target.engine, target.endpoint) == ("a", "sglang", "http://a:30000/metrics")
    assert (target.interval_seconds, target.timeout_seconds, target.retention_days) == (30, 2.5, 7)
    assert target.thresholds == {"stalled_seconds": 90}


@pytest.mark.parametrize(("interval_seconds", "due"), [(15, 4), (20, 3), (30, 2), (60, 1)])
def test_a_short_interval_has_several_slots_a_minute(queue, interval_seconds, due):
    register(item("a", interval_seconds=interval_seconds))
    assert tick(now := this_minute())["sent"] == due
    assert queued(queue) == slots_of(["a"], now, interval_seconds)


def test_a_disabled_target_is_not_sent(queue):
    register(item("on"), item("off", enabled=False))
    assert tick(this_minute())["targets"] == 1
    assert {instance_id for instance_id, _ in queued(queue)} == {"on"}


def test_an_empty_registry_sends_nothing(queue):
    assert tick(this_minute())["due"] == 0
    assert queue.calls == []


def test_a_tick_that_comes_twice_is_sent_once(queue):
    register(*(servers := fleet(30)))
    tick(now := this_minute())
    assert tick(now) == {"tick": ticks.name(now), "doubled": True}
    assert queued(queue) == slots_of(ids_of(servers), now)


def test_a_claim_whose_answer_was_lost_is_still_ours():
    """boto3 asks again by itself, and the first question had been heard."""
    answers = []

    def lose_the_first(**_):
        answers.append("heard")
        return 0 if len(answers) == 1 else None  # seconds until boto3 asks again

    dynamodb.client().meta.events.register_first("needs-retry.dynamodb.PutItem", lose_the_first)
    assert ticks.claim(now := this_minute())
    assert len(answers) == 2
    assert not ticks.claim(now)


def test_a_claim_expires(queue):
    tick(now := this_minute())
    [claim] = boto3.client("dynamodb").query(
        TableName="targets",
        KeyConditionExpression="pk = :pk",
        ExpressionAttributeValues={":pk": {"S": "tick"}},
    )["Items"]
    assert claim["sk"] == {"S": ticks.name(now)}
    assert int(claim["expires_at"]["N"]) == now // 1000 + 86_400


def test_a_late_tick_sends_what_is_still_ahead_and_says_what_is_not(queue):
    register(*(servers := fleet(200, interval_seconds=15)))
    late = this_minute() - MINUTE_MS  # its slots are those of the minute that we are in
    before = time.time_ns() // 1_000_000
    report = tick(late)
    after = time.time_ns() // 1_000_000
    wanted = slots_of(ids_of(servers), late, 15)
    sent = queued(queue)
    assert {key for key in wanted if key[1] > after} <= set(sent) <= {key for key in wanted if key[1] >= before}
    assert report["left_out"] == len(wanted) - len(sent)
    assert (report["due"], report["sent"]) == (800, len(sent))


def test_a_tick_that_is_long_past_sends_nothing_and_says_so(queue):
    register(*fleet(40))
    report = schedule.handler(EVENTS["schedule-at"] | {"scheduled_time": "2020-01-01T00:00:00Z"}, CONTEXT)
    assert (report["due"], report["left_out"], report["sent"]) == (40, 40, 0)
    assert queue.calls == []


def test_a_tick_that_never_comes_leaves_out_its_own_slots_alone(queue):
    register(*(servers := fleet(60)))
    now = this_minute()
    for minute in (0, 2):
        tick(now + minute * MINUTE_MS)
    assert queued(queue) == slots_of(ids_of(servers), now) + slots_of(ids_of(servers), now + 2 * MINUTE_MS)


@pytest.mark.parametrize(
    "event",
    [
        pytest.param(EVENTS["schedule"], id="unfilled"),
        pytest.param({}, id="absent"),
        pytest.param({"scheduled_time": None}, id="null"),
    ],
)
def test_a_tick_without_a_time_is_this_minutes(event):
    assert schedule.read_tick(event, 1_795_489_259_999) == 1_795_489_200_000


@pytest.mark.parametrize(
    "told", ["2026-11-24T03:00:00Z", "2026-11-24T03:00:43Z", "2026-11-24T03:00:00.5+00:00", "2026-11-24T04:00:00+01:00"]
)
def test_a_time_is_its_minutes_tick(told):
    assert schedule.read_tick({"scheduled_time": told}, 1_795_489_200_000) == 1_795_489_200_000


@pytest.mark.parametrize(
    ("told", "complaint"),
    [
        pytest.param("yesterday", "scheduled_time: not a time in ISO 8601: 'yesterday'", id="word"),
        pytest.param("<aws.scheduler.execution-id>", "not a time in ISO 8601", id="another-keyword"),
        pytest.param(1_795_489_200, "not a time in ISO 8601: '1795489200'", id="number"),
        pytest.param("", "not a time in ISO 8601", id="empty"),
        pytest.param("2026-11-24T03:00:00", "does not say its time zone", id="no-zone"),
        pytest.param("2027-11-24T03:00:00Z", "slots 31536120 s ahead, further than SQS can hold back", id="next-year"),
    ],
)
def test_a_wrong_time_is_an_error_that_names_the_field_and_claims_nothing(told, complaint):
    with pytest.raises(ValueError, match=complaint):
        schedule.read_tick({"scheduled_time": told}, 1_795_489_200_000)
    with pytest.raises(ValueError, match="scheduled_time: "):
        schedule.handler(
            {"scheduled_time": told if told != "2027-11-24T03:00:00Z" else "2999-01-01T00:00:00Z"}, CONTEXT
        )
    assert boto3.client("dynamodb").scan(TableName="targets")["Count"] == 0


def test_a_registry_that_changes_during_a_tick_leaves_every_other_target_alone(queue):
    """Two pages of it; between them one target goes, one is switched off, one is changed and one is added."""
    servers = [each | {"endpoint": {"S": f"http://{'h' * 2000}:30000/"}} for each in fleet(700)]
    register(*servers)
    pages = []

    def change(**_):
        pages.append("read")
        if len(pages) == 1:
            boto3.client("dynamodb").delete_item(
                TableName="targets", Key={"pk": {"S": "target"}, "sk": {"S": "sglang-0690"}}
            )
            register(item("sglang-0691", enabled=False), item("sglang-0692", interval_seconds=15), item("a-new-one"))

    dynamodb.client().meta.events.register("after-call.dynamodb.Query", change)
    tick(now := this_minute())
    assert len(pages) == 2
    touched = {"sglang-0690", "sglang-0691", "sglang-0692"}
    untouched = [each for each in ids_of(servers) if each not in touched]
    first = queued(queue)
    assert first == slots_of(untouched, now) + slots_of(["sglang-0692"], now, 15)

    tick(now + MINUTE_MS)
    assert queued(queue) - first == slots_of([*untouched, "a-new-one"], now + MINUTE_MS) + slots_of(
        ["sglang-0692"], now + MINUTE_MS, 15
    )


def members():
    """Who belongs to the fleet, as its view is told."""
    found = boto3.client("dynamodb").query(
        TableName="targets",
        KeyConditionExpression="pk = :pk",
        ExpressionAttributeValues={":pk": {"S": "fleet"}},
    )["Items"]
    return collector.members.read(found)


def test_intervals_are_sharded_each_by_itself_and_each_target_is_told_into_how_many(queue):
    register(*fleet(600), *(item(f"quick-{number}", interval_seconds=15) for number in range(30)))
    tick(this_minute())
    bodies = [MESSAGE.validate_json(entry["MessageBody"]) for entry in queue.taken]
    assert {len({target.interval_seconds for target in body}) for body in bodies} == {1}
    told = {(target.interval_seconds, target.shards) for body in bodies for target in body}
    assert told == {(60, slots.shard_count(600, 60)), (15, slots.shard_count(30, 15))}


def test_the_fleets_members_are_noted_with_each_tick(queue):
    register(item("on"), item("off", enabled=False), item("hourly", interval_seconds=3600))
    tick(now := this_minute())
    assert members() == {"on", "hourly"}
    register(item("on", enabled=False), item("off"))
    tick(now + MINUTE_MS)
    assert members() == {"off", "hourly"}


def test_members_that_cannot_be_noted_keep_nothing_from_being_sent(queue, caplog):
    register(*(servers := fleet(30)))

    def refuse(params, **_):
        if b'"members/' in params["body"]:
            raise EndpointConnectionError(endpoint_url="http://dynamodb")

    dynamodb.client().meta.events.register("before-call.dynamodb.PutItem", refuse)
    report = tick(now := this_minute())
    assert report["sent"] == 30
    assert queued(queue) == slots_of(ids_of(servers), now)
    [warning] = [record for record in caplog.records if record.levelname == "WARNING"]
    assert warning.message == "the fleet's members were not noted"
    assert warning.reason.startswith("EndpointConnectionError")
    assert members() is None
    dynamodb.client().meta.events.unregister("before-call.dynamodb.PutItem", refuse)
    tick(now + MINUTE_MS)
    assert members() == set(ids_of(servers))


def test_what_sqs_refuses_once_is_sent_all_the_same(start_queue):
    queue = start_queue(lambda call, entries: (200, {"0": refusal()} if call == 1 else {}))
    register(*(servers := fleet(100)))
    assert tick(now := this_minute())["unsent"] == 0
    assert queued(queue) == slots_of(ids_of(servers), now)


def test_what_sqs_refuses_to_the_last_is_logged_and_counted(start_queue, capsys, caplog):
    queue = start_queue(lambda _call, entries: (200, {"0": refusal("ServiceUnavailable")}))
    register(*(servers := fleet(100)))
    report = tick(now := this_minute())
    unsent = slots_of(ids_of(servers), now) - queued(queue)
    assert report["unsent"] == len(unsent) == 100 - report["sent"] > 0
    assert report["refusals"] == {"ServiceUnavailable": len(unsent)}
    [line] = caplog.records
    assert (line.levelname, line.message) == ("ERROR", "tick")
    assert vars(line).items() >= report.items()
    [counted] = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert (counted["SlotsUnsent"], counted["SlotsSent"]) == ([len(unsent)], [report["sent"]])


def test_an_sqs_that_is_down_fails_the_slots_and_not_the_function(start_queue):
    queue = start_queue(lambda _call, _entries: (503, {}))
    register(*fleet(50))
    report = tick(this_minute())
    assert (report["sent"], report["unsent"], report["messages"]) == (0, 50, 0)
    assert len(queue.calls) % messages.ATTEMPTS == 0 < len(queue.calls)


def test_a_function_with_no_time_left_says_what_it_gave_up(queue):
    register(*fleet(10))
    context = SimpleNamespace(**vars(CONTEXT) | {"get_remaining_time_in_millis": lambda: 4_000})
    assert tick(this_minute(), context)["refusals"] == {"GaveUp": 10}
    assert queue.calls == []


def test_a_registry_that_cannot_be_read_is_our_own_failure_and_sends_nothing(queue, monkeypatch):
    monkeypatch.setenv("TARGETS_TABLE", "Nowhere")
    with pytest.raises(ClientError):
        tick(this_minute())
    assert queue.calls == []


def test_a_tick_is_one_line_of_log_without_a_name_or_an_address(queue, caplog):
    register(*fleet(3))
    report = tick(this_minute())
    [line] = caplog.records
    assert (line.levelname, line.message) == ("INFO", "tick")
    assert vars(line).items() >= report.items()
    assert "sglang-0" not in str(report)
    assert "30000" not in str(report)


@pytest.mark.parametrize(("targets", "calls"), [(1_000, 7), (2_000, 13)])
def test_a_tick_costs_few_calls(queue, targets, calls):
    register(*fleet(targets))
    report = tick(this_minute())
    assert report["sent"] == targets
    assert report["messages"] <= slots.shard_count(targets, 60)
    assert len(queue.calls) <= calls
