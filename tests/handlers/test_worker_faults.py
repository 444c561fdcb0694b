"""Whatever fails on our side: each target has one outcome for each slot in the end, none twice, none missing."""

import threading
import time

import pytest

from collector import batches, item, store
from faulty_dynamodb import FAILED, OVERLOADED, REFUSED, THROTTLED, answer_lost, closed, half
from handlers import worker
from queue_of_messages import Context, Queue, message
from servers import keeps_alive, whole
from support import target

PER_MESSAGE = 20


@pytest.fixture(autouse=True)
def _a_place_to_scrape(on_a_laptop):
    pass


@pytest.fixture
def pages(serve):
    return serve(keeps_alive(whole()))


@pytest.fixture
def queue(dynamodb):
    """The queue in front of the worker."""
    return Queue(lambda sent: worker.handler(sent, Context()))


@pytest.fixture
def impatient(monkeypatch):
    """DynamoDB is not waited for as long as in AWS."""
    monkeypatch.setattr(store, "PATIENCE_SECONDS", 0.1)
    return lambda sent: worker.handler(sent, Context(9))


def now_ms():
    return time.time_ns() // 1_000_000


def fleet(server, count=50, **changes):
    """Targets that are due now."""
    endpoint = f"http://127.0.0.1:{server.port}/metrics"
    fields = {"slot_ms": now_ms(), "interval_seconds": 60, "timeout_seconds": 2} | changes
    return [target(instance_id=f"sglang-{number:03}", endpoint=endpoint, **fields) for number in range(count)]


def messages(targets):
    return [message(*targets[first : first + PER_MESSAGE]) for first in range(0, len(targets), PER_MESSAGE)]


@pytest.fixture
def stored(aws, dynamodb):
    """All items, by their keys, whatever state their DynamoDB is in."""

    def read():
        items = aws.client().scan(TableName=store.table_name(), ConsistentRead=True)["Items"]
        return {item.read_key(found): found for found in items}

    return read


@pytest.fixture
def assert_each_once(stored, dynamodb):
    """One outcome for each target, written once, with one of these codes."""

    def check(targets, *codes):
        assert stored().keys() == {one.key for one in targets}
        assert {found.get("code", {}).get("S") for found in stored().values()} == set(codes or [None])
        assert set(dynamodb.writes.values()) == {1}

    return check


@pytest.mark.parametrize(
    "faults",
    [
        pytest.param([THROTTLED] * 3, id="throttles"),
        pytest.param([OVERLOADED, FAILED] * 2, id="throttles-and-fails"),
        pytest.param([half] * 8, id="leaves-unprocessed"),
        pytest.param([closed] * 3, id="closes-connections"),
        pytest.param([THROTTLED, half, closed, FAILED, half, half], id="everything"),
    ],
)
def test_while_dynamodb_fails_for_a_moment_it_is_asked_again(queue, dynamodb, pages, faults, assert_each_once):
    targets = fleet(pages)
    dynamodb.faults.extend(faults)
    queue.send(*messages(targets))
    assert queue.deliver_once() == []
    assert_each_once(targets)
    assert len(pages.requests) == len(targets)


def test_a_write_whose_answer_is_lost_is_written_over_with_the_same(queue, dynamodb, pages, stored):
    targets = fleet(pages)
    queue.send(*messages(targets))
    dynamodb.faults.extend([half, answer_lost] * 3)
    assert queue.deliver_once() == []
    assert stored().keys() == {one.key for one in targets}
    assert len(pages.requests) == 50


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        pytest.param(closed, "ConnectionClosedError", id="is-down"),
        pytest.param(THROTTLED, "ProvisionedThroughputExceededException", id="throttles"),
        pytest.param(half, "UnprocessedError", id="leaves-unprocessed"),
        pytest.param(REFUSED, "ClientError", id="refuses"),
    ],
)
def test_what_dynamodb_does_not_take_comes_again_and_is_taken_then(
    dynamodb, pages, impatient, caplog, fault, reason, assert_each_once
):
    targets = fleet(pages)
    queue = Queue(impatient)
    queue.send(*messages(targets))
    dynamodb.fault = fault
    returned = queue.deliver_once()
    assert len(returned) == 3
    lines = [record for record in caplog.records if record.message == "message returned"]
    assert [line.message_id for line in lines] == returned
    assert {line.reason.partition(":")[0] for line in lines} == {reason}
    dynamodb.fault = None
    queue.deliver()
    assert_each_once(targets)
    assert queue.dead == []


