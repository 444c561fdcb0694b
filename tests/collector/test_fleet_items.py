"""The fleet view's items in a DynamoDB that may fail, or have other writers."""

import time

import boto3
import pytest

from collector import fleet, members, shards, slots
from collector.dynamodb import client
from collector.item import item_bytes
from collector.shards import Shard
from faulty_dynamodb import FAILED, REFUSED, THROTTLED, answer_lost, closed, half
from fleet_lines import instance_names, line

SLOT_MS = 1_795_489_200_000
SHARD = Shard(60, 16, 3)


def put(lines, seconds=5):
    return fleet.put_lines(lines, time.monotonic() + seconds)


def stored():
    """The lines of each shard that is there."""
    items = boto3.client("dynamodb").scan(TableName=fleet.table_name(), ConsistentRead=True)["Items"]
    return {item["sk"]["S"]: shards.read_lines(item) for item in items}


def slots_of(lines):
    return {line.instance_id: line.slot_ms for line in lines}


def test_shards_are_read_in_one_call_and_written_in_one_each(dynamodb):
    lines = {Shard(60, 16, number): [line(f"s{number}")] for number in range(10)}
    assert put(lines) == {}
    assert dynamodb.operations == {"BatchGetItem": 1, "PutItem": 10}
    assert stored() == {f"60/16/{number}": (line(f"s{number}"),) for number in range(10)}


def test_nothing_to_put_asks_nothing(dynamodb):
    assert put({}) == {}
    assert dynamodb.operations == {}


def test_what_is_there_already_is_not_written_again(dynamodb):
    put({SHARD: [line("a")]})
    put({SHARD: [line("a"), line("a", SLOT_MS - 60_000)]})
    assert dynamodb.operations == {"BatchGetItem": 2, "PutItem": 1}


def test_a_worker_that_was_overtaken_puts_its_lines_beside_the_others(dynamodb):
    put({SHARD: [line("a"), line("b")]})

    def overtake(operation, request, forward):
        """Between its reading and its writing another worker is done."""
        dynamodb.faults.clear()
        put({SHARD: [line("a", SLOT_MS + 60_000), line("c")]})
        return forward(request)

    dynamodb.faults.extend([lambda operation, request, forward: forward(request), overtake])
    assert put({SHARD: [line("a", SLOT_MS - 60_000), line("b", SLOT_MS + 60_000)]}) == {}
    assert slots_of(stored()["60/16/3"]) == {"a": SLOT_MS + 60_000, "b": SLOT_MS + 60_000, "c": SLOT_MS}


def test_a_worker_that_is_overtaken_each_time_gives_up_and_says_which_shard(dynamodb, aws):
    def overtake(operation, request, forward):
        if operation == "PutItem" and request["Item"]["sk"] == {"S": "60/16/3"}:
            aws.client().update_item(
                TableName=fleet.table_name(),
                Key=SHARD.key,
                UpdateExpression="ADD #version :one",
                ExpressionAttributeNames={"#version": "version"},
                ExpressionAttributeValues={":one": {"N": "1"}},
            )
        return forward(request)

    dynamodb.fault = overtake
    refused = put({SHARD: [line("a")], Shard(60, 16, 4): [line("b")]})
    assert {shard: str(reason) for shard, reason in refused.items()} == {SHARD: "other workers wrote it each time"}
    assert dynamodb.operations == {"BatchGetItem": fleet.ATTEMPTS, "PutItem": fleet.ATTEMPTS + 1}


@pytest.mark.parametrize(
    "faults",
    [
        pytest.param([THROTTLED, FAILED, THROTTLED], id="throttles-and-fails"),
        pytest.param([half] * 3, id="leaves-unprocessed"),
        pytest.param([closed], id="is-away-for-a-moment"),
        pytest.param([lambda operation, request, forward: forward(request), answer_lost], id="loses-an-answer"),
    ],
)
def test_what_passes_is_waited_for_and_each_line_is_there_once(dynamodb, faults):
    dynamodb.faults.extend(faults)
    assert put({SHARD: [line("a"), line("b")], Shard(60, 16, 4): [line("c")]}) == {}
    assert stored() == {"60/16/3": (line("a"), line("b")), "60/16/4": (line("c"),)}


@pytest.mark.parametrize(
    ("fault", "reason"), [pytest.param(REFUSED, "AccessDenied", id="refused"), pytest.param(closed, "", id="down")]
)
def test_a_dynamodb_that_does_not_take_them_is_told_for_each_shard(dynamodb, fault, reason):
    dynamodb.fault = fault
    refused = put({SHARD: [line("a")], Shard(60, 16, 4): [line("b")]}, seconds=0.2)
    assert refused.keys() == {SHARD, Shard(60, 16, 4)}
    assert all(reason in str(each) for each in refused.values())


