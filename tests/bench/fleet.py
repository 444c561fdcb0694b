"""A fleet of 1,000 servers in one process: 50 ms each, and one in twenty never answers.

Collected as the worker does, beside the least that a scrape can be, a bare loop over urllib3, and beside what one would
write first: prometheus_client, a pydantic model for each sample, a PutItem for each server. The servers and DynamoDB
are processes of their own. CPU is this process's, all threads; who writes PutItems is spared the servers that hang.
"""

import contextlib
import importlib
import json
import os
import resource
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import boto3
import urllib3
from prometheus_client.parser import text_string_to_metric_families
from pydantic import BaseModel

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "functions"))

from collector import pipeline, store  # noqa: E402
from collector.asking import THREADS  # noqa: E402
from collector.targets import Target  # noqa: E402

SERVERS = 1000
TIMEOUT_SECONDS = 2.0
CPU_MILLISECONDS_AT_MOST = 2.5
WALL_SECONDS_OVER_TIMEOUT_AT_MOST = 1.5
TIMES_CHEAPER_AT_LEAST = 12
NAIVE_SERVERS = 100
INTERVAL_SECONDS = 600  # never late, however slow the machine, and six to an anchor
LINE = "{:44}{:>10}{:>10}  {}"


class Cost(NamedTuple):
    cpu_milliseconds: float
    """Of each target."""
    wall_seconds: float


def measure(work: Callable[[], object], targets: int) -> Cost:
    cpu, wall = time.process_time(), time.perf_counter()
    work()
    return Cost(1000 * (time.process_time() - cpu) / targets, time.perf_counter() - wall)


# Ours


def fleet(ports: Sequence[int], slot_ms: int) -> list[Target]:
    return [
        Target(
            instance_id=f"sglang-{port}",
            engine="sglang",
            endpoint=f"http://127.0.0.1:{port}/metrics",
            timeout_seconds=TIMEOUT_SECONDS,
            slot_ms=slot_ms,
            interval_seconds=INTERVAL_SECONDS,
        )
        for port in ports
    ]


def collect(targets: Sequence[Target]) -> None:
    codes = Counter(
        getattr(result, "code", "unfinished") for result in pipeline.collect(targets, time.monotonic() + 20)
    )
    expected = {None: SERVERS * 19 // 20, "timeout": SERVERS // 20}
    if codes != expected:
        sys.exit(f"expected {expected}, and there were {codes}")


# Theirs


def urllib3_loop(ports: Sequence[int]) -> None:
    pool = urllib3.PoolManager(num_pools=len(ports), maxsize=1)

    def get(port: int) -> None:
        with contextlib.suppress(urllib3.exceptions.HTTPError):
            assert pool.request("GET", url(port), timeout=TIMEOUT_SECONDS, retries=False).data

    with ThreadPoolExecutor(THREADS) as threads:
        list(threads.map(get, ports))


class SampleModel(BaseModel):
    name: str
    labels: dict[str, str]
    value: float


class PageModel(BaseModel):
    samples: list[SampleModel]


def naive(ports: Sequence[int]) -> None:
    pool = urllib3.PoolManager(num_pools=len(ports), maxsize=1)
    client = boto3.client("dynamodb")

    def collect_one(port: int) -> None:
        page = pool.request("GET", url(port), timeout=TIMEOUT_SECONDS, retries=False).data.decode()
        samples = [
            SampleModel(name=sample.name, labels=sample.labels, value=sample.value)
            for family in text_string_to_metric_families(page)
            for sample in family.samples
        ]
        item = {
            "instance_id": {"S": str(port)},
            "slot": {"N": "0"},
            "metrics": {"S": PageModel(samples=samples).model_dump_json()},
        }
        client.put_item(TableName=store.table_name(), Item=item)

    with ThreadPoolExecutor(THREADS) as threads:
        list(threads.map(collect_one, ports))


def url(port: int) -> str:
    return f"http://127.0.0.1:{port}/metrics"


# Around


@contextlib.contextmanager
def neighbour(*arguments: str) -> Iterator[Any]:
    command = [sys.executable, str(Path(__file__).with_name("neighbours.py")), *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout
        yield json.loads(process.stdout.readline())
        process.communicate()


def table() -> Iterator[str]:
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    with neighbour("servers", str(SERVERS)) as ports, neighbour("dynamodb") as dynamodb_port:
        os.environ |= {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{dynamodb_port}",
            "AWS_ACCESS_KEY_ID": "bench",
            "AWS_SECRET_ACCESS_KEY": "bench",
            "AWS_DEFAULT_REGION": "eu-west-1",
            "SNAPSHOTS_TABLE": "snapshots",
            "SHAPES_TABLE": "shapes",
            "ALLOW_LOOPBACK": "true",
            "ALLOWED_PORTS": "1-65535",
        }
        importlib.import_module("handlers.worker")  # it sets when Python looks for cycles

        slot_ms = time.time_ns() // 1_000_000
        slots = [fleet(ports, slot_ms + 1000 * INTERVAL_SECONDS * number) for number in range(5)]
        first, *others = [measure(lambda targets=targets: collect(targets), SERVERS) for targets in slots]
        following = min(others)
        least = measure(lambda: urllib3_loop(ports), SERVERS)
        answering = [port for number, port in enumerate(ports) if number * 7919 % SERVERS >= SERVERS // 20]
        usual = measure(lambda: naive(answering[:NAIVE_SERVERS]), NAIVE_SERVERS)

    wall_at_most = TIMEOUT_SECONDS + WALL_SECONDS_OVER_TIMEOUT_AT_MOST
    yield LINE.format(f"{SERVERS:,} servers", "CPU each", "wall", "")
    yield LINE.format("", f"≤ {CPU_MILLISECONDS_AT_MOST} ms", f"≤ {wall_at_most} s", "")
    for name, cost in {"the worker, a fleet's first slot": first, "the worker, a next slot": following}.items():
        good = cost.cpu_milliseconds <= CPU_MILLISECONDS_AT_MOST and cost.wall_seconds <= wall_at_most
        yield line(name, cost, "PASS" if good else "above")
    yield line("urllib3 alone, nothing read or kept", least)
    ratio = usual.cpu_milliseconds / following.cpu_milliseconds
    verdict = f"{ratio:.1f} × the worker's (≥ {TIMES_CHEAPER_AT_LEAST}) "
    yield line("prometheus_client, pydantic, PutItem each", usual, verdict, wall=False)


def line(name: str, cost: Cost, verdict: str = "", wall: bool = True) -> str:
    return LINE.format(
        name, f"{cost.cpu_milliseconds:.2f} ms", f"{cost.wall_seconds:.2f} s" if wall else "", verdict
    ).rstrip()


def main() -> None:
    for text in table():
        print(text, flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
