"""The bill follows from the code and from figures that are still true."""

import gzip
import json
import sys

import boto3
import pytest

from collector import messages, registry
from collector.targets import Registration
from handlers import api, schedule
from local import cost
from local.demo import item_bytes
from local.function import Context
from servers import sends, whole
from support import ASKED_AT, PAGES, ROOT, target

PAGE = PAGES / "sglang-0.5.23-after-load.prom"
LABELS = {"team": "search", "cluster": "gpu-7"}


def near(figure):
    return pytest.approx(figure, rel=0.15)


def items(table):
    return boto3.client("dynamodb").scan(TableName=table)["Items"]


def test_a_scrape_is_stored_in_as_many_bytes_as_are_counted(table, on_a_laptop, serve):
    server = serve(sends(whole(PAGE.read_bytes())))
    event = json.loads((ROOT / "events/collect.json").read_text())
    event["body"] = json.dumps(
        {"instance_id": "sglang-001", "endpoint": f"http://127.0.0.1:{server.port}/metrics", "timeout": 5}
    )
    api.handler(event, Context(deadline=sys.maxsize, memory_limit_in_mb=1024))
    [item] = items("snapshots")
    assert cost.MEASURED.item_bytes == near(item_bytes(item))


def test_a_page_crosses_zones_in_as_many_bytes_as_are_counted():
    assert cost.MEASURED.page_wire_bytes == near(len(gzip.compress(PAGE.read_bytes())))


def test_a_target_is_sent_in_as_many_bytes_as_are_counted():
    due = messages.due(
        0, target(instance_id="sglang-0001", slot_ms=1_795_489_200_000, interval_seconds=60, labels=LABELS)
    )
    assert cost.MEASURED.target_bytes == near(len(due.json))


def test_a_registration_is_kept_in_as_many_bytes_as_are_counted(table):
    settings = {"engine": "sglang", "endpoint": "http://10.0.1.17:30000/metrics", "labels": LABELS}
    registration = Registration(instance_id="sglang-0001", **settings)
    registry.put(registration, None, "arn:aws:sts::123456789012:assumed-role/deploy/ci", ASKED_AT)
    [item] = items("targets")
    labels = sum(len(name) + len(value) for name, value in LABELS.items())
    plain = {name: value for name, value in item.items() if value.keys() & {"S", "N"}}
    assert cost.MEASURED.registration_bytes == near(item_bytes(plain) + len("labels") + labels + len("enabled") + 1)


def test_a_tick_logs_as_many_bytes_as_are_counted(table, monkeypatch, capsys, caplog):
    monkeypatch.setenv("QUEUE_URL", "http://127.0.0.1:9/queue")
    schedule.handler({}, Context(deadline=sys.maxsize, memory_limit_in_mb=1024))
    [record] = caplog.records
    line = schedule.logger.registered_handler.format(record)
    metrics = capsys.readouterr().out
    assert cost.MEASURED.schedule_log_bytes == near(len(line) + len(metrics))


@pytest.mark.parametrize("interval_seconds", [15, 20, 60, 90, 3600])
def test_a_month_has_a_scrape_for_every_interval(interval_seconds):
    sent = cost.traffic(40, interval_seconds)
    assert sent.scrapes == pytest.approx(40 * 730 * 3600 / interval_seconds)
    assert sent.send_requests <= sent.messages <= sent.scrapes


def test_a_thousand_servers_are_a_message_a_shard_in_tens():
    sent = cost.traffic(1_000, 60)
    assert (sent.messages / cost.TICKS, sent.send_requests / cost.TICKS) == (64, 7)


def test_a_line_is_its_quantity_times_its_list_price():
    """By hand: a thousand servers a minute write 43.8 million items a month."""
    lines = {line.what: line for line in cost.bill(1_000, 60, 1_024)}
    written = lines["DynamoDB: scrapes written"]
    assert written.quantity == pytest.approx(43.8e6)
    assert written.dollars == pytest.approx(27.375)
    assert lines["DynamoDB: previous scrapes read"].dollars == pytest.approx(43.8 / 2 * 0.125)
    assert lines["EventBridge Scheduler"].dollars == pytest.approx(0.0438)
    assert lines["DynamoDB: 30 days of scrapes kept"].quantity == pytest.approx(1_000 * 1_440 * 30 * 1_124 / 1e9)


def test_an_item_is_written_and_read_in_whole_units():
    written, read = (
        [next(line for line in cost.bill(10, 60, size) if what in line.what).quantity for size in (1_024, 1_025, 8_193)]
        for what in ("scrapes written", "previous scrapes read")
    )
    assert [units / written[0] for units in written] == [1, 2, 9]
    assert [units / read[0] for units in read] == [1, 1, 3]


def test_twice_the_servers_or_half_the_interval_costs_up_to_twice_as_much():
    def total(*fleet):
        return sum(line.dollars for line in cost.bill(*fleet, 1_024))

    assert total(1_000, 60) < total(2_000, 60) < 2 * total(1_000, 60)
    assert total(1_000, 60) < total(1_000, 30) < 2 * total(1_000, 60)


def test_every_price_is_used_and_has_a_source_of_aws():
    used = {line.price for line in cost.bill(10, 60, 1_024)}
    assert used | {cost.PRICES["arm64"]} == set(cost.PRICES.values())
    assert all(".aws.amazon.com/" in price.source or "//aws.amazon.com/" in price.source for price in used)


def test_the_table_says_both_sums_and_every_price():
    text = "\n".join(cost.table(1_000, 60))
    for size in (cost.MEASURED.item_bytes, 1_024):
        assert f"{sum(line.dollars for line in cost.bill(1_000, 60, size)):,.2f}" in text
    assert all(price.source in text for price in cost.PRICES.values() if price.dollars)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        pytest.param(["--targets=0"], "TARGETS is 1 or more", id="no-targets"),
        pytest.param(["--interval=14"], "INTERVAL is 15 to 3600 seconds", id="too-often"),
        pytest.param(["--interval=3601"], "INTERVAL is 15 to 3600 seconds", id="too-seldom"),
    ],
)
def test_a_fleet_that_cannot_be_is_refused(monkeypatch, arguments, complaint):
    monkeypatch.setattr(sys, "argv", ["cost", *arguments])
    with pytest.raises(SystemExit, match=complaint):
        cost.main()
