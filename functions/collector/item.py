"""One item of the `Snapshots` table, as DynamoDB's API spells it: from an outcome, and back.

A scrape of a one-rank server is to fit one write unit, 1 KB with the attributes' names; so names are short, and what
follows from the page is read off the page again.

| attribute | |
|---|---|
| `instance_id`, `slot` | the key: the server, and the planned time in ms since 1970 |
| `engine`, `endpoint`, `labels` | what was asked, and the operator's words about it |
| `scraped_at` | when it was asked, or passed over; ms since 1970 |
| `took`, `wire` | ms until the page was there, and the bytes that were received for it |
| `blob` | the page, see `codec` |
| `earlier` | of the page that it was compared with: ms from its slot to this one |
| `code`, `error` | why there is no page, or `empty_page`; absent when all went well |
| `health`, `findings` | the server's status, and what was found, see `remembered` |
| `memory` | what else is carried from scrape to scrape, see `remembered` |
| `failures`, `retry_at` | of `backoff`: failures in a row, and until when slots are passed over, ms since 1970 |
| `interval` | seconds to the next slot, of a registered server |
| `stale` | its own `stale_intervals`, where it has one: that is asked when a scrape is read |
| `run`, `wait`, `kv`, `tps` | headlines: requests running and waiting, share of the KV pool in use, tokens per second |
| `hit`, `ttft` | and of the interval: cached over prompt tokens, and the p95 of the time to first token in seconds |
| `expires_at` | seconds since 1970, the table's time to live |

A headline that the server does not say is absent.
"""

import functools
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Self

from collector.backoff import NO_FAILURES, State
from collector.batches import Item, key_of, read_key
from collector.codec import UnreadableError
from collector.outcome import Outcome
from collector.pages import ANCHOR_OUTLASTS_SECONDS, Told
from collector.remembered import EPOCH, read_health, read_memory, tell_health, tell_memory
from collector.targets import STALE_INTERVALS, Key, Target
from collector.verdict import NO_MEMORY, Health, Memory

ITEM_BYTES_AT_MOST = 400 * 1024  # DynamoDB's limit, keys and attribute names included
ERROR_CHARACTERS = 500
DAY_SECONDS = 86_400
HEADLINE_DIGITS = 4
# What an item says without its page: the field, by its path in a snapshot, and its attribute.
HEADLINES = {
    "system_metrics.num_requests_running": "run",
    "system_metrics.num_requests_waiting": "wait",
    "cache_metrics.kv_usage_ratio": "kv",
    "system_metrics.throughput_tokens_per_second": "tps",
    "interval.cache_hit_rate": "hit",
    "interval.time_to_first_token.p95.value": "ttft",
}


@dataclass(frozen=True, slots=True)
class Stored:
    """A scrape as it was kept."""

    target: Target
    scraped_at: datetime
    duration_seconds: float
    wire_bytes: int
    told: Told | UnreadableError | None
    """Its page, or why that cannot be had; None for a scrape that failed."""
    code: str | None
    error: str | None
    health: Health | None
    earlier: Self | None = None
    """The scrape that it was compared with, if that is there."""


@dataclass(frozen=True, slots=True)
class Before:
    """What earlier scrapes of a server left for the next: back-off, memory, and the last good page."""

    state: State = NO_FAILURES
    memory: Memory = NO_MEMORY
    slot_ms: int = 0
    scraped_at: datetime | None = None
    told: Told | None = None


NOTHING_BEFORE = Before()


