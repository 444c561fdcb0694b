"""Due targets are packed by shard and put into a queue that may refuse, stumble or be gone."""

import json
import time
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector import messages, slots
from collector.targets import MESSAGE, TARGETS_PER_MESSAGE
from collector.thresholds import DEFAULT
from queues import refusal
from support import target

NOW_MS = 1_795_489_200_000
LATER = 1e9  # on the monotonic clock: never
FILLED = {f"label_{number}": "é" * 256 for number in range(16)}  # some 25 KB as ASCII


def due(instance_id, slot_ms=NOW_MS, **changes):
    return messages.due(slots.position(instance_id), target(instance_id=instance_id, slot_ms=slot_ms, **changes))


def fleet(size, interval_seconds=60, start_ms=NOW_MS):
    """A minute's slots of so many servers."""
    return [
        due(f"sglang-{number}", slot_ms, interval_seconds=interval_seconds)
        for number in range(size)
        for slot_ms in slots.slots(slots.position(f"sglang-{number}"), interval_seconds, start_ms, start_ms + 60_000)
    ]


def unpacked(packed):
    return [MESSAGE.validate_json(message.body) for message in packed]


def keys(packed):
    return Counter((target.instance_id, target.slot_ms) for body in unpacked(packed) for target in body)


@given(
    st.lists(st.tuples(st.integers(0, 300), st.integers(0, 60_000)), max_size=400, unique=True),
    st.integers(0, 6).map(lambda bits: 2**bits),
)
def test_every_slot_is_in_one_message_whose_targets_belong_together(fleet, shards):
    packed = messages.pack([due(f"s{number}", NOW_MS + ms) for number, ms in fleet], shards)
    assert keys(packed) == Counter((f"s{number}", NOW_MS + ms) for number, ms in fleet)
    for message, body in zip(packed, unpacked(packed), strict=True):
        assert message.targets == len(body) <= TARGETS_PER_MESSAGE
        assert message.first_slot_ms == min(target.slot_ms for target in body)
        assert max(target.slot_ms for target in body) - message.first_slot_ms <= 5_000
        assert {target.shards for target in body} == {shards}
        assert len({slots.shard(slots.position(target.instance_id), shards) for target in body}) == 1
    assert [message.first_slot_ms for message in packed] == sorted(message.first_slot_ms for message in packed)


