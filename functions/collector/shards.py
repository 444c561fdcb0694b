"""The fleet view as it is kept: a line for each target, an item for each shard of them. Pure; `fleet` reads and writes.

| attribute | |
|---|---|
| `pk`, `sk` | the key in the `Targets` table: the word `fleet`, and the shard as `60/64/17`: interval, shards, number |
| `version` | which change this is, from 1; each replaces one that its author has seen |
| `lines` | compressed JSON: the format, a slot in ms since 1970, and a list for each line, see `_row` |
| `expires_at` | seconds since 1970, the table's time to live: a day after the newest slot |

A shard's targets have one interval and stand side by side on the circle, so they come in one message: one write for
all. How many shards there are follows from the number of targets; where that changes, lines are written into other
items, and of a target that has several the newest slot's stands.
"""

import json
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Self

from collector import slots
from collector.batches import Item
from collector.item import HEADLINES, headlines, milliseconds
from collector.members import PARTITION
from collector.outcome import Outcome
from collector.targets import Target
from collector.verdict import Status

FORMAT = 1
DAY_SECONDS = 86_400
DAY_MS = 1000 * DAY_SECONDS
# A page may name any number of them, of any length; they must not crowd out the others' lines.
MODELS_AT_MOST, MODEL_CHARACTERS = 8, 128


class UnreadableShardError(Exception):
    """An item that no release up to this one has written."""


class Shard(NamedTuple):
    interval_seconds: int
    shards: int
    number: int

    @classmethod
    def of(cls, target: Target) -> Self | None:
        """Where a target's line stands; None where it has none."""
        if target.shards is None or target.interval_seconds is None:
            return None
        position = slots.position(target.instance_id)
        return cls(target.interval_seconds, target.shards, slots.shard(position, target.shards))

    @property
    def key(self) -> Item:
        return {"pk": {"S": PARTITION}, "sk": {"S": "/".join(map(str, self))}}


@dataclass(frozen=True, slots=True)
class Line:
    """What came of a target's newest slot. Times are ms since 1970; None: the server does not say, or never."""

    instance_id: str
    slot_ms: int
    at_ms: int
    """When it was asked, or passed over."""
    interval_seconds: int
    engine: str
    models: tuple[str, ...]
    """Those that it named last."""
    status: Status | None
    since_ms: int | None
    progress_ms: int | None
    last_good_slot_ms: int | None
    failures: int
    code: str | None
    run: float | None = None
    wait: float | None = None
    kv: float | None = None
    tps: float | None = None
    hit: float | None = None
    ttft: float | None = None
    stale_intervals: float | None = None
    """The target's own; None: all servers'."""


def line_of(outcome: Outcome) -> Line:
    """The line of a registered target."""
    target, memory, snapshot = outcome.target, outcome.memory, outcome.snapshot
    models = snapshot.models[:MODELS_AT_MOST] if snapshot else ()
    return Line(
        instance_id=target.instance_id,
        slot_ms=target.slot_ms,
        at_ms=milliseconds(outcome.asked_at),
        interval_seconds=target.interval_seconds or 0,
        engine=target.engine,
        models=tuple(model[:MODEL_CHARACTERS] for model in models),
        status=memory.status,
        since_ms=memory.since_ms,
        progress_ms=memory.progress_ms,
        last_good_slot_ms=memory.last_good_slot_ms,
        failures=memory.failures,
        code=outcome.code,
        stale_intervals=target.own_stale_intervals,
        **{name: float(number) for name, number in headlines(outcome)},
    )


def newest(lines: Iterable[Line]) -> dict[str, Line]:
    """Of each target the line of the newest slot; of the same slot the first."""
    found: dict[str, Line] = {}
    for line in lines:
        if line.instance_id not in found or found[line.instance_id].slot_ms < line.slot_ms:
            found[line.instance_id] = line
    return found


def with_lines(shard: Shard, there: Item | None, lines: Sequence[Line]) -> Item | None:
    """A shard's item with these lines in it, each where it is newer than what is there; None where none is.

    Lines that nothing has followed for a day are left out.
    """
    known = {line.instance_id: line for line in (_known(there) if there else ())}
    # A server that cannot be scraped is still looked for under its models.
    named = (
        replace(line, models=known[line.instance_id].models) if line.instance_id in known and not line.models else line
        for line in lines
    )
    merged = newest([*known.values(), *named])
    if merged == known:
        return None
    last_ms = max(line.slot_ms for line in merged.values())
    kept = [line for _, line in sorted(merged.items()) if line.slot_ms > last_ms - DAY_MS]
    written = [FORMAT, last_ms, *(_row(line, last_ms) for line in kept)]
    return shard.key | {
        "version": {"N": str(version_of(there) + 1)},
        "lines": {"B": zlib.compress(json.dumps(written, separators=(",", ":")).encode(), 9)},
        "expires_at": {"N": str(last_ms // 1000 + DAY_SECONDS)},
    }


def version_of(item: Item | None) -> int:
    return int(item["version"]["N"]) if item and "version" in item else 0


def _known(item: Item) -> tuple[Line, ...]:
    """What cannot be read gives way: within an interval each target has a new line."""
    try:
        return read_lines(item)
    except UnreadableShardError:
        return ()


def read_lines(item: Item) -> tuple[Line, ...]:
    """Raises UnreadableShardError."""
    name = item["sk"]["S"]
    try:
        interval_seconds = int(name.split("/")[0])
        written, base_ms, *rows = json.loads(zlib.decompress(item["lines"]["B"]))
        if written != FORMAT:
            raise UnreadableShardError(f"shard {name} has lines of format {written}")
        return tuple(_line(row, base_ms, interval_seconds) for row in rows)
    except (KeyError, TypeError, ValueError, IndexError, zlib.error) as exc:
        raise UnreadableShardError(f"shard {name} cannot be read: {exc}") from exc


def _row(line: Line, base_ms: int) -> list[Any]:
    """A line as JSON: times as what lies between them, of which most are short."""
    numbers = [_short(getattr(line, name)) for name in HEADLINES.values()]
    own = [] if line.stale_intervals is None else [_short(line.stale_intervals)]  # of few: the others pay nothing
    return [
        line.instance_id,
        base_ms - line.slot_ms,
        line.at_ms - line.slot_ms,
        line.engine,
        line.models,
        line.status,
        _between(line.since_ms, line.at_ms),
        _between(line.progress_ms, line.at_ms),
        _between(line.last_good_slot_ms, line.slot_ms),
        line.failures,
        line.code,
        *numbers,
        *own,
    ]


def _line(row: list[Any], base_ms: int, interval_seconds: int) -> Line:
    instance_id, behind, after, engine, models, status, since, progress, last_good, failures, code, *numbers = row
    slot_ms = base_ms - behind
    at_ms = slot_ms + after
    [own] = numbers[len(HEADLINES) :] or [None]
    return Line(
        instance_id=instance_id,
        slot_ms=slot_ms,
        at_ms=at_ms,
        interval_seconds=interval_seconds,
        engine=engine,
        models=tuple(models),
        status=status,
        since_ms=_between(since, at_ms),
        progress_ms=_between(progress, at_ms),
        last_good_slot_ms=_between(last_good, slot_ms),
        failures=failures,
        code=code,
        **dict(zip(HEADLINES.values(), numbers[: len(HEADLINES)], strict=True)),
        stale_intervals=own,
    )


def _between(one: int | None, other: int) -> int | None:
    return None if one is None else other - one


def _short(number: float | None) -> float | None:
    return int(number) if number is not None and not number % 1 else number
