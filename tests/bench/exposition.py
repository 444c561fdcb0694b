"""The exposition parser against prometheus_client's, on the same pages.

A first page is read with nothing kept of any page before it; next pages are the same server's, in turn. Both sides read
every sample with its name, labels and value. They take turns in every round, for about as long each: some pages of
prometheus_client's against some servers of ours. Times are of CPU; of a round each side's fastest counts, since what
makes it slower is the machine, and a ratio is the median of the rounds'. Memory is the peak until a page is read and
its samples are held.
"""

import statistics
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from itertools import cycle, islice
from pathlib import Path
from typing import NamedTuple

from prometheus_client.parser import text_string_to_metric_families

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "functions"))

from collector import shape  # noqa: E402
from collector.exposition import parse  # noqa: E402

ROUNDS = 15
THEIR_PAGES_PER_ROUND = 2
SERVERS_PER_ROUND = 10
NEXT_PAGES = 10
FIRST_PAGE_FLOOR, NEXT_PAGE_FLOOR, MEMORY_CEILING = 20, 35, 0.4

RECORDED = ROOT / "tests" / "expositions"
GENERATED = ROOT.parent / "shared" / "expositions" / "generated"
# Pages of one server each.
SERVERS = {
    "one rank": [RECORDED / "sglang-0.5.23-load-later.prom", RECORDED / "sglang-0.5.23-after-load.prom"],
    "two ranks": [RECORDED / "sglang-0.5.23-dp2-load.prom", RECORDED / "sglang-0.5.23-dp2-load-later.prom"],
    "one rank, generated": [
        GENERATED / "sglang-0.5.23-timeline-t1.prom",
        GENERATED / "sglang-0.5.23-timeline-t2.prom",
    ],
    "four ranks, generated": [GENERATED / "sglang-0.5.23-dp4.prom"],
}
LINE = "{:22}{:>9}{:>9}{:>12} {:5}{:>12} {:5}{:>13} {:5}"


class Ratios(NamedTuple):
    """Times faster than prometheus_client on a first page and on the next, and times its memory."""

    first_page: float
    next_page: float
    memory: float


def theirs(page: str) -> None:
    for family in text_string_to_metric_families(page):
        for sample in family.samples:
            _name, _labels, _value = sample.name, sample.labels, sample.value


def ours(page: bytes) -> None:
    for sample in parse(page).samples:
        _name, _labels, _value = sample.name, sample.labels, sample.value


def compare(pages: Sequence[bytes]) -> Ratios:
    first, following = zip(*(one_round(pages, turn) for turn in range(ROUNDS)), strict=True)
    shape.forget()
    page = pages[0].decode()
    their_bytes = peak_bytes(lambda: [family.samples for family in text_string_to_metric_families(page)])
    our_bytes = peak_bytes(lambda: list(parse(pages[0]).samples))
    return Ratios(statistics.median(first), statistics.median(following), our_bytes / their_bytes)


def one_round(pages: Sequence[bytes], turn: int) -> tuple[float, float]:
    page = pages[turn % len(pages)].decode()
    their_seconds = min(cpu_seconds(lambda: theirs(page)) for _ in range(THEIR_PAGES_PER_ROUND))
    servers = [one_server(pages) for _ in range(SERVERS_PER_ROUND)]
    first_seconds, next_seconds = (min(seconds) for seconds in zip(*servers, strict=True))
    return their_seconds / first_seconds, their_seconds / next_seconds


def one_server(pages: Sequence[bytes]) -> tuple[float, float]:
    """Seconds for a first page, and for one of the ten next; the first of those make what later ones profit by."""
    shape.forget()
    first_seconds = cpu_seconds(lambda: ours(pages[0]))
    following = list(islice(cycle(pages), 1, 1 + NEXT_PAGES))
    next_seconds = cpu_seconds(lambda: [ours(page) for page in following])
    return first_seconds, next_seconds / NEXT_PAGES


def cpu_seconds(read: Callable[[], object]) -> float:
    start = time.process_time()
    read()
    return time.process_time() - start


def peak_bytes(read: Callable[[], object]) -> int:
    tracemalloc.start()
    held = read()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    del held
    return peak


def table() -> Iterator[str]:
    yield LINE.format("page", "bytes", "samples", "first page", "", "next page", "", "peak memory", "")
    floors = f"≥ {FIRST_PAGE_FLOOR}", "", f"≥ {NEXT_PAGE_FLOOR}", "", f"≤ {MEMORY_CEILING}", ""
    yield LINE.format("", "", "", *floors)
    for name, paths in SERVERS.items():
        if not all(path.exists() for path in paths):
            continue
        pages = [path.read_bytes() for path in paths]
        ratios = compare(pages)
        yield LINE.format(
            name,
            f"{len(pages[0]):,}",
            f"{len(parse(pages[0]).samples):,}",
            f"{ratios.first_page:.1f} ×",
            "PASS" if ratios.first_page >= FIRST_PAGE_FLOOR else "below",
            f"{ratios.next_page:.1f} ×",
            "PASS" if ratios.next_page >= NEXT_PAGE_FLOOR else "below",
            f"{ratios.memory:.2f} ×",
            "PASS" if ratios.memory <= MEMORY_CEILING else "above",
        )


def main() -> None:
    for line in table():
        print(line, flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
