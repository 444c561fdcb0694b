import random
import time

import boto3
import pytest

from collector import item, store
from collector.errors import RefusedError
from collector.outcome import Outcome, OutOfTimeError
from collector.reading import Received, read, recall
from faulty_dynamodb import INVALID
from support import ASKED_AT, PAGES, target

PAGE = (PAGES / "sglang-0.5.23-dp2-load.prom").read_bytes()
NOW_MS = time.time_ns() // 1_000_000


def good(slot_ms=NOW_MS, page=PAGE, **changes):
    reading = read(target(slot_ms=slot_ms, **changes), ASKED_AT, Received(page, 0.02, 1000), None, None)
    return Outcome(
        target(slot_ms=slot_ms, **changes),
        ASKED_AT,
        reading.snapshot,
        reading.exposition,
        page,
        reading.exposition.lines(page),
    )


def failed(slot_ms=NOW_MS, words="10.0.0.1:30000: nothing listens there"):
    return Outcome(target(slot_ms=slot_ms), ASKED_AT, error=RefusedError(words))


def write(outcomes):
    assert store.write(outcomes, time.monotonic() + 10) == {}


def items():
    return boto3.resource("dynamodb").Table("snapshots").scan()["Items"]


def test_a_snapshot_and_its_page_are_read_back_as_they_were(table):
    write([good()])
    stored = store.read_newest("sglang-001")
    assert recall(stored).snapshot == good().snapshot
    assert stored.told.lines.page() == PAGE
    assert (stored.target.engine, stored.scraped_at, stored.code, stored.error) == ("sglang", ASKED_AT, None, None)


def test_a_failed_scrape_is_kept_with_its_code_and_words(table):
    write([failed()])
    stored = store.read_newest("sglang-001")
    assert stored.told is None
    assert (stored.code, stored.error) == ("connection_refused", "10.0.0.1:30000: nothing listens there")


def test_an_empty_page_is_kept_as_one(table):
    write([good(page=b"")])
    stored = store.read_newest("sglang-001")
    assert (stored.code, stored.error) == ("empty_page", None)
    assert recall(stored).snapshot.system_metrics.num_requests_running is None


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
    write([failed()])
    [stored] = items()
    assert int(stored["expires_at"]) == NOW_MS // 1000 + kept * 86_400


def test_an_expired_item_is_not_read_although_it_is_still_there(table):
    write([good(slot_ms=NOW_MS - 31 * 86_400_000)])
    assert len(items()) == 1
    assert store.read_newest("sglang-001") is None


def test_a_page_that_fits_no_item_is_told_and_leaves_its_headlines(table):
    noise = random.Random(1)
    page = b"".join(b"x%d %r\n" % (number, noise.random()) for number in range(60_000))
    write([good(page=PAGE + page)])
    [kept] = items()
    assert (kept["code"], kept["run"]) == ("page_too_large", 5)
    stored = store.read_newest("sglang-001")
    assert stored.told is None
    assert "its page takes 689,722 bytes" in stored.error


def test_an_item_refused_by_dynamodb_takes_no_other_with_it(dynamodb):
    def refuse(operation, request, forward):
        names = {put["PutRequest"]["Item"]["instance_id"]["S"] for put in request["RequestItems"][store.table_name()]}
        return INVALID(operation, request, forward) if "sglang-17" in names else forward(request)

    dynamodb.fault = refuse
    outcomes = [
        Outcome(target(instance_id=f"sglang-{number}", slot_ms=NOW_MS), ASKED_AT, error=RefusedError("down"))
        for number in range(30)
    ]
    refused = store.write(outcomes, time.monotonic() + 5)
    dynamodb.fault = None
    assert refused.keys() == {("sglang-17", NOW_MS)}
    assert len(store.existing([outcome.target.key for outcome in outcomes], time.monotonic() + 5)) == 29


def test_a_long_error_is_cut(table):
    write([failed(words="x" * 10_000)])
    assert len(store.read_newest("sglang-001").error) == item.ERROR_CHARACTERS
