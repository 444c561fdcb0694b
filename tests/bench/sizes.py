"""What an hour of scrapes, one a minute, is stored in: bytes and write units, keys, names and anchors counted.

Each server goes the worker's way, from the page as it comes to DynamoDB, a process of its own, and the memory of earlier
scrapes with it; what is sent is counted as DynamoDB counts. Young: as it was recorded. × 1,000: after so many times the
requests, whose latencies and lengths spread over every bucket. Some requests come in each minute. Lines that a fleet
shares are written once, and not counted in the mean. Times are of CPU, beside zlib's on the same page.
"""

import os
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "functions"), str(ROOT / "tests")]

from collector import batches, codec, pages, pipeline, store  # noqa: E402
from collector.item import NOTHING_BEFORE, UNIT_BYTES, item_bytes  # noqa: E402
from collector.outcome import Outcome  # noqa: E402
from collector.scrape import Page  # noqa: E402
from collector.targets import Target  # noqa: E402
from maturing import Life, matured, widened  # noqa: E402
from tests.bench.fleet import neighbour  # noqa: E402

RECORDED = ROOT / "tests" / "expositions"
GENERATED = ROOT.parent / "shared" / "expositions" / "generated"
AGES = {"young": None, "× 1,000": 1_000, "× 100,000": 100_000}
REQUESTS_A_MINUTE = (30, 300, 3_000)
SCRAPES = 60
START = datetime(2026, 11, 24, 3, tzinfo=UTC)
TIMES_ZLIB_AT_MOST = 1.5
ROUNDS = 7
LINE = "{:22}{:>10}{:>9}{:>8}{:>8}{:>7}{:>8}{:>8}{:>6}{:>7} {:6}{:>9}{:>9}"


class Scenario(NamedTuple):
    """A page and its engine, and the write units that a scrape of it may take: on average, and at most."""

    page: bytes
    engine: str
    mean_units_at_most: float | None = None
    units_at_most: int | None = None


def scenarios() -> dict[str, Scenario]:
    there = {
        "one rank": Scenario(page("sglang-0.5.23-after-load"), "sglang", 1, 2),
        "two ranks": Scenario(page("sglang-0.5.23-dp2-after-load"), "sglang"),
        "vLLM, two engines": Scenario(page("vllm-0.33.0-dp2"), "vllm"),
        "TGI": Scenario(page("tgi-documented"), "tgi"),
        "router, two workers": Scenario(page("router-0.3.2-engine-metrics"), "sglang"),
    }
    if GENERATED.is_dir():
        there["four ranks"] = Scenario((GENERATED / "sglang-0.5.23-dp4.prom").read_bytes(), "sglang", 2)
        features = (GENERATED / "sglang-0.5.18-features.prom").read_bytes()
        there["eight ranks, all on"] = Scenario(widened(features, 8), "sglang", 4)
    return there


def page(name: str) -> bytes:
    return (RECORDED / f"{name}.prom").read_bytes()


