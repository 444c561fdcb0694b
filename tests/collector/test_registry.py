"""The registry as a table: versions, pages, the whole of it, and what other hands put there."""

from datetime import UTC, datetime
from typing import get_args

import boto3
import pytest

from collector import dynamodb, registry
from collector.engines import ENGINES
from collector.registry import VersionConflict
from collector.targets import Engine, Registration, Target

NOW = datetime(2026, 11, 24, 3, 0, 0, 123456, tzinfo=UTC)
OPERATOR = "arn:aws:iam::123456789012:user/operator"
MAPS = {"labels": {"team": "search"}, "thresholds": {"stalled_seconds": 90, "kv_usage_ratio": 0.95}}

pytestmark = pytest.mark.usefixtures("table")


def registration(instance_id="sglang-001", **changes):
    fields = {"engine": "sglang", "endpoint": "http://10.0.1.17:30000/metrics"}
    return Registration.model_validate({"instance_id": instance_id} | fields | changes)


def put(wanted, version=None, changed_by=OPERATOR, at=NOW):
    return registry.put(wanted, version, changed_by, at)


def put_by_hand(count, **attributes):
    table = boto3.resource("dynamodb").Table("targets")
    item = {"pk": "target", "engine": "sglang", "endpoint": "http://10.0.1.17:30000/metrics"} | attributes
    with table.batch_writer() as batch:
        for number in range(count):
            batch.put_item(Item=item | {"sk": f"sglang-{number:05d}"})


@pytest.fixture
def calls():
    """The names of the operations that reach DynamoDB, each time one does."""
    seen = []
    dynamodb.client().meta.events.register("before-send.dynamodb", lambda event_name, **_: seen.append(event_name))
    return lambda: [name.rpartition(".")[2] for name in seen]


@pytest.mark.parametrize(
    "wanted",
    [
        pytest.param(registration(), id="defaults"),
        pytest.param(
            registration(
                interval_seconds=15,
                timeout_seconds=2.5,
                retention_days=7,
                labels={"team": "search", "zone": "é"},
                thresholds={"stalled_seconds": 90, "idle_ratio": 0.123456789, "cache_thrashing_tokens": 10**9},
                enabled=False,
            ),
            id="everything",
        ),
        pytest.param(registration(labels={"empty": ""}), id="empty-label"),
    ],
)
def test_a_registration_is_read_back_as_it_was_put(wanted):
    stored = put(wanted)
    assert (stored.version, stored.changed_by, stored.changed_at) == (1, OPERATOR, NOW)
    assert stored.registration == wanted
    assert registry.read(wanted.instance_id) == stored
    assert list(registry.read_all()) == [wanted]


@pytest.mark.parametrize("field", ["labels", "thresholds"])
def test_an_empty_map_takes_no_place(field):
    put(registration(**{field: {}}))
    [item] = boto3.client("dynamodb").scan(TableName="targets")["Items"]
    assert field not in item


def test_thresholds_are_numbers_in_the_item():
    put(registration(thresholds={"stalled_seconds": 90}))
    [item] = boto3.client("dynamodb").scan(TableName="targets")["Items"]
    assert item["thresholds"] == {"M": {"stalled_seconds": {"N": "90.0"}}}


def test_nothing_registered_is_none():
    assert registry.read("sglang-001") is None


def test_each_change_replaces_the_version_before():
    put(registration())
    changed = put(registration(interval_seconds=30), version=1, changed_by="arn:other")
    assert (changed.version, changed.changed_by, changed.interval_seconds) == (2, "arn:other", 30)
    assert registry.read("sglang-001") == changed


def test_who_made_the_change_may_be_unknown():
    assert put(registration(), changed_by=None) == registry.read("sglang-001")


@pytest.mark.parametrize(
    ("there", "version"), [(1, None), (1, 2), (2, 1), (0, 1)], ids=["create-again", "not-yet", "stale", "not-there"]
)
def test_another_version_than_the_one_there_is_a_conflict(there, version):
    for number in range(there):
        put(registration(interval_seconds=100 + number), number or None)
    before = registry.read("sglang-001")
    with pytest.raises(VersionConflict) as raised:
        put(registration(interval_seconds=15), version)
    assert raised.value.current == registry.read("sglang-001") == before
    assert "is at version" in str(raised.value) if there else "is not registered" in str(raised.value)


@pytest.mark.parametrize("version", [None, 1, 7], ids=["create", "its-version", "another-version"])
def test_what_is_there_already_keeps_its_version_and_is_not_written(version, calls):
    first = put(registration())
    assert put(registration(), version, "arn:other", datetime.now(UTC)) == first
    assert calls().count("PutItem") == 1


def test_of_two_changes_at_once_one_wins_and_the_other_learns_of_it():
    put(registration())
    other = registration(interval_seconds=15)

    def come_in_between(**_):
        events.unregister("before-call.dynamodb.PutItem", come_in_between)
        put(other, version=1, changed_by="arn:other")

    events = dynamodb.client().meta.events
    events.register("before-call.dynamodb.PutItem", come_in_between)
    with pytest.raises(VersionConflict) as raised:
        put(registration(interval_seconds=30), version=1)
    assert raised.value.current.registration == registry.read("sglang-001").registration == other


