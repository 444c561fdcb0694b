import json
import random
import time

import boto3
import pytest

from collector import item, store
from collector.backoff import State
from collector.errors import RefusedError
from collector.exposition import parse
from collector.outcome import Outcome, OutOfTimeError
from support import ASKED_AT, PAGES, snapshot_of, target

PAGE = (PAGES / "sglang-0.5.23-dp2-load.prom").read_bytes()
NOW_MS = time.time_ns() // 1_000_000


def good(slot_ms=NOW_MS, page=PAGE, **changes):
    return Outcome(target(slot_ms=slot_ms, **changes), ASKED_AT, snapshot_of(page), parse(page), page)


def failed(slot_ms=NOW_MS, words="10.0.0.1:30000: nothing listens there"):
    return Outcome(target(slot_ms=slot_ms), ASKED_AT, error=RefusedError(words))


def write(outcomes):
    assert store.write(outcomes, time.monotonic() + 1) == {}


def items():
    return boto3.resource("dynamodb").Table("snapshots").scan()["Items"]


def test_a_snapshot_and_its_page_are_read_back_as_they_were(table):
    write([good()])
    stored = store.read_newest("sglang-001")
    assert stored.snapshot == snapshot_of(PAGE)
    assert stored.page == PAGE
    assert (stored.engine, stored.scraped_at, stored.code, stored.error) == ("sglang", ASKED_AT, None, None)


def test_a_failed_scrape_is_kept_with_its_code_and_words(table):
    write([failed()])
    stored = store.read_newest("sglang-001")
    assert (stored.snapshot, stored.page) == (None, b"")
    assert (stored.code, stored.error) == ("connection_refused", "10.0.0.1:30000: nothing listens there")


def test_an_empty_page_is_kept_as_one(table):
    write([good(page=b"")])
    stored = store.read_newest("sglang-001")
    assert (stored.code, stored.error) == ("empty_page", None)
    assert stored.snapshot is not None


def test_one_scrape_is_one_item_under_its_server_and_slot(table):
    write([good(slot_ms=NOW_MS - 60_000), failed(), good(instance_id="sglang-002")])
    keys = {(item["instance_id"], int(item["slot"])) for item in items()}
    assert keys == {("sglang-001", NOW_MS - 60_000), ("sglang-001", NOW_MS), ("sglang-002", NOW_MS)}


def test_when_time_is_up_dynamodb_is_not_asked_and_nothing_counts_as_written(table):
    outcomes = [good(), failed(slot_ms=NOW_MS + 1)]
    refused = store.write(outcomes, time.monotonic() - 1)
    assert {key: type(reason) for key, reason in refused.items()} == {
        outcome.target.key: OutOfTimeError for outcome in outcomes
    }
    assert items() == []


def test_the_newest_slot_is_read_and_other_servers_are_not(table):
    write([good(slot_ms=NOW_MS - 1), failed(slot_ms=NOW_MS), good(slot_ms=NOW_MS + 1, instance_id="sglang-002")])
    assert store.read_newest("sglang-001").code == "connection_refused"


def test_nothing_stored_is_none(table):
    assert store.read_newest("sglang-001") is None


@pytest.mark.parametrize(("days", "kept"), [("", 30), ("7", 7)], ids=["thirty-days", "by-parameter"])
def test_an_item_expires_after_its_retention(table, monkeypatch, days, kept):
    monkeypatch.setenv("RETENTION_DAYS", days)
    write([good()])
    [stored] = items()
    assert int(stored["expires_at"]) == NOW_MS // 1000 + kept * 86_400


def test_an_expired_item_is_not_read_although_it_is_still_there(table):
    write([good(slot_ms=NOW_MS - 31 * 86_400_000)])
    assert len(items()) == 1
    assert store.read_newest("sglang-001") is None


def test_the_blob_names_its_format_in_its_first_byte(table):
    write([good()])
    [stored] = items()
    assert bytes(stored["blob"])[0] == item.FORMAT
    assert len(bytes(stored["blob"])) < len(PAGE) / 5


@pytest.mark.parametrize("blob", [b"", b"\x00", b"\x02abc"], ids=["empty", "zero", "a-later-release"])
def test_an_unknown_format_is_a_clear_error(blob):
    with pytest.raises(ValueError, match="unknown format"):
        item.decode(blob)


def test_a_page_that_fits_no_item_leaves_its_snapshot(table):
    noise = random.Random(1)
    page = b"".join(b"x%d %r\n" % (number, noise.random()) for number in range(60_000))
    write([good(page=PAGE + page)])
    [stored] = items()
    assert len(bytes(stored["blob"])) < 400 * 1024
    stored = store.read_newest("sglang-001")
    assert stored.page == b""
    assert stored.snapshot.system_metrics.num_requests_running == 5


def test_whatever_stands_beside_the_page_has_room_in_an_item():
    largest = target(
        instance_id="a" * 128,
        endpoint="http://" + "a" * 2041,
        interval_seconds=60,
        labels={f"l{number:062}": "\U0001f600" * 256 for number in range(16)},
    )
    outcome = Outcome(largest, ASKED_AT, error=RefusedError("\U0001f600" * 1000), state=State(999, 2**60))
    assert len(json.dumps(item.item_of(outcome), ensure_ascii=False).encode()) < item.ROOM_FOR_THE_REST


def test_a_snapshot_that_fits_no_item_is_told(table):
    noise = random.Random(1)
    models = tuple(f"{noise.getrandbits(512):x}" for _ in range(8000))
    outcome = Outcome(target(slot_ms=NOW_MS), ASKED_AT, snapshot_of(PAGE).model_copy(update={"models": models}))
    write([outcome])
    stored = store.read_newest("sglang-001")
    assert (stored.snapshot, stored.code) == (None, "page_too_large")


def test_a_long_error_is_cut(table):
    write([failed(words="x" * 10_000)])
    assert len(store.read_newest("sglang-001").error) == item.ERROR_CHARACTERS
