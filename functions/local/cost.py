"""`make cost`: what a fleet costs in a month, line by line, by AWS's list prices.

Quantities follow from the code where it can tell: slots and messages are made by the functions that make them in AWS.
The rest are the figures in `MEASURED` and `ASSUMED`. Free tiers, savings plans and what the API's callers do are left
out; so is a server that does not answer, which costs its timeout of the worker's time until it is backed off.
"""

import argparse
import math
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from collector import messages, slots
from collector.messages import Due
from local.others import FEES, elsewhere
from local.table import BOLD, say, styled
from local.template import Template

MONTH_SECONDS = 730 * 3600  # as AWS counts
TICKS = MONTH_SECONDS // 60
GB = 1e9
MIB_PER_GIB = 1024
KIB = 1024


class Price(NamedTuple):
    dollars: float
    per: float
    unit: str
    source: str


# List prices of us-east-1 before taxes, as of November 2026.
PRICES = {
    "write": Price(0.625, 1e6, "write request units", "https://aws.amazon.com/dynamodb/pricing/on-demand/"),
    "read": Price(0.125, 1e6, "read request units", "https://aws.amazon.com/dynamodb/pricing/on-demand/"),
    "table": Price(0.25, 1, "GB-months", "https://aws.amazon.com/dynamodb/pricing/on-demand/"),
    "queue": Price(0.40, 1e6, "requests of up to 64 KB", "https://aws.amazon.com/sqs/pricing/"),
    "invocation": Price(0.20, 1e6, "requests", "https://aws.amazon.com/lambda/pricing/"),
    "x86_64": Price(0.0000166667, 1, "GB-seconds", "https://aws.amazon.com/lambda/pricing/"),
    "arm64": Price(0.0000133334, 1, "GB-seconds", "https://aws.amazon.com/lambda/pricing/"),
    "scheduler": Price(1.00, 1e6, "invocations", "https://aws.amazon.com/eventbridge/pricing/"),
    "log": Price(0.50, 1, "GB taken in", "https://aws.amazon.com/cloudwatch/pricing/"),
    "log storage": Price(0.03, 1, "GB-months", "https://aws.amazon.com/cloudwatch/pricing/"),
    "metric": Price(0.30, 1, "metrics", "https://aws.amazon.com/cloudwatch/pricing/"),
    "alarm": Price(0.10, 1, "alarms", "https://aws.amazon.com/cloudwatch/pricing/"),
    "zone": Price(0.02, 1, "GB, out of one zone and into the other", "https://aws.amazon.com/ec2/pricing/on-demand/"),
    "free": Price(0, 1, "", "https://docs.aws.amazon.com/vpc/latest/privatelink/gateway-endpoints.html"),
}


@dataclass(frozen=True)
class Measured:
    """On a recorded page of one rank with traffic, 90 KB, and on the functions as they are. Tests hold sizes true."""

    page_wire_bytes: int = 7_760
    series: int = 596
    shared_lines_bytes: int = 6_810  # written once for all servers alike
    target_bytes: int = 180  # in a message
    registration_bytes: int = 245  # in the registry
    fleet_line_bytes: int = 50  # in a shard's item of sixteen
    schedule_log_bytes: int = 950
    worker_log_bytes: int = 1_000
    # Of a whole processor, reading and writing included.
    schedule_cpu_seconds: float = 85e-6  # per target
    worker_cpu_seconds: float = 2.4e-3  # per scrape
    compare_cpu_seconds: float = 0.3e-3  # of it: the differences, the interval and the verdict


@dataclass(frozen=True)
class Assumed:
    kinds_of_pages: int = 20  # engines, releases and settings in a fleet: each has lines of its own
    # The slowest page of an invocation, and DynamoDB's answers before and after.
    worker_waits_seconds: float = 0.1
    schedule_waits_seconds: float = 0.15
    # What Lambda itself logs of an invocation, in JSON.
    lambda_log_bytes: int = 700
    item_overhead_bytes: int = 100  # DynamoDB's own, which storage counts and writing does not
    pollers: int = 5  # with which Lambda reads a queue, each asking for up to 20 s when there is nothing
    metrics: int = 18
    # 1,769 MB: https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html
    gib_per_processor: float = 1_769 / 1_024


MEASURED, ASSUMED = Measured(), Assumed()


class Stored(NamedTuple):
    """What a scrape takes in the table on average over an hour, anchors included. `make bench` has more of them."""

    write_units: float
    item_bytes: int


# 300 requests a minute. The old server has served a thousand times the requests, its latencies fall into every bucket,
# and its verdict is `degraded`, with findings that are stored too.
STORED = {"a young server": Stored(1.0, 786), "an old, busy one": Stored(1.02, 938)}
# Of a scrape before and of its anchor, eventually consistent. A worker that is warm has the anchor, mostly.
READ_UNITS = 2 * 0.5