@pytest.mark.parametrize(
    ("size", "interval_seconds", "at_most"),
    [
        pytest.param(1, 60, 1, id="one-server"),
        pytest.param(25, 60, 16, id="a-shard-is-due-within-five-seconds"),
        pytest.param(1_000, 60, 64, id="a-thousand-are-a-message-a-shard"),
        pytest.param(1_000, 15, 4 * 64, id="four-times-a-minute"),
        pytest.param(10_000, 60, 512, id="ten-thousand"),
        pytest.param(10_000, 3600, 1024 // 60 + 2, id="a-sixtieth-of-ten-thousand-hourly"),
    ],
)
def test_messages_are_as_few_as_the_shards_that_are_due(size, interval_seconds, at_most):
    dues = fleet(size, interval_seconds)
    packed = messages.pack(dues, slots.shard_count(size, interval_seconds))
    assert len(packed) <= at_most
    assert sum(message.targets for message in packed) == len(dues)


def test_targets_that_are_due_together_are_cut_at_a_hundred():
    packed = messages.pack([due(f"s{number}") for number in range(250)], 1)
    assert [message.targets for message in packed] == [100, 100, 50]


def test_a_message_is_cut_where_its_labels_would_make_it_too_large():
    packed = messages.pack([due(f"s{number}", labels=FILLED) for number in range(25)], 1)
    sizes = [len(message.body.encode()) for message in packed]
    assert max(sizes) <= 256 * 1024 < sum(sizes[:2])
    assert [target.labels for body in unpacked(packed) for target in body] == [FILLED] * 25


def test_the_largest_target_there_can_be_fits_a_message():
    labels = {f"{'n' * 61}{number:02}": "𝄞" * 256 for number in range(16)}
    thresholds = {name: 0.1234567890123456 if limit < 1 else limit for name, limit in DEFAULT}
    largest = due("s" * 128, endpoint="http://" + "h" * 2041, labels=labels, thresholds=thresholds)
    [message] = messages.pack([largest], 1)
    assert len(message.body) <= 256 * 1024


def test_a_target_takes_its_thresholds_with_it():
    own = {"stalled_seconds": 90.0, "failures_in_a_row": 1.0}
    packed = messages.pack([due(f"s{number}", thresholds=own) for number in range(100)], 1)
    assert [target.thresholds for body in unpacked(packed) for target in body] == [own] * 100
    assert len(packed) == 1


@pytest.mark.parametrize("label", ["é", "\uffff", "\ufffe", "𝄞", "\xa0", '"', "\\"], ids=ascii)
def test_a_body_has_only_characters_that_sqs_takes_and_says_the_same(label):
    [message] = messages.pack([due("a", labels={"team": label})], 1)
    assert all(" " <= character <= "~" for character in message.body)
    [[read]] = unpacked([message])
    assert read.labels == {"team": label}


def test_no_more_is_shipped_than_differs_from_the_defaults():
    [message] = messages.pack([due("a", timeout_seconds=10, interval_seconds=60, labels={}, thresholds={})], 1)
    assert json.loads(message.body) == [
        {
            "instance_id": "a",
            "engine": "sglang",
            "endpoint": "http://10.0.0.1:30000/metrics",
            "slot_ms": NOW_MS,
            "interval_seconds": 60,
            "shards": 1,
        }
    ]


def some(count, first_slot_ms=NOW_MS):
    return [messages.Message(first_slot_ms, 2, f"[{number}]") for number in range(count)]


def test_messages_go_in_tens(start_queue):
    sqs = start_queue()
    assert messages.send(some(52), LATER) == []
    assert sorted(len(call) for call in sqs.calls) == [2, 10, 10, 10, 10, 10]
    assert sorted(entry["MessageBody"] for entry in sqs.taken) == sorted(message.body for message in some(52))


def test_a_call_is_no_larger_than_sqs_takes(start_queue):
    sqs = start_queue()
    sizes = [200_000, 60_000, 10_000, 256 * 1024, 1]
    assert messages.send([messages.Message(NOW_MS, 1, "x" * size) for size in sizes], LATER) == []
    calls = sorted([len(entry["MessageBody"]) for entry in call] for call in sqs.calls)
    assert calls == [[1], [10_000], [200_000, 60_000], [256 * 1024]]


@pytest.mark.parametrize(
    ("ahead_seconds", "delays"),
    [
        pytest.param(90, {89, 90}, id="a-minute-and-a-half"),
        pytest.param(0.5, {0}, id="less-than-a-second"),
        pytest.param(-3, {0}, id="past"),
        pytest.param(2_000, {900}, id="further-than-sqs-holds-back"),
    ],
)
def test_a_message_is_held_back_until_its_first_target_is_due(start_queue, ahead_seconds, delays):
    sqs = start_queue()
    messages.send(some(1, int(time.time() * 1000 + ahead_seconds * 1000)), LATER)
    assert sqs.taken[0]["DelaySeconds"] in delays


def test_what_sqs_refuses_is_sent_again_and_nothing_else(start_queue):
    def refuses_some(call, entries):
        return 200, {entry["Id"]: refusal() for entry in entries[: 7 if call == 1 else 3 if call == 2 else 0]}

    sqs = start_queue(refuses_some)
    assert messages.send(some(10), LATER) == []
    assert [len(call) for call in sqs.calls] == [10, 7, 3]
    assert sorted(entry["MessageBody"] for entry in sqs.taken) == sorted(message.body for message in some(10))


def test_what_is_refused_for_good_is_told_at_once(start_queue):
    sqs = start_queue(lambda _call, _entries: (200, {"4": refusal("InvalidMessageContents", sender_fault=True)}))
    [refused] = messages.send(some(10), LATER)
    assert refused == (some(10)[4], "InvalidMessageContents")
    assert len(sqs.calls) == 1


def test_what_is_refused_to_the_last_is_told_with_its_reason(start_queue):
    def refuses_one(_call, entries):
        return 200, {
            entry["Id"]: refusal("ServiceUnavailable") for entry in entries if entry["MessageBody"] in ("[3]", "[17]")
        }

    sqs = start_queue(refuses_one)
    refusals = messages.send(some(20), LATER)
    assert sorted(refused.message.body for refused in refusals) == ["[17]", "[3]"]
    assert messages.in_words(refusals) == {"ServiceUnavailable": 4}
    assert len(sqs.calls) == 2 * messages.ATTEMPTS
    assert len(sqs.taken) == 18


def test_a_call_that_fails_is_made_again_whole(start_queue):
    sqs = start_queue(lambda call, _entries: (500 if call < 3 else 200, {}))
    assert messages.send(some(4), LATER) == []
    assert [len(call) for call in sqs.calls] == [4, 4, 4]
    assert len(sqs.taken) == 4


def test_an_sqs_that_stays_down_is_told_for_every_message(start_queue):
    sqs = start_queue(lambda _call, _entries: (503, {}))
    refusals = messages.send(some(35), LATER)
    assert messages.in_words(refusals) == {"InternalFailure": 70}
    assert len(sqs.calls) == 4 * messages.ATTEMPTS


def test_an_sqs_that_cannot_be_reached_is_told_for_every_message(start_queue):
    start_queue().__exit__()
    assert messages.in_words(messages.send(some(3), LATER)) == {"EndpointConnectionError": 6}


def test_nothing_is_tried_after_the_function_has_to_give_up(start_queue):
    sqs = start_queue()
    assert messages.in_words(messages.send(some(3), time.monotonic() - 1)) == {"GaveUp": 6}
    assert sqs.calls == []