@pytest.fixture
def reads(table):
    """The bytes that each page of the table has given, as DynamoDB counts them."""
    pages = []

    def count(parsed, **_):
        pages.append(sum(map(item_bytes, parsed["Items"])))

    client().meta.events.register("after-call.dynamodb.Query", count)
    return pages


def write(lines_by_shard):
    for shard, lines in lines_by_shard.items():
        boto3.client("dynamodb").put_item(TableName="targets", Item=shards.with_lines(shard, None, lines))


def by_shard(names, count):
    shared = {}
    for name in names:
        position = slots.position(name)
        [slot_ms] = slots.slots(position, 60, SLOT_MS, SLOT_MS + 60_000)
        shared.setdefault(Shard(60, count, slots.shard(position, count)), []).append(line(name, slot_ms))
    return shared


def test_a_thousand_targets_are_one_call_and_less_than_seventy_kilobytes(reads):
    names = instance_names(1_000)
    write(by_shard(names, 64))
    members.note(names, SLOT_MS)
    kept = fleet.read(SLOT_MS + 60_000)
    assert kept.lines.keys() == kept.members == set(names)
    assert kept.whole
    assert len(reads) == 1
    assert reads[0] < 70_000


def test_a_fleet_that_has_grown_is_read_from_two_layouts_and_the_newest_line_stands(reads):
    names = instance_names(100)
    write(by_shard(names, 16))
    later = {
        Shard(60, 32, shard.number): [line(one.instance_id, one.slot_ms + 60_000) for one in lines]
        for shard, lines in by_shard(names[:50], 32).items()
    }
    write(later)
    found = fleet.read(SLOT_MS + 120_000).lines
    earlier = {one.instance_id: one.slot_ms for lines in by_shard(names, 16).values() for one in lines}
    assert {name: found[name].slot_ms for name in names} == {
        name: slot_ms + 60_000 * (name in names[:50]) for name, slot_ms in earlier.items()
    }


def test_what_was_silent_for_a_day_is_not_read_though_dynamodb_deletes_it_late(reads):
    write({SHARD: [line("old", SLOT_MS), line("new", SLOT_MS + 60_000)]})
    members.note(["old", "new"], SLOT_MS)
    assert fleet.read(SLOT_MS + 86_400_000 - 1).members == {"old", "new"}
    assert fleet.read(SLOT_MS + 86_400_000).lines.keys() == {"new"}
    later = fleet.read(SLOT_MS + 86_460_000)
    assert (later.lines, later.members) == ({}, None)


def test_an_item_that_cannot_be_read_keeps_no_other_from_being_seen(reads, caplog):
    write({SHARD: [line("a")], Shard(60, 16, 4): [line("b")]})
    members.note(["a", "b"], SLOT_MS)
    for sk, name in (("60/16/4", "lines"), ("members/1/0", "ids")):
        boto3.client("dynamodb").update_item(
            TableName="targets",
            Key={"pk": {"S": "fleet"}, "sk": {"S": sk}},
            UpdateExpression="SET #name = :broken",
            ExpressionAttributeNames={"#name": name},
            ExpressionAttributeValues={":broken": {"B": b"?"}},
        )
    kept = fleet.read(SLOT_MS)
    assert (kept.lines.keys(), kept.members) == ({"a"}, None)
    assert [record.getMessage().split(":")[0] for record in caplog.records] == [
        "left out of the fleet view",
        "the fleet view shows targets that were deleted, too",
    ]


def test_a_fleet_of_many_pages_is_read_up_to_a_bound_and_the_members_first(reads, monkeypatch):
    names = instance_names(4_000)
    write(by_shard(names, 4))
    for number in range(4):
        boto3.client("dynamodb").update_item(
            TableName="targets",
            Key=Shard(60, 4, number).key,
            UpdateExpression="SET filler = :filler",
            ExpressionAttributeValues={":filler": {"B": bytes(300_000)}},
        )
    members.note(names, SLOT_MS)
    assert fleet.read(SLOT_MS + 60_000).lines.keys() == set(names)
    pages = len(reads)
    assert pages == 2
    monkeypatch.setattr(fleet, "PAGES_AT_MOST", 1)
    kept = fleet.read(SLOT_MS + 60_000)
    assert (len(reads), kept.whole, kept.members) == (pages + 1, False, set(names))
    assert 0 < len(kept.lines) < len(names)


@pytest.mark.parametrize("pk", ["target", "tick", "fleet"])
def test_what_others_have_put_there_is_not_read(reads, pk):
    boto3.client("dynamodb").put_item(TableName="targets", Item={"pk": {"S": pk}, "sk": {"S": "a"}})
    assert fleet.read(SLOT_MS).lines == {}
