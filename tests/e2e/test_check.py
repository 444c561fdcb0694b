"""The account of a fleet: each way in which it can be wrong is said, and nothing else is."""

from typing import NamedTuple

import pytest

from local.deployment import StoredOutcome
from local.simulator.fleet import Member

from .check import misses, planned

TICKS = [1_795_489_200_000, 1_795_489_260_000]


class Server(NamedTuple):
    asked: int | None
    port: int = 1


GOOD = Member("good", "at-work", Server(4), 30)
DOWN = Member("down", "down", Server(None), 60)
PLAN = planned([GOOD, DOWN], TICKS)
OUTCOMES = [StoredOutcome(*slot, member.code) for slot, member in PLAN.items()]


def test_a_slot_is_planned_for_each_interval_of_the_ticks_windows():
    slots_ms = sorted(slot_ms for instance_id, slot_ms in PLAN if instance_id == "good")
    assert [later - earlier for later, earlier in zip(slots_ms[1:], slots_ms, strict=False)] == [30_000] * 3
    assert TICKS[0] + 60_000 <= slots_ms[0] < slots_ms[-1] < TICKS[-1] + 120_000
    assert len(PLAN) == 4 + 2


def test_nothing_is_missed_when_all_is_there():
    assert list(misses([GOOD, DOWN], TICKS, OUTCOMES)) == []


@pytest.mark.parametrize(
    ("members", "ticks_ms", "outcomes", "words"),
    [
        pytest.param([GOOD, DOWN], TICKS, OUTCOMES[1:], "no outcome", id="missing"),
        pytest.param(
            [GOOD, DOWN],
            TICKS,
            [*OUTCOMES, StoredOutcome("good", TICKS[0], None)],
            "an outcome that nobody planned",
            id="unplanned",
        ),
        pytest.param(
            [GOOD, DOWN],
            TICKS,
            [OUTCOMES[0]._replace(code="late"), *OUTCOMES[1:]],
            "late instead of scraped",
            id="another-code",
        ),
        pytest.param(
            [GOOD, DOWN],
            TICKS,
            [*OUTCOMES[:-1], OUTCOMES[-1]._replace(code=None)],
            "scraped instead of connection_refused",
            id="no-code",
        ),
        pytest.param(
            [GOOD._replace(server=Server(5)), DOWN], TICKS, OUTCOMES, "asked 5 times for 4 slots", id="asked-twice"
        ),
        pytest.param(
            [GOOD._replace(server=Server(3)), DOWN], TICKS, OUTCOMES, "asked 3 times for 4 slots", id="never-asked"
        ),
        pytest.param([], [TICKS[0], TICKS[1] + 60_000], [], "no tick between", id="a-tick-is-missing"),
    ],
)
def test_a_miss_is_said(members, ticks_ms, outcomes, words):
    [sentence] = misses(members, ticks_ms, outcomes)
    assert words in sentence
