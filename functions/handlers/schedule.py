"""Every minute: the slots that fall due in the minute after next, into the queue.

Tick T sends the slots of [T + 60 s, T + 120 s). It is claimed first, so a tick that comes twice is sent once; one that
comes late sends what is still ahead; one that never comes leaves its own slots out and no other's.
"""

import time
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from itertools import chain
from operator import attrgetter
from typing import Any, NamedTuple

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext
from botocore.exceptions import BotoCoreError, ClientError

from collector import members, messages, registry, slots, ticks
from collector.messages import Due, Message
from collector.targets import Registration

UNFILLED = "<aws.scheduler.scheduled-time>"
END_SECONDS = 5  # left to report in, of the function's time

logger = Logger()
metrics = Metrics()


class Plan(NamedTuple):
    """What a tick has to send: the targets that are enabled, their slots still ahead, how many are past."""

    members: dict[int, list[str]]
    """Their ids, by the interval in seconds."""
    due: dict[int, list[Due]]
    """By the interval too."""
    left_out: int

    def pack(self) -> list[Message]:
        """The first due first."""
        packed = (
            messages.pack(due, slots.shard_count(len(self.members[interval_seconds]), interval_seconds))
            for interval_seconds, due in self.due.items()
        )
        return sorted(chain(*packed), key=attrgetter("first_slot_ms"))


@logger.inject_lambda_context
@metrics.log_metrics
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Send one tick and say what came of it: counts of targets, slots and messages. Raises ValueError for a wrong time.

    `event` is `{"scheduled_time": …}`, as the template has it filled in by EventBridge Scheduler.
    """
    began, now_ms = time.monotonic(), time.time_ns() // 1_000_000
    give_up_at = began + context.get_remaining_time_in_millis() / 1000 - END_SECONDS
    metrics.add_metric(name="Ticks", unit=MetricUnit.Count, value=1)
    tick_ms = read_tick(event, now_ms)
    if not ticks.claim(tick_ms):
        logger.warning("this tick was sent already", tick=ticks.name(tick_ms))
        return {"tick": ticks.name(tick_ms), "doubled": True}

    plan = plan_tick(registry.read_all(), tick_ms, now_ms)
    packed = plan.pack()
    refusals = messages.send(packed, give_up_at)
    note_members(plan, tick_ms, give_up_at)

    ahead = sum(message.targets for message in packed)
    unsent = sum(refusal.message.targets for refusal in refusals)
    report: dict[str, Any] = {
        "tick": ticks.name(tick_ms),
        "targets": sum(map(len, plan.members.values())),
        "due": ahead + plan.left_out,
        "left_out": plan.left_out,
        "sent": ahead - unsent,
        "unsent": unsent,
        "messages": len(packed) - len(refusals),
        "refused_messages": len(refusals),
        "refusals": messages.in_words(refusals),
        "late_seconds": round((now_ms - tick_ms) / 1000, 3),
        "seconds": round(time.monotonic() - began, 3),
    }
    (logger.error if unsent else logger.info)("tick", **report)
    for name, count in (("SlotsSent", "sent"), ("SlotsLeftOut", "left_out"), ("SlotsUnsent", "unsent")):
        metrics.add_metric(name=name, unit=MetricUnit.Count, value=report[count])
    return report


def read_tick(event: dict[str, Any], now_ms: int) -> int:
    """The tick that an event asks for, ms since 1970; this minute's where it names none. Raises ValueError."""
    told = event.get("scheduled_time")
    if told in (None, UNFILLED):
        return slots.tick(now_ms)
    try:
        moment = datetime.fromisoformat(told)
    except (TypeError, ValueError):
        raise ValueError(f"scheduled_time: not a time in ISO 8601: {str(told)[:40]!r}") from None
    if moment.tzinfo is None:
        raise ValueError(f"scheduled_time: does not say its time zone: {told!r}")
    tick_ms = slots.tick((moment - datetime.fromtimestamp(0, UTC)) // timedelta(milliseconds=1))
    if (ahead_seconds := (slots.window(tick_ms)[1] - now_ms) / 1000) > messages.DELAY_SECONDS_AT_MOST:
        raise ValueError(
            f"scheduled_time: {told} has slots {ahead_seconds:.0f} s ahead, further than SQS can hold back"
        )
    return tick_ms


def plan_tick(registrations: Iterable[Registration], tick_ms: int, now_ms: int) -> Plan:
    """The slots of a tick's window. Those past by now are counted and not sent."""
    start_ms, end_ms = slots.window(tick_ms)
    left_out = 0
    enabled: dict[int, list[str]] = {}
    due: dict[int, list[Due]] = {}
    for registration in registrations:
        if not registration.enabled:
            continue
        enabled.setdefault(registration.interval_seconds, []).append(registration.instance_id)
        position = slots.position(registration.instance_id)
        for slot_ms in slots.slots(position, registration.interval_seconds, start_ms, end_ms):
            if slot_ms < now_ms:
                left_out += 1
            else:
                ahead = due.setdefault(registration.interval_seconds, [])
                ahead.append(messages.due(position, registration.at(slot_ms)))
    return Plan(enabled, due, left_out)


def note_members(plan: Plan, tick_ms: int, give_up_at: float) -> None:
    """Who belongs to the fleet, for its view, once all is sent. A failure is made good by the next tick."""
    if time.monotonic() > give_up_at:
        return
    try:
        members.note(chain(*plan.members.values()), tick_ms)
    except (ClientError, BotoCoreError) as error:
        logger.warning("the fleet's members were not noted", reason=f"{type(error).__name__}: {error}")
