"""An hour of a server, scraped every minute and kept as the worker keeps it; and what DynamoDB is sent for it."""

import time
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from collector import asking, batches, pages, pipeline, store
from collector.frames import UNIT_BYTES
from collector.item import NOTHING_BEFORE, item_bytes
from collector.outcome import Outcome
from collector.scrape import Page
from collector.targets import Target
from maturing import Life

SCRAPES = 60
START = datetime(2026, 11, 24, 3, tzinfo=UTC)


class Written(NamedTuple):
    """One item, as DynamoDB counts it."""

    table: str
    bytes: int

    @property
    def units(self) -> int:
        return -(-self.bytes // UNIT_BYTES)


class Hour(NamedTuple):
    """What its scrapes took, in their order, and lines that a fleet shares; and what came of each."""

    scrapes: list[Written]
    shared: list[Written]
    outcomes: list[Outcome]

    @property
    def mean_bytes(self) -> float:
        return sum(one.bytes for one in self.scrapes) / len(self.scrapes)

    @property
    def mean_units(self) -> float:
        return sum(one.units for one in self.scrapes) / len(self.scrapes)

    @property
    def most_units(self) -> int:
        return max(one.units for one in self.scrapes)


def hour(life: Life, engine: str, requests_a_minute: int, server: str = "server-017") -> Hour:
    """Of a server that is scraped for the first time, from lines that nobody has kept yet."""
    pages.forget()
    written: list[Written] = []
    outcomes: list[Outcome] = []

    def count(params: dict[str, Any], **_: object) -> None:
        for table, requests in params.get("RequestItems", {}).items():
            if isinstance(requests, list):
                written.extend(Written(table, item_bytes(request["PutRequest"]["Item"])) for request in requests)
        if "Item" in params:
            written.append(Written(params["TableName"], item_bytes(params["Item"])))

    events = batches.client().meta.events
    events.register("provide-client-params.dynamodb", count)
    try:
        for minute in range(SCRAPES):
            outcomes.append(scrape(life.page, engine, server, minute))
            life.serve(requests_a_minute)
    finally:
        events.unregister("provide-client-params.dynamodb", count)
    return Hour(
        [one for one in written if one.table == store.table_name()],
        [one for one in written if one.table == pages.table_name()],
        outcomes,
    )


def scrape(body: bytes, engine: str, server: str, minute: int) -> Outcome:
    """One, kept."""
    slot = START + timedelta(minutes=minute)
    target = Target(
        instance_id=server,
        engine=engine,
        endpoint="http://10.0.1.17:30000/metrics",
        slot_ms=int(slot.timestamp()) * 1000,
        interval_seconds=60,
        labels={"team": "search", "cluster": "gpu-7"},
    )
    until = time.monotonic() + 60
    befores = store.read_befores([target], until)
    page = Page(body, len(body), len(body) // 11, "text/plain", 0.043)
    answer = asking.Answer(target, slot + timedelta(milliseconds=137), page)
    outcome = pipeline.observe(answer, befores.get(target.key, NOTHING_BEFORE), until)
    assert isinstance(outcome, Outcome)
    assert store.write([outcome], until) == {}
    return outcome
