"""The way of a target: policy, scrape, exposition, engine, snapshot, store. The only module that knows the order.

Its ends touch the network, in batches; between them each step is a function of values.
"""

import functools
import os
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from importlib import import_module

from collector import exposition, policy, scrape, store
from collector.errors import CollectorError
from collector.exposition import Exposition
from collector.outcome import Outcome
from collector.snapshot import ScrapeFacts, Snapshot
from collector.targets import Target

Engine = Callable[[Exposition, Target, datetime, ScrapeFacts], Snapshot]

SINKS: tuple[Callable[[Sequence[Outcome]], None], ...] = (store.write,)


def collect(targets: Sequence[Target]) -> list[Outcome]:
    """Scrape every target once and keep what came of it, success or failure, in order."""
    outcomes = [observe(target) for target in targets]
    for sink in SINKS:
        sink(outcomes)
    return outcomes


def observe(target: Target) -> Outcome:
    """One scrape: a snapshot, or what prevented it. Raises nothing that is the target's fault."""
    asked_at = _now()
    deadline = time.monotonic() + target.timeout_seconds
    try:
        page = scrape.scrape(policy.check(target.endpoint, rules(), deadline), deadline)
        parsed = exposition.parse(page.body)
        snapshot = engine(target.engine)(parsed, target, asked_at, _facts(page, parsed))
    except CollectorError as error:
        return Outcome(target, asked_at, error=error)
    return Outcome(target, asked_at, snapshot, parsed, page.body)


def _facts(page: scrape.Page, parsed: Exposition) -> ScrapeFacts:
    return ScrapeFacts(
        duration_seconds=page.duration_seconds,
        wire_bytes=page.wire_bytes,
        page_bytes=len(page.body),
        samples=len(parsed.samples),
        bad_lines=parsed.bad_line_count,
        first_bad_lines=tuple(str(line) for line in parsed.bad_lines),
    )


def _now() -> datetime:
    """In whole milliseconds, as it is stored: what is read back is what was answered."""
    now = datetime.now(UTC)
    return now.replace(microsecond=now.microsecond // 1000 * 1000)


@functools.cache
def engine(name: str) -> Engine:
    """The engine of that name, loaded when it is first asked for."""
    read_snapshot: Engine = import_module(f"collector.engines.{name}").read_snapshot
    return read_snapshot


@functools.cache
def rules() -> policy.Rules:
    return policy.Rules.from_environment(os.environ)
