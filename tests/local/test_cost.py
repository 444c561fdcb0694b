"""The bill follows from the code and from figures that are still true."""

import gzip
import sys

import boto3
import pytest

from collector import messages, registry, shards
from collector.exposition import parse
from collector.item import item_bytes
from collector.shards import Shard
from collector.targets import Registration
from fleet_lines import instance_names, line
from handlers import schedule
from hour import hour
from local import cost, others
from local.function import Context
from maturing import Life, matured
from support import ASKED_AT, PAGES, target

PAGE = PAGES / "sglang-0.5.23-after-load.prom"
LABELS = {"team": "search", "cluster": "gpu-7"}
YOUNG, OLD = cost.STORED.values()


def near(figure):
    return pytest.approx(figure, rel=0.15)


def items(table):
    return boto3.client("dynamodb").scan(TableName=table)["Items"]


@pytest.mark.parametrize(("times", "stored"), [pytest.param(0, YOUNG, id="young"), pytest.param(1_000, OLD, id="old")])
def test_a_scrape_is_stored_in_as_many_units_and_bytes_as_are_counted(table, times, stored):
    page = PAGE.read_bytes()
    one = hour(matured(page, times) if times else Life(page), "sglang", 300)
    assert stored.write_units == pytest.approx(one.mean_units, abs=0.05)
    assert stored.item_bytes == pytest.approx(one.mean_bytes, rel=0.05)
    assert cost.MEASURED.shared_lines_bytes == near(one.shared[0].bytes)


def test_a_page_has_as_many_series_as_are_counted():
    assert len(parse(PAGE.read_bytes()).samples) == cost.MEASURED.series


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


def test_a_line_of_the_fleet_view_is_kept_in_as_many_bytes_as_are_counted():
    lines = [line(name) for name in instance_names(16)]
    shard_bytes = item_bytes(shards.with_lines(Shard(60, 64, 17), None, lines))
    assert cost.MEASURED.fleet_line_bytes == near(shard_bytes / 16)


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
    lines = {line.what: line for line in cost.bill(1_000, 60, cost.Stored(1, 1_024))}
    written = lines["DynamoDB: scrapes written"]
    assert written.quantity == pytest.approx(43.8e6)
    assert written.dollars == pytest.approx(27.375)
    assert lines["DynamoDB: previous scrapes and anchors read"].dollars == pytest.approx(43.8 * 0.125)
    assert lines["DynamoDB: lines that they share written"].quantity == 20 * 2 * 7
    assert lines["EventBridge Scheduler"].dollars == pytest.approx(0.0438)
    assert lines["DynamoDB: 30 days of scrapes kept"].quantity == pytest.approx(1_000 * 1_440 * 30 * 1_124 / 1e9)


def test_scrapes_that_take_more_units_cost_more_to_write_and_no_more_to_read():
    one, two = ({line.what: line.dollars for line in cost.bill(10, 60, cost.Stored(units, 900))} for units in (1, 2))
    assert {what for what in one if two[what] != one[what]} == {"DynamoDB: scrapes written"}
    assert two["DynamoDB: scrapes written"] == 2 * one["DynamoDB: scrapes written"]


def test_comparing_costs_its_reads_and_its_time():
    """By hand: a read unit and 0.3 ms of a processor, of which a worker has 1,024 of 1,769 MB."""
    seconds = 43.8e6 * 0.3e-3 * 1_769 / 1_024
    assert cost.comparing(1_000, 60) == pytest.approx(43.8 * 0.125 + seconds * 0.0000166667, rel=0.01)


def test_elsewhere_each_step_of_a_price_is_charged_for_what_it_covers():
    """By hand: 596,000 metrics, and 26.1 thousand million samples a month."""
    dollars = {one.service: one.dollars for one in others.elsewhere(1_000, 60, 596)}
    assert dollars == pytest.approx(
        {
            "CloudWatch, custom metrics": 10_000 * 0.30 + 240_000 * 0.10 + 346_000 * 0.05,
            "Managed Service for Prometheus, taken in": 2_000 * 0.09 + (596 * 43.8 - 2_000) * 0.035,
            "Managed Service for Prometheus, a month kept": 596 * 43.8e6 * 1.5 / 2**30 * 0.03,
            "Datadog, custom metrics": 596_000 * 0.05,
        }
    )


def test_twice_the_servers_or_half_the_interval_costs_up_to_twice_as_much():
    def total(*fleet):
        return sum(line.dollars for line in cost.bill(*fleet, YOUNG))

    assert total(1_000, 60) < total(2_000, 60) < 2 * total(1_000, 60)
    assert total(1_000, 60) < total(1_000, 30) < 2 * total(1_000, 60)


def test_every_price_is_used_and_has_a_source_of_aws():
    used = {line.price for line in cost.bill(10, 60, YOUNG)}
    assert used | {cost.PRICES["arm64"]} == set(cost.PRICES.values())
    assert all(".aws.amazon.com/" in price.source or "//aws.amazon.com/" in price.source for price in used)


def test_the_table_says_both_sums_and_every_price():
    text = "\n".join(cost.table(1_000, 60))
    for stored in cost.STORED.values():
        assert f"{sum(line.dollars for line in cost.bill(1_000, 60, stored)):,.2f}" in text
    assert all(price.source in text for price in cost.PRICES.values() if price.dollars)
    assert all(f"{fee.source}, seen {fee.seen}" in text for fee in others.FEES)


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