def item_of(outcome: Outcome) -> Item:
    """All but the page."""
    target = outcome.target
    retention = target.retention_days or retention_days()
    item = key_of(target.key) | {
        "engine": {"S": target.engine},
        "endpoint": {"S": target.endpoint},
        "scraped_at": _number(milliseconds(outcome.asked_at)),
        "expires_at": _number(target.slot_ms // 1000 + retention * DAY_SECONDS),
    }
    if target.labels:
        item["labels"] = {"M": {name: {"S": word} for name, word in target.labels.items()}}
    if outcome.code:
        item["code"] = {"S": outcome.code}
    if outcome.error:
        item["error"] = {"S": str(outcome.error)[:ERROR_CHARACTERS]}
    if target.interval_seconds:
        item["interval"] = _number(target.interval_seconds)
    if target.own_stale_intervals is not None:
        item["stale"] = _number(target.own_stale_intervals)
    if outcome.health:
        item |= dict(tell_health(outcome.health))
    item |= dict(tell_memory(outcome.memory, milliseconds(outcome.asked_at), good=outcome.snapshot is not None))
    if outcome.state.failures:
        item["failures"] = _number(outcome.state.failures)
    if outcome.state.retry_at_ms:
        item["retry_at"] = _number(outcome.state.retry_at_ms)
    if outcome.snapshot and outcome.snapshot.scrape:
        facts = outcome.snapshot.scrape
        item["took"] = _number(round(1000 * facts.duration_seconds))
        item["wire"] = _number(facts.wire_bytes)
        if outcome.snapshot.interval:
            item["earlier"] = _number(target.slot_ms - outcome.before_slot_ms)
    return item | {name: {"N": number} for name, number in headlines(outcome)}


def with_page(item: Item, blob: bytes, is_anchor: bool) -> Item | None:
    """The same with its page; None where it does not fit."""
    item = item | {"blob": {"B": blob}}
    if is_anchor:
        item["expires_at"] = _number(int(item["expires_at"]["N"]) + ANCHOR_OUTLASTS_SECONDS)
    return item if item_bytes(item) <= ITEM_BYTES_AT_MOST else None


def item_bytes(item: Item) -> int:
    """What DynamoDB counts, and bills by the 1 KB.

    Source: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html
    """
    return sum(len(name) + _value_bytes(value) for name, value in item.items())


def _value_bytes(value: dict[str, Any]) -> int:
    [(kind, content)] = value.items()
    match kind:
        case "N":
            digits = content.lstrip("-").replace(".", "").strip("0")
            return (len(digits) + 1) // 2 + 1 + int(content.startswith("-"))
        case "M":
            return 3 + sum(1 + len(name) + _value_bytes(one) for name, one in content.items())
        case "S":
            return len(str(content).encode())
        case "B":
            return len(content)
    raise ValueError(f"no attribute of this table has the type {kind}")


def _number(value: float) -> dict[str, Any]:
    return {"N": str(value)}


def headlines(outcome: Outcome) -> Iterator[tuple[str, str]]:
    """What the server says of them: names and numbers of four digits."""
    for path, name in HEADLINES.items():
        value = functools.reduce(_part, path.split("."), outcome.snapshot)
        if value is not None:
            yield name, f"{value:.{HEADLINE_DIGITS}g}"


def _part(whole: Any, name: str) -> Any:
    return None if whole is None else getattr(whole, name)


def read_before(item: Item, told: Told | UnreadableError | None) -> Before:
    return Before(
        State(int(item.get("failures", {}).get("N", 0)), int(item.get("retry_at", {}).get("N", 0))),
        read_memory(item),
        read_key(item)[1],
        _scraped_at(item),
        told if isinstance(told, Told) else None,
    )


def _scraped_at(item: Item) -> datetime:
    return EPOCH + timedelta(milliseconds=int(item["scraped_at"]["N"]))


def earlier_of(item: Item) -> Key | None:
    """The scrape that one was compared with."""
    instance_id, slot_ms = read_key(item)
    return (instance_id, slot_ms - int(item["earlier"]["N"])) if "earlier" in item else None


def read_stored(item: Item, told: Told | UnreadableError | None) -> Stored:
    instance_id, slot_ms = read_key(item)
    target = Target.model_construct(
        instance_id=instance_id,
        slot_ms=slot_ms,
        engine=item["engine"]["S"],
        endpoint=item["endpoint"]["S"],
        interval_seconds=int(item["interval"]["N"]) if "interval" in item else None,
        thresholds={STALE_INTERVALS: float(item["stale"]["N"])} if "stale" in item else {},
    )
    return Stored(
        target=target,
        scraped_at=_scraped_at(item),
        duration_seconds=int(item.get("took", {}).get("N", 0)) / 1000,
        wire_bytes=int(item.get("wire", {}).get("N", 0)),
        told=told,
        code=item.get("code", {}).get("S"),
        error=item.get("error", {}).get("S"),
        health=read_health(item),
    )


def milliseconds(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(milliseconds=1)


def retention_days() -> int:
    return int(os.environ.get("RETENTION_DAYS") or 30)
