"""Who belongs to the fleet: noted where it changed, in as many items as it takes, read as it was noted last."""

import random
import string

import boto3
import pytest

from collector import members
from collector.item import ITEM_BYTES_AT_MOST, item_bytes
from collector.members import UnreadableMembersError

TICK_MS = 1_795_489_200_000
HOUR_MS = 3_600_000

pytestmark = pytest.mark.usefixtures("table")


def items():
    return boto3.client("dynamodb").scan(TableName="targets")["Items"]


def names(size):
    return [f"sglang-{number:05}" for number in range(size)]


@pytest.mark.parametrize(("size", "parts"), [(0, 1), (1, 1), (2_500, 1), (2_501, 2), (12_000, 8)])
def test_what_is_noted_is_read_back(size, parts):
    assert members.note(reversed(names(size)), TICK_MS) == parts
    assert members.read(items()) == set(names(size))
    assert {item["pk"]["S"] for item in items()} == {"fleet"}
    assert all(members.holds(item) for item in items())


def test_it_is_written_where_it_has_changed_and_once_an_hour():
    fleet = names(3_000)
    written = [
        members.note(fleet, TICK_MS),
        members.note(fleet, TICK_MS + 60_000),
        members.note([*fleet, "one-more"], TICK_MS + 120_000),
        members.note(fleet[1:], TICK_MS + 180_000),
        members.note(fleet[1:], TICK_MS + HOUR_MS),
    ]
    assert written[:3] == [2, 0, 1]
    assert written[3] in (1, 2)  # parts: as the two that changed stand
    assert written[4] == 2
    assert members.read(items()) == set(fleet[1:])


def test_where_the_number_of_parts_has_changed_the_newest_stand_also_when_it_comes_back():
    members.note(names(2_000), TICK_MS)
    members.note(names(3_000), TICK_MS + 60_000)
    assert members.read(items()) == set(names(3_000))
    assert members.note(names(2_000), TICK_MS + 120_000) == 1
    assert members.read(items()) == set(names(2_000))


def test_parts_of_which_one_is_missing_do_not_stand():
    members.note(names(2_000), TICK_MS)
    members.note(names(3_000), TICK_MS + 60_000)
    torn = [item for item in items() if item["sk"]["S"] != "members/2/1"]
    assert members.read(torn) == set(names(2_000))


def test_the_longest_names_fit_the_items():
    chance = random.Random(5)
    longest = ["".join(chance.choices(string.ascii_letters + string.digits + "._:-", k=128)) for _ in range(5_000)]
    members.note(longest, TICK_MS)
    assert members.read(items()) == set(longest)
    assert max(map(item_bytes, items())) < ITEM_BYTES_AT_MOST


def test_where_nobody_has_noted_any_nothing_is_known():
    assert members.read([]) is None


@pytest.mark.parametrize(
    "attributes",
    [
        pytest.param({"ids": {"B": b"?"}}, id="not-compressed"),
        pytest.param({"ids": {"S": "a"}}, id="another-type"),
        pytest.param({"tick": {"N": "soon"}}, id="no-tick"),
    ],
)
def test_what_no_release_has_written_is_refused(attributes):
    members.note(["a"], TICK_MS)
    with pytest.raises(UnreadableMembersError, match="the fleet's members cannot be read"):
        members.read([item | attributes for item in items()])