def test_a_change_that_arrives_twice_because_its_answer_was_lost_is_no_conflict():
    put(registration())
    wanted = registration(interval_seconds=30)

    def arrive_before(**_):
        events.unregister("before-call.dynamodb.PutItem", arrive_before)
        put(wanted, version=1)

    events = dynamodb.client().meta.events
    events.register("before-call.dynamodb.PutItem", arrive_before)
    assert put(wanted, version=1) == registry.read("sglang-001")
    assert registry.read("sglang-001").version == 2


def test_a_deleted_registration_is_gone():
    put(registration())
    registry.delete("sglang-001", 1)
    assert registry.read("sglang-001") is None
    assert put(registration()).version == 1


@pytest.mark.parametrize(("there", "version"), [(True, 2), (False, 1)], ids=["another-version", "not-there"])
def test_only_the_version_named_is_deleted(there, version):
    before = put(registration()) if there else None
    with pytest.raises(VersionConflict) as raised:
        registry.delete("sglang-001", version)
    assert raised.value.current == registry.read("sglang-001") == before


def test_pages_are_whole_and_in_order_and_the_last_one_says_so():
    names = [f"sglang-{number}" for number in "cafbed"]
    for name in names:
        put(registration(name))
    first, after = registry.read_page(4)
    last, end = registry.read_page(4, after)
    assert [found.instance_id for found in (*first, *last)] == sorted(names)
    assert (len(first), after, end) == (4, "sglang-d", None)


@pytest.mark.parametrize("limit", [3, 4], ids=["full", "not-full"])
def test_a_page_that_holds_the_rest_is_the_last(limit):
    put_by_hand(3, version=1, changed_at=NOW.isoformat())
    found, after = registry.read_page(limit)
    assert (len(found), after) == (3, None)


def test_a_page_goes_on_after_one_that_is_deleted_meanwhile():
    for name in "abc":
        put(registration(name))
    _, after = registry.read_page(2)
    registry.delete(after, 1)
    assert [found.instance_id for found in registry.read_page(2, after)[0]] == ["c"]


def test_all_are_read_by_pages_of_the_table_and_no_other_item_with_them(calls):
    table = boto3.resource("dynamodb").Table("targets")
    for other in ("tick", "shard", "targets", "targe"):
        table.put_item(Item={"pk": other, "sk": "2026-11-24T03:00Z", "expires_at": 1})
    put_by_hand(2_000, labels={"filler": "x" * 256, "more": "y" * 256, "still": "z" * 256})
    found = [each.instance_id for each in registry.read_all()]
    assert found == [f"sglang-{number:05d}" for number in range(2_000)]
    assert calls().count("Query") == 2


def test_only_what_a_target_needs_is_fetched(calls):
    put(registration())
    bodies = []
    dynamodb.client().meta.events.register(
        "before-parse.dynamodb.Query", lambda response_dict, **_: bodies.append(response_dict["body"])
    )
    assert list(registry.read_all()) == [registration()]
    assert OPERATOR.encode() not in bodies[0]
    assert b"10.0.1.17" in bodies[0]


def test_a_page_of_the_table_is_asked_for_when_the_one_before_is_used_up(calls):
    put_by_hand(2_000, labels={"filler": "x" * 256, "more": "y" * 256, "still": "z" * 256})
    reading = registry.read_all()
    assert calls().count("Query") == 0
    for _ in range(100):
        next(reading)
    assert calls().count("Query") == 1


@pytest.mark.parametrize(
    ("attributes", "field"),
    [
        pytest.param({"engine": "of-a-later-release"}, "engine", id="engine"),
        pytest.param({"interval_seconds": 1}, "interval_seconds", id="bound"),
        pytest.param({"labels": "search"}, "labels", id="type"),
        pytest.param({"endpoint": None}, "endpoint", id="null"),
        pytest.param({"thresholds": {"of_a_later_release": 1}}, "thresholds", id="threshold"),
    ],
)
def test_one_that_cannot_be_read_is_logged_and_does_not_keep_the_others(attributes, field, caplog):
    put_by_hand(1, version=1, changed_at=NOW.isoformat(), **attributes)
    put(registration("sglang-good"))
    assert [each.instance_id for each in registry.read_all()] == ["sglang-good"]
    assert [each.instance_id for each in registry.read_page(10)[0]] == ["sglang-good"]
    assert {record.levelname for record in caplog.records} == {"ERROR"}
    assert all(
        f"'sglang-00000' cannot be read and is left out: '{field}: " in line.replace('"', "'")
        for line in caplog.messages
    )


def test_a_registration_becomes_a_target_of_a_slot():
    wanted = registration(interval_seconds=30, timeout_seconds=5, retention_days=7, **MAPS)
    assert wanted.at(1_795_489_230_000) == Target(
        instance_id="sglang-001",
        engine="sglang",
        endpoint="http://10.0.1.17:30000/metrics",
        timeout_seconds=5,
        slot_ms=1_795_489_230_000,
        interval_seconds=30,
        retention_days=7,
        **MAPS,
    )


def test_the_engines_that_can_be_registered_are_those_that_can_be_read():
    assert set(get_args(Engine)) == set(ENGINES)
