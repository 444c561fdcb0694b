"""One item of the `Snapshots` table, as DynamoDB's API spells it: from an outcome, and back.

| attribute | |
|---|---|
| `instance_id`, `slot` | the key: the server, and the planned time in ms since 1970 |
| `engine`, `endpoint`, `labels` | what was asked, and the operator's words about it |
| `scraped_at` | when it was asked, or passed over; ms since 1970 |
| `code`, `error` | why there is no snapshot, or `empty_page`; absent when all went well |
| `failures`, `retry_at` | of `backoff`: failures in a row, and until when slots are passed over, ms since 1970 |
| `interval` | seconds to the next slot, of a registered server |
| `health`, `memory` | the server's status, and what else is carried from scrape to scrape: a JSON list, see `Memory` |
| `verdict` | the health of a server that could not be scraped, as JSON |
| `blob` | the snapshot and its page, see `encode` |
| `expires_at` | seconds since 1970, the table's time to live |
"""

import json
import os
import zlib
from dataclasses import astuple, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from collector.backoff import NO_FAILURES, State
from collector.errors import TooLargeError
from collector.outcome import Outcome
from collector.snapshot import Snapshot
from collector.targets import Key
from collector.verdict import NO_MEMORY, Health, Memory

Item = dict[str, dict[str, Any]]

FORMAT = 1  # the blob's first byte: zlib over a JSON line and the page
# Of a one-rank page, 90 KB: level 3 makes 11.0 KB in 0.2 ms, 6 makes 9.7 in 0.75, and 9 makes 9.4 in 1.5.
COMPRESSION_LEVEL = 3
ITEM_BYTES_AT_MOST = 400 * 1024  # DynamoDB's limit, keys and attribute names included
ROOM_FOR_THE_REST = 32 * 1024  # an endpoint of 2 KB, and labels of 17 KB where each letter takes four bytes
ERROR_CHARACTERS = 500
DAY_SECONDS = 86_400
EPOCH = datetime.fromtimestamp(0, UTC)


@dataclass(frozen=True, slots=True)
class Stored:
    """A scrape as it was kept; `page` is empty where only the snapshot fitted an item."""

    engine: str
    scraped_at: datetime
    snapshot: Snapshot | None
    page: bytes
    code: str | None
    error: str | None
    health: Health | None
    interval_seconds: int | None


@dataclass(frozen=True, slots=True)
class Before:
    """What earlier scrapes of a server left for the next: back-off, memory, and the last good one's blob."""

    state: State = NO_FAILURES
    memory: Memory = NO_MEMORY
    scraped_at: datetime | None = None
    blob: bytes | None = None

    def page(self) -> bytes | None:
        """The last good page; None where none is kept, or in a form that this release does not know."""
        if self.blob is None or self.blob[:1] != bytes([FORMAT]):
            return None
        try:
            return zlib.decompress(self.blob[1:]).partition(b"\n")[2] or None
        except zlib.error:
            return None


NOTHING_BEFORE = Before()


def key_of(key: Key) -> Item:
    instance_id, slot_ms = key
    return {"instance_id": {"S": instance_id}, "slot": {"N": str(slot_ms)}}


def read_key(item: Item) -> Key:
    return item["instance_id"]["S"], int(item["slot"]["N"])


def item_of(outcome: Outcome) -> Item:
    target = outcome.target
    code, error = outcome.code, outcome.error and str(outcome.error)[:ERROR_CHARACTERS]
    retention = target.retention_days or retention_days()
    item = key_of(target.key) | {
        "engine": {"S": target.engine},
        "endpoint": {"S": target.endpoint},
        "scraped_at": {"N": str(milliseconds(outcome.asked_at))},
        "expires_at": {"N": str(target.slot_ms // 1000 + retention * DAY_SECONDS)},
    }
    if target.labels:
        item["labels"] = {"M": {name: {"S": word} for name, word in target.labels.items()}}
    if outcome.snapshot:
        if blob := encode(outcome.snapshot, outcome.page):
            item["blob"] = {"B": blob}
        else:
            code, error = TooLargeError.code, "what the page says does not fit an item"
    if code:
        item["code"] = {"S": code}
    if error:
        item["error"] = {"S": error}
    if target.interval_seconds:
        item["interval"] = {"N": str(target.interval_seconds)}
    if outcome.memory != NO_MEMORY:
        status, *carried = astuple(outcome.memory)
        item["memory"] = {"S": json.dumps(carried, separators=(",", ":"))}
        if status:
            item["health"] = {"S": status}
    if outcome.health and not outcome.snapshot:
        item["verdict"] = {"S": outcome.health.model_dump_json(exclude_defaults=True)}
    if outcome.state.failures:
        item["failures"] = {"N": str(outcome.state.failures)}
    if outcome.state.retry_at_ms:
        item["retry_at"] = {"N": str(outcome.state.retry_at_ms)}
    return item


def before_of(item: Item) -> Before:
    return Before(
        State(int(item.get("failures", {}).get("N", 0)), int(item.get("retry_at", {}).get("N", 0))),
        _read_memory(item),
        _scraped_at(item),
        item.get("blob", {}).get("B"),
    )


def _read_memory(item: Item) -> Memory:
    if "memory" not in item:
        return NO_MEMORY
    *carried, restarts = json.loads(item["memory"]["S"])
    fields: list[Any] = [item.get("health", {}).get("S"), *carried, tuple(restarts)]
    return Memory(*fields)


def _scraped_at(item: Item) -> datetime:
    return EPOCH + timedelta(milliseconds=int(item["scraped_at"]["N"]))


def read_stored(item: Item) -> Stored:
    snapshot, page = decode(item["blob"]["B"]) if "blob" in item else (None, b"")
    verdict = item.get("verdict", {}).get("S")
    return Stored(
        engine=item["engine"]["S"],
        scraped_at=_scraped_at(item),
        snapshot=snapshot,
        page=page,
        code=item.get("code", {}).get("S"),
        error=item.get("error", {}).get("S"),
        health=snapshot.health if snapshot else verdict and Health.model_validate_json(verdict),
        interval_seconds=int(item["interval"]["N"]) if "interval" in item else None,
    )


def encode(snapshot: Snapshot, page: bytes) -> bytes | None:
    """Format 1: a first byte 1, then zlib over the snapshot as one line of JSON and the page as it was scraped.

    The page is left out where both do not fit an item. None where the snapshot alone does not.
    """
    line = snapshot.model_dump_json(exclude={"raw_metrics"}).encode() + b"\n"
    for text in line + page, line:
        blob = bytes([FORMAT]) + zlib.compress(text, COMPRESSION_LEVEL)
        if len(blob) <= ITEM_BYTES_AT_MOST - ROOM_FOR_THE_REST:
            return blob
    return None


def decode(blob: bytes) -> tuple[Snapshot, bytes]:
    """The snapshot and its page. Raises ValueError for a format that this release does not know."""
    if blob[:1] != bytes([FORMAT]):
        raise ValueError(f"stored blob of unknown format {blob[:1].hex() or 'none'}; this release reads {FORMAT:02x}")
    line, _, page = zlib.decompress(blob[1:]).partition(b"\n")
    return Snapshot.model_validate_json(line), page


def milliseconds(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(milliseconds=1)


def retention_days() -> int:
    return int(os.environ.get("RETENTION_DAYS") or 30)
