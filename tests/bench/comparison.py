"""What it costs to compare each page with the one before: CPU, beside reading the page, and reads of DynamoDB.

CPU is of the differences and the interval, and of the verdict. Reads are of items: the scrape before, its anchor unless
the worker has it, and in a worker that starts the lines that it shares too.
"""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from tests.bench.sizes import Scenario, scenarios, with_dynamodb

from collector import batches, exposition, health, pages, reading
from collector.pipeline import BRIEF
from collector.verdict import NO_MEMORY
from hour import scrape
from maturing import Life
from support import target

ROUNDS, TIMES = 7, 20
AT = datetime(2026, 11, 24, tzinfo=UTC)
LINE = "{:22}{:>10}{:>12}{:>12}{:>12}{:>10}{:>10}"


def line(name: str, scenario: Scenario) -> str:
    life = Life(scenario.page)
    earlier = exposition.parse(life.page)
    lines = earlier.lines(life.page)
    life.serve(300)
    body = life.page
    later = exposition.parse(body)
    engine = reading.engine(scenario.engine)
    one = target(engine=scenario.engine, interval_seconds=60)
    facts = reading.read(one, AT, reading.Received(body, 0.04, 9_000), None, None).snapshot.scrape
    assert facts
    snapshot = engine.read_snapshot(later, one, AT, facts, BRIEF.of_life, BRIEF.fields)
    since = AT - timedelta(seconds=60)

    def compare():
        return engine.read_interval(later.earlier(lines), later, since, 60.0, BRIEF.of_interval, BRIEF.fields)

    interval, moves = compare()
    warm, cold = reads(scenario, f"compared-{len(name)}")
    return LINE.format(
        name,
        f"{len(later.samples):,}",
        *(
            f"{milliseconds(work):.2f} ms"
            for work in (
                lambda: exposition.parse(body),
                compare,
                lambda: health.judge(snapshot, interval, moves, NO_MEMORY, AT),
            )
        ),
        warm,
        cold,
    )


def milliseconds(work) -> float:
    def once() -> float:
        start = time.process_time()
        for _ in range(TIMES):
            work()
        return 1000 * (time.process_time() - start) / TIMES

    return min(once() for _ in range(ROUNDS))


def reads(scenario: Scenario, server: str) -> tuple[int, int]:
    """Of a scrape in a worker that has had the one before, and in one that starts."""
    asked: list[int] = []

    def count(params, **_) -> None:
        asked.extend(len(wanted["Keys"]) for wanted in params["RequestItems"].values())

    life = Life(scenario.page)
    counts = []
    events = batches.client().meta.events
    events.register("provide-client-params.dynamodb.BatchGetItem", count)
    for minute in range(5):
        if minute == 4:
            pages.forget()
        asked.clear()
        scrape(life.page, scenario.engine, server, minute)
        counts.append(sum(asked))
        life.serve(300)
    events.unregister("provide-client-params.dynamodb.BatchGetItem", count)
    return counts[3], counts[4]


def table() -> Iterator[str]:
    yield LINE.format("a page compared", "series", "read", "compared", "verdict", "reads", "cold")
    with with_dynamodb():
        for name, scenario in scenarios().items():
            yield line(name, scenario)


def main() -> None:
    for text in table():
        print(text, flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
