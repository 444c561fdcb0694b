"""Pages kept as the pipeline keeps them, without a server."""

import time
from datetime import timedelta

import boto3

from collector import pipeline, store
from collector.asking import Answer
from collector.item import NOTHING_BEFORE
from collector.scrape import Page
from support import ASKED_AT, target

NOW_MS = time.time_ns() // 1_000_000
MINUTE_MS = 60_000


def until():
    return time.monotonic() + 10


def collect(body, slot_ms=NOW_MS, instance_id="sglang-001", **changes):
    """A scrape of this page."""
    [outcome] = collect_all({instance_id: body}, slot_ms, **changes)
    return outcome


def collect_all(bodies, slot_ms, **changes):
    """A scrape of each server's page: read what was before, judge, write."""
    asked_at = ASKED_AT + timedelta(milliseconds=slot_ms - NOW_MS)
    answers = [
        Answer(
            target(**{"instance_id": name, "slot_ms": slot_ms, "interval_seconds": 60} | changes),
            asked_at,
            Page(body, len(body), 200, "text/plain", 0.05),
        )
        for name, body in bodies.items()
    ]
    befores = store.read_befores([answer.target for answer in answers], until())
    outcomes = [pipeline.observe(answer, befores.get(answer.target.key, NOTHING_BEFORE), until()) for answer in answers]
    assert store.write(outcomes, until()) == {}
    return outcomes


def in_table(name):
    return boto3.resource("dynamodb").Table(name)


def shared():
    return in_table("shapes").scan()["Items"]


def blob(slot_ms, instance_id="sglang-001"):
    item = in_table("snapshots").get_item(Key={"instance_id": instance_id, "slot": slot_ms})["Item"]
    return bytes(item["blob"])
