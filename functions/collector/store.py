"""One item per scrape in the `Snapshots` table, failed scrapes too; read back the newest.

| attribute | |
|---|---|
| `instance_id`, `slot` | the key: the server, and the planned time in ms since 1970 |
| `engine`, `endpoint`, `scraped_at` | what was asked, and when (ms since 1970) |
| `code`, `error` | why there is no snapshot, or `empty_page`; absent when all went well |
| `blob` | the snapshot and its page, see `encode` |
| `expires_at` | seconds since 1970, the table's time to live |
"""

import os
import time
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from collector.dynamodb import client
from collector.outcome import Outcome
from collector.snapshot import Snapshot

FORMAT = 1  # the blob's first byte: zlib over a JSON line and the page
ITEM_BYTES_AT_MOST = 400 * 1024  # DynamoDB's limit, keys and attribute names included
ROOM_FOR_THE_REST = 8 * 1024
ERROR_CHARACTERS = 500
DAY_SECONDS = 86_400


@dataclass(frozen=True, slots=True)
class Stored:
    """A scrape as it was kept; `page` is empty where only the snapshot fitted an item."""

    engine: str
    scraped_at: datetime
    snapshot: Snapshot | None
    page: bytes
    code: str | None
    error: str | None


def write(outcomes: Sequence[Outcome]) -> None:
    """Keep each outcome under its target's slot. Raises botocore's errors: those are ours, not the target's."""
    for outcome in outcomes:
        client().put_item(TableName=table_name(), Item=_item(outcome))


def read_newest(instance_id: str) -> Stored | None:
    """The last scrape that has not expired, good or failed; None when there is none."""
    answer = client().query(
        TableName=table_name(),
        KeyConditionExpression="instance_id = :id",
        ExpressionAttributeValues={":id": {"S": instance_id}},
        ScanIndexForward=False,
        Limit=1,
        ConsistentRead=True,  # a caller who has just collected sees it
    )
    for item in answer["Items"]:
        # DynamoDB deletes what has expired within days, not at once.
        if int(item["expires_at"]["N"]) > time.time():
            return _stored(item)
    return None


def encode(snapshot: Snapshot, page: bytes) -> bytes:
    """Format 1: a first byte 1, then zlib over the snapshot as one line of JSON and the page as it was scraped.

    The page is left out where both do not fit an item.
    """
    line = snapshot.model_dump_json(exclude={"raw_metrics"}).encode() + b"\n"
    blob = bytes([FORMAT]) + zlib.compress(line + page)
    return blob if len(blob) <= ITEM_BYTES_AT_MOST - ROOM_FOR_THE_REST else bytes([FORMAT]) + zlib.compress(line)


def decode(blob: bytes) -> tuple[Snapshot, bytes]:
    """The snapshot and its page. Raises ValueError for a format that this release does not know."""
    if blob[:1] != bytes([FORMAT]):
        raise ValueError(f"stored blob of unknown format {blob[:1].hex() or 'none'}; this release reads {FORMAT:02x}")
    line, _, page = zlib.decompress(blob[1:]).partition(b"\n")
    return Snapshot.model_validate_json(line), page


def _item(outcome: Outcome) -> dict[str, dict[str, Any]]:
    target = outcome.target
    item: dict[str, dict[str, Any]] = {
        "instance_id": {"S": target.instance_id},
        "slot": {"N": str(target.slot_ms)},
        "engine": {"S": target.engine},
        "endpoint": {"S": target.endpoint},
        "scraped_at": {"N": str(milliseconds(outcome.asked_at))},
        "expires_at": {"N": str(target.slot_ms // 1000 + retention_days() * DAY_SECONDS)},
    }
    if outcome.code:
        item["code"] = {"S": outcome.code}
    if outcome.error:
        item["error"] = {"S": str(outcome.error)[:ERROR_CHARACTERS]}
    if outcome.snapshot:
        item["blob"] = {"B": encode(outcome.snapshot, outcome.page)}
    return item


def _stored(item: dict[str, dict[str, Any]]) -> Stored:
    snapshot, page = decode(item["blob"]["B"]) if "blob" in item else (None, b"")
    return Stored(
        engine=item["engine"]["S"],
        scraped_at=datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=int(item["scraped_at"]["N"])),
        snapshot=snapshot,
        page=page,
        code=item.get("code", {}).get("S"),
        error=item.get("error", {}).get("S"),
    )


def milliseconds(moment: datetime) -> int:
    return (moment - datetime.fromtimestamp(0, UTC)) // timedelta(milliseconds=1)


def table_name() -> str:
    return os.environ["SNAPSHOTS_TABLE"]


def retention_days() -> int:
    return int(os.environ.get("RETENTION_DAYS") or 30)