class Line(NamedTuple):
    what: str
    price: Price
    quantity: float

    @property
    def dollars(self) -> float:
        return self.quantity / self.price.per * self.price.dollars


class Traffic(NamedTuple):
    """Of the queue, in a month."""

    scrapes: float
    messages: float
    send_requests: float


def traffic(targets: int, interval_seconds: int) -> Traffic:
    """What the schedule sends for a fleet, by sending it: as many ticks as an interval has, counted up to a month."""
    span_ms = max(interval_seconds * 1000, slots.TICK_MS)
    ticks: defaultdict[int, list[Due]] = defaultdict(list)
    json = "x" * MEASURED.target_bytes
    for number in range(targets):
        position = slots.position(f"sglang-{number}")
        for slot_ms in slots.slots(position, interval_seconds, 0, span_ms):
            ticks[slots.tick(slot_ms)].append(Due(position, slot_ms, json))
    counts: Counter[str] = Counter()
    for due in ticks.values():
        packed = messages.pack(due, slots.shard_count(targets, interval_seconds))
        counts["scrapes"] += len(due)
        counts["messages"] += len(packed)
        calls = math.ceil(len(packed) / messages.MESSAGES_PER_CALL)
        counts["requests"] += max(calls, math.ceil(sum(len(message.body) for message in packed) / (64 * KIB)))
    spans = MONTH_SECONDS * 1000 / span_ms
    return Traffic(*(counts[name] * spans for name in ("scrapes", "messages", "requests")))


def bill(targets: int, interval_seconds: int, stored: Stored) -> list[Line]:
    """The month's lines for a fleet whose scrapes are stored so."""
    template = Template()
    schedule_gib = template.function("Schedule")["MemorySize"] / MIB_PER_GIB
    worker_gib = template.function("Worker")["MemorySize"] / MIB_PER_GIB
    compute = PRICES[template.default("Architecture")]
    sent = traffic(targets, interval_seconds)
    # At most: messages that are due in the same second share one.
    invocations = sent.messages
    receives = invocations + ASSUMED.pollers * MONTH_SECONDS / 20
    log_bytes = (
        invocations * (MEASURED.worker_log_bytes + ASSUMED.lambda_log_bytes)
        + TICKS * (MEASURED.schedule_log_bytes + ASSUMED.lambda_log_bytes)
    )  # fmt: skip
    schedule_seconds = TICKS * (
        ASSUMED.schedule_waits_seconds + targets * on_share(schedule_gib, MEASURED.schedule_cpu_seconds)
    )
    worker_seconds = invocations * ASSUMED.worker_waits_seconds + sent.scrapes * on_share(
        worker_gib, MEASURED.worker_cpu_seconds
    )
    log_months = template.default("LogRetentionDays") * 86_400 / MONTH_SECONDS
    days = template.default("RetentionDays")
    kept = sent.scrapes / MONTH_SECONDS * days * 86_400 * (stored.item_bytes + ASSUMED.item_overhead_bytes)
    return [
        Line("DynamoDB: scrapes written", PRICES["write"], sent.scrapes * stored.write_units),
        Line("DynamoDB: lines that they share written", PRICES["write"], shared_write_units()),
        Line("DynamoDB: previous scrapes and anchors read", PRICES["read"], sent.scrapes * READ_UNITS),
        Line("DynamoDB: registry read each minute", PRICES["read"], TICKS * registry_read_units(targets)),
        Line("DynamoDB: ticks claimed", PRICES["write"], TICKS),
        Line("DynamoDB: fleet view written", PRICES["write"], sent.messages * fleet_write_units(sent)),
        Line("DynamoDB: fleet view read before", PRICES["read"], sent.messages / 2),
        Line(f"DynamoDB: {days} days of scrapes kept", PRICES["table"], kept / GB),
        Line("SQS: sent, received, deleted", PRICES["queue"], sent.send_requests + receives + invocations),
        Line("Lambda: invocations of Worker", PRICES["invocation"], invocations),
        Line("Lambda: Worker", compute, worker_seconds * worker_gib),
        Line("Lambda: invocations of Schedule", PRICES["invocation"], TICKS),
        Line("Lambda: Schedule", compute, schedule_seconds * schedule_gib),
        Line("EventBridge Scheduler", PRICES["scheduler"], TICKS),
        Line("CloudWatch: logs", PRICES["log"], log_bytes / GB),
        Line("CloudWatch: logs kept", PRICES["log storage"], log_bytes / GB * log_months),
        Line("CloudWatch: metrics", PRICES["metric"], ASSUMED.metrics),
        Line("CloudWatch: alarm on dead letters", PRICES["alarm"], 1),
        Line("Pages from another zone, if all are", PRICES["zone"], sent.scrapes * MEASURED.page_wire_bytes / GB),
        Line("VPC: gateway endpoint; no interface endpoint, no NAT", PRICES["free"], 1),
    ]