class Written(NamedTuple):
    table: str
    bytes: int

    @property
    def units(self) -> int:
        return -(-self.bytes // UNIT_BYTES)


def count_writes(client: Any) -> list[Written]:
    """What it sends from now on, as DynamoDB counts it."""
    written: list[Written] = []

    def count(params: dict[str, Any], **_: object) -> None:
        for table, requests in params.get("RequestItems", {}).items():
            if isinstance(requests, list):
                written.extend(Written(table, item_bytes(request["PutRequest"]["Item"])) for request in requests)
        if "Item" in params:
            written.append(Written(params["TableName"], item_bytes(params["Item"])))

    client.meta.events.register("provide-client-params.dynamodb", count)
    return written


def scrape(life: Life, engine: str, server: str, minute: int) -> Outcome:
    """One scrape, kept."""
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
    body = life.page
    answer = pipeline.Answer(
        target, slot + timedelta(milliseconds=137), Page(body, len(body), len(body) // 11, "text/plain", 0.043)
    )
    outcome = pipeline.observe(answer, befores.get(target.key, NOTHING_BEFORE), until)
    if not isinstance(outcome, Outcome) or store.write([outcome], until):
        raise AssertionError(outcome)
    return outcome


class Hour(NamedTuple):
    page_bytes: int
    scrapes: list[Written]
    shared: list[Written]
    encode_times_zlib: float
    decode_times_zlib: float

    @property
    def mean_bytes(self) -> float:
        return sum(one.bytes for one in self.scrapes) / len(self.scrapes)

    @property
    def mean_units(self) -> float:
        return sum(one.units for one in self.scrapes) / len(self.scrapes)

    @property
    def most_units(self) -> int:
        return max(one.units for one in self.scrapes)


def hour(scenario: Scenario, times: int | None, requests: int) -> Hour:
    """An hour of a server of that age."""
    life = matured(scenario.page, times) if times else Life(scenario.page)
    server = f"server-{requests}-{times}-{zlib.crc32(scenario.page)}"
    pages.forget()
    written.clear()
    for minute in range(SCRAPES):
        last = scrape(life, scenario.engine, server, minute)
        life.serve(requests)
    scrapes = [one for one in written if one.table == store.table_name()]
    shared = [one for one in written if one.table == pages.table_name()]
    return Hour(len(life.page), scrapes, shared, *times_zlib(last))


def times_zlib(outcome: Outcome) -> tuple[float, float]:
    assert outcome.lines
    assert outcome.anchor
    assert outcome.exposition
    exposition, page, anchor = outcome.exposition, outcome.page, outcome.anchor
    slot_ms, room = outcome.target.slot_ms, UNIT_BYTES

    def encode() -> tuple[bytes, bool]:
        return pages.encode(page, exposition.lines(page), slot_ms, 0, anchor, room, time.monotonic() + 60)

    blob, _ = encode()
    packed = cpu_seconds(lambda: zlib.compress(page, 6))
    decoded = cpu_seconds(lambda: codec.decode(blob, anchor.frame)[0].page())
    return cpu_seconds(encode) / packed, decoded / packed


def cpu_seconds(work: Callable[[], object]) -> float:
    def once() -> float:
        start = time.process_time()
        work()
        return time.process_time() - start

    return min(once() for _ in range(ROUNDS))


def table() -> Iterator[str]:
    yield LINE.format(
        "", "requests", "page", "anchor", "bytes", "most", "units", "shared", "", "units", "", "encode", "decode"
    )
    yield LINE.format(
        "", "a minute", "bytes", "bytes", "mean", "", "mean", "units", "", "most", "", "× zlib", "× zlib"
    )
    for name, scenario in scenarios().items():
        for age, times in AGES.items():
            for requests in REQUESTS_A_MINUTE:
                yield line(f"{name}, {age}", scenario, requests, hour(scenario, times, requests))


def line(name: str, scenario: Scenario, requests: int, one: Hour) -> str:
    kept = (
        one.mean_units <= (scenario.mean_units_at_most or 1e9) and one.most_units <= (scenario.units_at_most or 1e9)
    )
    return LINE.format(
        name,
        requests,
        one.page_bytes,
        one.scrapes[0].bytes,
        round(one.mean_bytes),
        max(w.bytes for w in one.scrapes),
        f"{one.mean_units:.2f}",
        sum(w.units for w in one.shared),
        "",
        one.most_units,
        "" if scenario.mean_units_at_most is None else "PASS" if kept else "above",
        f"{one.encode_times_zlib:.2f}",
        f"{one.decode_times_zlib:.2f}",
    ) + f"  {sum(w.units > 0 and w.bytes > 900 for w in one.scrapes)}"


def main() -> None:
    global written
    with neighbour("dynamodb") as port:
        os.environ |= {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
            "AWS_ACCESS_KEY_ID": "bench",
            "AWS_SECRET_ACCESS_KEY": "bench",
            "AWS_DEFAULT_REGION": "eu-west-1",
            "SNAPSHOTS_TABLE": "snapshots",
            "SHAPES_TABLE": "shapes",
        }
        written = count_writes(batches.client())
        for text in table():
            print(text, flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
