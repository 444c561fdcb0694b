"""A day of scrapes, one a minute, read back through the API: requests, what is read for them, and CPU.

DynamoDB is a process of its own. Nothing is kept from one question to the next: neither pages, nor lines, nor shapes.
"""

import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "functions"), str(ROOT / "tests"), str(ROOT / "tests" / "handlers")]
os.environ |= {
    "POWERTOOLS_SERVICE_NAME": "bench",
    "POWERTOOLS_METRICS_NAMESPACE": "Bench",
    "POWERTOOLS_METRICS_DISABLED": "true",
    "RETENTION_DAYS": "3650",
}

from tests.bench.sizes import recorded  # noqa: E402

from collector import batches, pages, shape  # noqa: E402
from hour import START, scrape  # noqa: E402
from local.aws import EmbeddedAws  # noqa: E402
from local.template import Template  # noqa: E402
from maturing import Life  # noqa: E402

SERVER = "server-017"
DAY_MINUTES = 1440
REQUESTS_A_MINUTE = 300
HTTP_REQUESTS_AT_MOST, CPU_SECONDS_AT_MOST = 2, 1.5
FIRST_TOKEN = "interval.time_to_first_token.p95.value"  # noqa: S105
QUESTIONS = {
    "headlines": {},
    "two metrics of the page": {"fields": "sglang:num_running_reqs,sglang:token_usage"},
    "seven fields, metrics too": {
        "fields": "health.status,system_metrics.num_requests_running,cache_metrics.kv_usage_ratio,"
        f"sglang:num_running_reqs,request_metrics.success_total,interval.generated_tokens_per_second,{FIRST_TOKEN}"
    },
    "headlines, by the minute": {"step": "60s"},
    "headlines, by the hour": {"step": "1h"},
    "six quantiles": {
        "fields": f"{FIRST_TOKEN},interval.queue_time.p50.value,interval.request_duration.p99.value,"
        "request_metrics.time_to_first_token.p90.value,request_metrics.queue_time.p99.value,"
        "request_metrics.request_duration.p50.value"
    },
}
LINE = "{:28}{:>6}{:>10}{:>8}{:>10}{:>8}  {}"


def table() -> Iterator[str]:
    with EmbeddedAws() as aws:
        aws.create_tables(Template())
        os.environ |= aws.environment() | {name: name.title()[:-6] for name in ("SNAPSHOTS_TABLE", "SHAPES_TABLE")}
        batches.client.cache_clear()
        yesterday = write_a_day()
        yield LINE.format("a day by the minute", "rows", "requests", "calls", "CPU s", "KB", "")
        for name, query in QUESTIONS.items():
            yield ask_all(name, {"start": str(yesterday), "end": str(yesterday + 60 * DAY_MINUTES - 1)} | query)
        batches.client().close()
    batches.client.cache_clear()


def write_a_day() -> int:
    """Its beginning, in seconds."""
    first = int(time.time() - START.timestamp()) // 60 - DAY_MINUTES - 1
    life = Life(recorded("sglang-0.5.23-after-load"))
    for minute in range(DAY_MINUTES):
        scrape(life.page, "sglang", SERVER, first + minute)
        life.serve(REQUESTS_A_MINUTE)
    return int(START.timestamp()) + 60 * first


def ask_all(name: str, query: dict[str, str]) -> str:
    """A question, as often as its answer has a cursor."""
    from calls import ask

    calls: list[str] = []

    def count(model: Any, **_: object) -> None:
        calls.append(model.name)

    pages.forget()
    shape.forget()
    events = batches.client().meta.events
    events.register("before-call.dynamodb", count)
    rows = requests = size = 0
    cursor: dict[str, str] = {}
    cpu = time.process_time()
    while cursor or not requests:
        answer = ask("metrics-history", path=f"/api/v1/metrics/sglang/{SERVER}/history", query=query | cursor)
        assert answer["statusCode"] == 200, answer["body"]
        body = json.loads(answer["body"])
        rows, requests, size = rows + len(body["rows"]), requests + 1, size + len(answer["body"])
        cursor = {"cursor": body["next_cursor"]} if body["next_cursor"] else {}
    seconds = time.process_time() - cpu
    events.unregister("before-call.dynamodb", count)
    good = requests <= HTTP_REQUESTS_AT_MOST and seconds <= CPU_SECONDS_AT_MOST
    return LINE.format(
        name, rows, requests, len(calls), f"{seconds:.2f}", f"{size / 1000:.0f}", "" if good else "too much"
    )


def main() -> None:
    for text in table():
        print(text, flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