def test_a_dynamodb_that_goes_down_between_reading_and_writing_costs_only_what_was_not_written(
    dynamodb, pages, impatient, stored, assert_each_once
):
    targets = fleet(pages)
    queue = Queue(impatient)
    queue.send(*messages(targets))
    written = threading.Event()

    def down_after_the_first_write(operation, request, forward):
        answer = forward(request)
        if operation == "BatchWriteItem" and not written.is_set():
            dynamodb.fault = closed
            written.set()
        return answer

    dynamodb.fault = down_after_the_first_write
    queue.deliver_once()
    assert written.wait(30)  # the worker may have lost patience before it
    assert len(stored()) == batches.WRITES_AT_ONCE
    dynamodb.fault = None
    queue.deliver()
    assert_each_once(targets)
    assert len(pages.requests) == 50 + 25
    assert queue.dead == []


def test_a_dynamodb_that_stays_down_past_the_slot_leaves_late_outcomes(dynamodb, pages, impatient, assert_each_once):
    targets = fleet(pages, interval_seconds=15, slot_ms=now_ms() - 14_000)
    queue = Queue(impatient)
    queue.send(*messages(targets))
    dynamodb.fault = closed
    assert len(queue.deliver_once()) == 3
    dynamodb.fault = None
    queue.deliver()
    assert_each_once(targets, "late")


def test_messages_that_come_twice_write_nothing_twice(queue, pages, assert_each_once):
    targets = fleet(pages)
    sent = messages(targets)
    queue.send(*sent)
    queue.deliver()
    queue.send(*sent)
    queue.deliver()
    assert_each_once(targets)
    assert len(pages.requests) == len(targets)


def test_messages_that_come_twice_at_once_write_nothing_twice(queue, pages, assert_each_once):
    targets = fleet(pages)
    queue.send(*messages(targets), *messages(targets))
    queue.deliver()
    assert_each_once(targets)
    assert len(pages.requests) == len(targets)


def test_messages_of_several_slots_may_come_in_any_order(queue, pages, assert_each_once):
    slots = [fleet(pages, slot_ms=now_ms() - 30_000 + 60_000 * number) for number in range(3)]
    for order in (2, 0, 1):
        queue.send(*messages(slots[order]))
        queue.deliver()
    assert_each_once([one for slot in slots for one in slot])


def test_messages_that_come_late_leave_late_outcomes_and_ask_nobody(queue, pages, assert_each_once):
    targets = fleet(pages, slot_ms=now_ms() - 61_000)
    queue.send(*messages(targets))
    queue.deliver()
    assert_each_once(targets, "late")
    assert pages.requests == []


def test_a_late_message_that_comes_again_changes_nothing(queue, pages, stored, assert_each_once):
    targets = fleet(pages, slot_ms=now_ms() - 57_000)
    queue.send(*messages(targets))
    queue.deliver()
    before = stored()
    time.sleep(3.1)
    queue.send(*messages(targets))  # other messages of the same slots, as SQS may deliver a message twice
    queue.deliver()
    assert stored() == before
    assert_each_once(targets)


def test_a_poisoned_message_ends_in_the_dead_letter_queue_and_takes_none_with_it(queue, pages, assert_each_once):
    targets = fleet(pages)
    [poison, *_] = fleet(pages, count=1, engine="an-engine-of-tomorrow", slot_ms=now_ms() + 1)
    poisoned = message(poison, *targets[:PER_MESSAGE])
    queue.send(poisoned, *messages(targets[PER_MESSAGE:]))
    queue.deliver()
    assert queue.dead == [poisoned]
    assert_each_once(targets)
