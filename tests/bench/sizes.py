"""What an hour of scrapes, one a minute, is stored in: bytes and write units, with keys, names and anchors.

Each server goes the worker's way, with DynamoDB as a process of its own. Young: as it was recorded. × 1,000: after so
many times the requests, whose latencies and lengths spread over every bucket, as those of the hour do: so the verdict
on it is `degraded`, with findings that are stored too. Lines that a fleet shares are written once, and no part of the
mean. Times are of CPU, beside `zlib.compress(page, 6)`.
"""

import os
import sys
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "functions"), str(ROOT / "tests")]

from tests.bench.fleet import neighbour  # noqa: E402

from collector import batches, codec, pages, store  # noqa: E402
from collector.frames import UNIT_BYTES  # noqa: E402
from collector.item import item_bytes, item_of  # noqa: E402
from collector.outcome import Outcome  # noqa: E402
from hour import Hour, hour  # noqa: E402
from maturing import Life, matured, widened  # noqa: E402

RECORDED = ROOT / "tests" / "expositions"
GENERATED = ROOT.parent / "shared" / "expositions" / "generated"
TIMES = (0, 1_000, 100_000)
REQUESTS_A_MINUTE = (30, 300, 3_000)
TIMES_ZLIB_AT_MOST = 1.5
ROUNDS = 3
LINE = "{:27}{:>9}{:>9}{:>9}{:>8}{:>8}{:>7}{:>6} {:6}{:>8}{:>8}{:>8}"


class Scenario(NamedTuple):
    """A page and its engine; and how many write units a scrape of it may take, on average and at most."""

    page: bytes
    engine: str
    mean: float | None = None
    most: float | None = None


def scenarios() -> dict[str, Scenario]:
    found = {
        "one rank": Scenario(recorded("sglang-0.5.23-after-load"), "sglang", 1, 2),
        "two ranks": Scenario(recorded("sglang-0.5.23-dp2-after-load"), "sglang"),
        "vLLM, two engines": Scenario(recorded("vllm-0.33.0-dp2"), "vllm"),
        "TGI": Scenario(recorded("tgi-documented"), "tgi"),
        "router, two workers": Scenario(recorded("router-0.3.2-engine-metrics"), "sglang"),
    }
    if GENERATED.is_dir():
        features = (GENERATED / "sglang-0.5.18-features.prom").read_bytes()
        found["four ranks"] = Scenario((GENERATED / "sglang-0.5.23-dp4.prom").read_bytes(), "sglang", 2)
        found["eight ranks, all on"] = Scenario(widened(features, 8), "sglang", 4)
    return found


def recorded(name: str) -> bytes:
    return (RECORDED / f"{name}.prom").read_bytes()


def times_zlib(one: Hour) -> tuple[float, float]:
    """To encode an hour's pages that have been read, anchors among them; and to have back the text of the others."""
    spent: Counter[str] = Counter()
    for outcome in one.outcomes:
        spent.update(cpu_seconds(outcome))
    return spent["encode"] / spent["zlib"], spent["decode"] / spent["zlib of those"]


def cpu_seconds(outcome: Outcome) -> dict[str, float]:
    exposition, page, anchor = outcome.exposition, outcome.page, outcome.anchor
    assert exposition
    room = UNIT_BYTES - item_bytes(item_of(outcome)) - len(store.BLOB)

    def encode() -> tuple[bytes, bool]:
        until = time.monotonic() + 60
        return pages.encode(page, exposition.lines(page), outcome.target.key, 0, anchor, room, until)

    blob, is_anchor = encode()
    works: dict[str, Callable[[], object]] = {"zlib": lambda: zlib.compress(page, 6), "encode": encode}
    if anchor and not is_anchor:
        works["decode"] = lambda: codec.decode(blob, anchor.frame)[0].page()
    # In turns, so that what else the machine does meets all of them.
    rounds = [{name: timed(work) for name, work in works.items()} for _ in range(ROUNDS)]
    least = {name: min(each[name] for each in rounds) for name in works}
    return least | ({"zlib of those": least["zlib"]} if "decode" in least else {})


def timed(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def table() -> Iterator[str]:
    yield LINE.format(
        "write units of 1 KB",
        "requests",
        "page",
        "anchor",
        "scrape",
        "shared",
        "units",
        "most",
        "",
        "encode",
        "decode",
        "",
    ).rstrip()
    yield LINE.format(
        "",
        "a minute",
        "bytes",
        "bytes",
        "bytes",
        "bytes",
        "mean",
        "",
        "",
        "× zlib",
        "× zlib",
        f"≤ {TIMES_ZLIB_AT_MOST}",
    )
    numbers = count()
    for name, scenario in scenarios().items():
        for times in TIMES:
            for requests in REQUESTS_A_MINUTE:
                life = matured(scenario.page, times) if times else Life(scenario.page)
                age = f"× {times:,}" if times else "young"
                one = hour(life, scenario.engine, requests, f"server-{next(numbers):03}")
                yield line(f"{name}, {age}", scenario, requests, one)


def line(name: str, scenario: Scenario, requests: int, one: Hour) -> str:
    times = times_zlib(one)
    bounds = scenario.mean, scenario.most
    kept = all(
        bound is None or is_ <= bound for bound, is_ in zip(bounds, (one.mean_units, one.most_units), strict=True)
    )
    return LINE.format(
        name,
        f"{requests:,}",
        f"{len(one.outcomes[-1].page):,}",
        f"{one.scrapes[0].bytes:,}",
        f"{one.mean_bytes:,.0f}",
        f"{sum(kept.bytes for kept in one.shared):,}" if one.shared else "",
        f"{one.mean_units:.2f}",
        one.most_units,
        "" if scenario.mean is None else "PASS" if kept else "above",
        *(f"{figure:.2f} ×" for figure in times),
        "PASS" if max(times) <= TIMES_ZLIB_AT_MOST else "above",
    )


@contextmanager
def with_dynamodb() -> Iterator[None]:
    """All that is kept goes to a DynamoDB of a process of its own."""
    with neighbour("dynamodb") as port:
        os.environ |= {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
            "AWS_ACCESS_KEY_ID": "bench",
            "AWS_SECRET_ACCESS_KEY": "bench",
            "AWS_DEFAULT_REGION": "eu-west-1",
            "SNAPSHOTS_TABLE": "snapshots",
            "SHAPES_TABLE": "shapes",
        }
        batches.client.cache_clear()
        yield
        batches.client.cache_clear()


def main() -> None:
    with with_dynamodb():
        for text in table():
            print(text, flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
