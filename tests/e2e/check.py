"""What has to be true of a fleet after some ticks: one outcome for each target and planned slot, and no other."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from collector import slots
from local.deployment import StoredOutcome
from local.simulator.fleet import Member

Slot = tuple[str, int]


def planned(members: Iterable[Member], ticks_ms: Sequence[int]) -> dict[Slot, Member]:
    """The slots that these ticks had to send, by the rule that the schedule itself goes by."""
    return {
        (member.instance_id, slot_ms): member
        for member in members
        for tick_ms in ticks_ms
        for slot_ms in slots.slots(slots.position(member.instance_id), member.interval_seconds, *slots.window(tick_ms))
    }


def misses(members: Sequence[Member], ticks_ms: Sequence[int], outcomes: Sequence[StoredOutcome]) -> Iterator[str]:
    """Each in a sentence: what is missing, was not planned or has another code, and who was not asked once a slot."""
    plan = planned(members, ticks_ms)
    stored = {(outcome.instance_id, outcome.slot_ms): outcome.code for outcome in outcomes}
    for later, earlier in zip(ticks_ms[1:], ticks_ms, strict=False):
        if later - earlier != slots.TICK_MS:
            yield f"no tick between {earlier} and {later}"
    for (instance_id, slot_ms), member in plan.items():
        name = f"{instance_id} ({member.kind}) at {slot_ms}"
        if (instance_id, slot_ms) not in stored:
            yield f"{name}: no outcome"
        elif (code := stored[instance_id, slot_ms]) != member.code:
            yield f"{name}: {code or 'scraped'} instead of {member.code or 'scraped'}"
    for instance_id, slot_ms in sorted(stored.keys() - plan.keys()):
        yield f"{instance_id} at {slot_ms}: an outcome that nobody planned"
    times = Counter(instance_id for instance_id, _ in plan)
    for member in members:
        if member.server.asked not in (None, times[member.instance_id]):
            yield (
                f"{member.instance_id} ({member.kind}): asked {member.server.asked} times "
                f"for {times[member.instance_id]} slots"
            )