def on_share(memory_gib: float, cpu_seconds: float) -> float:
    """How long a whole processor's work takes on what a function's memory buys of one."""
    return cpu_seconds * max(1, ASSUMED.gib_per_processor / memory_gib)


def read_units(item_bytes: float) -> float:
    """Eventually consistent."""
    return math.ceil(item_bytes / (4 * KIB)) / 2


def shared_write_units() -> float:
    """A month's: they are written once, and once a month their expiry is put off."""
    return ASSUMED.kinds_of_pages * 2 * math.ceil(MEASURED.shared_lines_bytes / KIB)


def comparing(targets: int, interval_seconds: int) -> float:
    """What it costs, of the whole, that each scrape is compared with the one before: reads, and the worker's time."""
    template = Template()
    gib: float = template.function("Worker")["MemorySize"] / MIB_PER_GIB
    seconds = on_share(gib, MEASURED.compare_cpu_seconds) * gib
    reads = READ_UNITS / PRICES["read"].per * PRICES["read"].dollars
    scrapes = traffic(targets, interval_seconds).scrapes
    return scrapes * (reads + seconds * PRICES[template.default("Architecture")].dollars)


def registry_read_units(targets: int) -> float:
    return max(0.5, read_units(targets * MEASURED.registration_bytes))


def fleet_write_units(sent: Traffic) -> float:
    """Of a message's shard, on average: sizes lie on both sides of a whole unit."""
    return max(1, sent.scrapes / sent.messages * MEASURED.fleet_line_bytes / KIB + 0.5)


LINE = "{:54}{:>18}{:>12}{:>18}{:>12}"


def table(targets: int, interval_seconds: int) -> Iterator[str]:
    bills = [bill(targets, interval_seconds, stored) for stored in STORED.values()]
    yield styled(f"{targets:,} targets every {interval_seconds} s, in USD a month, list prices of us-east-1", BOLD)
    yield ""
    yield LINE.format("scrapes as of", *(word for name in STORED for word in (name, "")))
    yield LINE.format(
        "write units and bytes each", *(word for one in STORED.values() for word in (one.write_units, one.item_bytes))
    )
    for young, old in zip(*bills, strict=True):
        yield LINE.format(
            young.what, _figure(young.quantity), _money(young.dollars), _figure(old.quantity), _money(old.dollars)
        )
    totals = [sum(line.dollars for line in lines) for lines in bills]
    yield styled(LINE.format("together", "", _money(totals[0]), "", _money(totals[1])), BOLD)
    yield LINE.format("a target", "", f"{totals[0] / targets:.3f}", "", f"{totals[1] / targets:.3f}")
    compared = _money(comparing(targets, interval_seconds))
    yield LINE.format("of it, to compare each with the one before", "", compared, "", compared)
    yield ""
    yield styled(f"The same {MEASURED.series} series of each elsewhere, queries and scraping left out", BOLD)
    for cost in elsewhere(targets, interval_seconds, MEASURED.series):
        yield LINE.format(f"{cost.service}: {cost.what}", _figure(cost.quantity), _money(cost.dollars), "", "").rstrip()
    yield ""
    for name, price in PRICES.items():
        if price.dollars:
            per = "" if price.per == 1 else f"{price.per:,.0f} "
            yield f"{name:12}${_plain(price.dollars)} per {per}{price.unit}".ljust(66) + price.source
    yield from sorted({f"{fee.service.partition(',')[0]}: {fee.source}, seen {fee.seen}" for fee in FEES})


def _figure(quantity: float) -> str:
    return f"{quantity:,.0f}" if quantity >= 100 else f"{quantity:,.1f}"


def _plain(dollars: float) -> str:
    return f"{dollars:.10f}".rstrip("0").ljust(4, "0")


def _money(dollars: float) -> str:
    return f"{dollars:,.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(prog="make cost", description=__doc__)
    parser.add_argument("--targets", type=int, default=1_000)
    parser.add_argument("--interval", type=int, default=60)
    arguments = parser.parse_args()
    if arguments.targets < 1:
        sys.exit("make cost: TARGETS is 1 or more")
    if not 15 <= arguments.interval <= 3_600:
        sys.exit("make cost: INTERVAL is 15 to 3600 seconds")
    say(*table(arguments.targets, arguments.interval))


if __name__ == "__main__":
    main()
