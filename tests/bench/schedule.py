"""One tick of the schedule for fleets of several sizes: CPU, memory and calls, against an embedded DynamoDB and SQS.

Each fleet is sent by a process of its own, as Lambda would start it: a first tick, and the next when it is warm. CPU is
that process's own; the seconds are what it takes on the share of a processor that the template's memory buys. What AWS
takes to answer comes on top: so many calls, the queue's in parallel.
"""

import json
import os
import resource
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "functions"))

from local.aws import EmbeddedAws  # noqa: E402
from local.template import Template  # noqa: E402

FLEETS = [100, 1_000, 10_000]
SECONDS_CEILING, MEBIBYTES_CEILING = 10, 256  # for 10,000 targets
# https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html
MEBIBYTES_PER_PROCESSOR = 1769
PUTS_PER_CALL = 25
LINE = "{:>10}{:>10}{:>14}{:>14}{:>8}{:>12}{:>10}  {}"


def table(fleets: list[int]) -> Iterator[str]:
    memory = Template().function("Schedule")["MemorySize"]
    yield LINE.format("targets", "messages", "bytes sent", "first tick", "next", "peak memory", "calls", "")
    yield LINE.format("", "", "", f"s at {memory} MB", "", "MiB", "", "")
    with EmbeddedAws(["dynamodb", "sqs"]) as aws:
        aws.create_tables(Template())
        queue_url = aws.client("sqs").create_queue(QueueName="Queue")["QueueUrl"]
        registered = 0
        minute = int(time.time() // 60)
        for size in fleets:
            register(aws, range(registered, size))
            registered = size
            minute += 2  # a tick is sent once
            ticks = measure(aws, queue_url, minute)
            first, following = (tick["cpu_seconds"] * MEBIBYTES_PER_PROCESSOR / memory for tick in ticks)
            report = ticks[-1]
            assert report["sent"] == size, report
            ok = first <= SECONDS_CEILING and report["peak_mebibytes"] <= MEBIBYTES_CEILING
            yield LINE.format(
                f"{size:,}",
                f"{report['messages']:,}",
                f"{report['bytes']:,}",
                f"{first:.2f}",
                f"{following:.2f}",
                f"{report['peak_mebibytes']:.0f}",
                " + ".join(str(report["calls"][name]) for name in ("Query", "SendMessageBatch")),
                "" if size != 10_000 else "PASS" if ok else "above",
            )


def register(aws: EmbeddedAws, numbers: range) -> None:
    """Servers with labels and addresses as one would give them."""
    requests = [
        {
            "PutRequest": {
                "Item": {
                    "pk": {"S": "target"},
                    "sk": {"S": f"sglang-{number:06}"},
                    "engine": {"S": "sglang"},
                    "endpoint": {"S": f"http://10.{number >> 16}.{number >> 8 & 255}.{number & 255}:30000/metrics"},
                    "interval_seconds": {"N": "60"},
                    "timeout_seconds": {"N": "10.0"},
                    "labels": {"M": {"team": {"S": "search"}, "cluster": {"S": f"gpu-{number % 40}"}}},
                    "enabled": {"BOOL": True},
                    "version": {"N": "1"},
                    "changed_by": {"S": "arn:aws:sts::123456789012:assumed-role/deploy/ci"},
                    "changed_at": {"S": "2026-11-24T03:00:00Z"},
                }
            }
        }
        for number in numbers
    ]
    client = aws.client()
    for start in range(0, len(requests), PUTS_PER_CALL):
        client.batch_write_item(RequestItems={"Targets": requests[start : start + PUTS_PER_CALL]})


def measure(aws: EmbeddedAws, queue_url: str, minute: int) -> list[dict]:
    """The tick of a minute and the next, each as its report and what it took."""
    variables = Template().function("Schedule")["Environment"]["Variables"] | aws.environment()
    environment = {name: str(value) for name, value in variables.items()} | {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": f"{ROOT / 'functions'}:{ROOT}",
        "TARGETS_TABLE": "Targets",
        "QUEUE_URL": queue_url,
        "POWERTOOLS_LOG_LEVEL": "CRITICAL",
        "POWERTOOLS_METRICS_DISABLED": "true",
    }
    command = [sys.executable, "-m", "tests.bench.schedule", str(minute)]
    answer = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True)
    return json.loads(answer.stdout)


def two_ticks(minute: int) -> list[dict]:
    """In a process of its own: it has never read a registry, and its peak of memory is its own."""
    from collector import dynamodb, messages
    from collector.ticks import name
    from handlers import schedule
    from local.function import Context

    calls: Counter[str] = Counter()
    sent_bytes: Counter[str] = Counter()

    def count(params: dict, model: object, **_: object) -> None:
        calls[model.name] += 1
        sent_bytes[model.name] += len(params["body"])

    for client in (dynamodb.client(), messages.client()):
        client.meta.events.register("before-call", count)
    ticks = []
    for tick_ms in (minute * 60_000, (minute + 1) * 60_000):
        calls.clear()
        sent_bytes.clear()
        start = time.process_time()
        context = Context(deadline=time.monotonic() + 600, memory_limit_in_mb=512)
        report = schedule.handler({"scheduled_time": name(tick_ms)}, context)
        ticks.append(
            report
            | {
                "cpu_seconds": time.process_time() - start,
                "peak_mebibytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
                "calls": calls.copy(),
                "bytes": sent_bytes["SendMessageBatch"],
            }
        )
    return ticks


def main() -> None:
    for line in table(FLEETS):
        print(line, flush=True)  # noqa: T201


if __name__ == "__main__":
    match sys.argv[1:]:
        case [minute]:
            print(json.dumps(two_ticks(int(minute))))  # noqa: T201
        case _:
            main()
