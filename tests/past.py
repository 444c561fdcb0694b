"""A server's past in the table, scrape by scrape as a worker writes it."""

import time
import zlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import boto3

from collector import health, store
from collector.errors import CollectorError, RefusedError
from collector.outcome import Outcome
from collector.reading import Received, read
from collector.verdict import NO_MEMORY
from support import target

PATIENCE_SECONDS = 60.0


def moment(at_ms: int) -> datetime:
    return datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=at_ms)


class Past:
    """What is told of one scrape is known to the next, as the pipeline hands it on."""

    def __init__(self, **target_fields: object) -> None:
        self.fields = {"interval_seconds": 60} | target_fields
        self.target = target(**self.fields)

    def good(self, slot_ms: int, page: bytes | str, scraped_ms: int | None = None) -> None:
        page = page.encode() if isinstance(page, str) else page
        one, at, before = self._begin(slot_ms, scraped_ms)
        told = before.told if before else None
        since = before.scraped_at if before else None
        reading = read(one, at, Received(page, 0.02, 1000), told and told.lines, since)
        memory = before.memory if before else NO_MEMORY
        verdict, memory = health.judge(reading.snapshot, reading.interval, reading.moves, memory, at)
        outcome = Outcome(
            one,
            at,
            reading.with_verdict(verdict),
            reading.exposition,
            page,
            reading.exposition.lines(page),
            told and told.anchor,
            before.slot_ms if before else 0,
            health=verdict,
            memory=replace(memory, failures=0, last_good_slot_ms=slot_ms),
        )
        self._write(outcome)

    def failed(self, slot_ms: int, error: CollectorError | None = None) -> None:
        error = error or RefusedError("10.0.0.1:30000: nothing listens there")
        one, at, before = self._begin(slot_ms, None)
        memory = before.memory if before else NO_MEMORY
        verdict, memory = health.judge_failure(error, memory, at, memory.failures + 1)
        memory = replace(memory, failures=memory.failures + 1)
        self._write(Outcome(one, at, error=error, health=verdict, memory=memory))

    def older_form(self, slot_ms: int, page: bytes) -> None:
        """As the release before the codec wrote it: no headlines, and the whole page behind a line of JSON."""
        item = {
            "instance_id": {"S": self.target.instance_id},
            "slot": {"N": str(slot_ms)},
            "engine": {"S": self.target.engine},
            "endpoint": {"S": self.target.endpoint},
            "scraped_at": {"N": str(slot_ms)},
            "expires_at": {"N": str(slot_ms // 1000 + 30 * 86_400)},
            "interval": {"N": "60"},
            "health": {"S": "ok"},
            "memory": {"S": f"[{slot_ms},0,{slot_ms},null,null,null,3.0,[false]]"},
            "blob": {"B": b"\x01" + zlib.compress(b'{"instance_id":"sglang-001"}\n' + page, 3)},
        }
        boto3.client("dynamodb").put_item(TableName=store.table_name(), Item=item)

    def _begin(self, slot_ms, scraped_ms):
        one = target(**self.fields, slot_ms=slot_ms)
        asked = one.model_copy(update={"interval_seconds": None})  # the newest before, wherever its slot is
        before = store.read_befores([asked], time.monotonic() + PATIENCE_SECONDS).get(one.key)
        return one, moment(slot_ms if scraped_ms is None else scraped_ms), before

    def _write(self, outcome: Outcome) -> None:
        assert store.write([outcome], time.monotonic() + PATIENCE_SECONDS) == {}


def spoil_findings() -> int:
    """Those of every stored scrape that has any; gives how many."""
    table = boto3.resource("dynamodb").Table(store.table_name())
    spoilt = [item for item in table.scan()["Items"] if "findings" in item]
    for item in spoilt:
        table.put_item(Item=item | {"findings": b"nothing that was ever packed"})
    return len(spoilt)
