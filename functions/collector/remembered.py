"""What an item keeps of a verdict, and of what is carried from scrape to scrape; and both read back from it.

`memory` is a map, with a letter for each field of `Memory`; its times are in ms before the scrape. `findings` are JSON
without what every finding has: compressed beside `USUAL_FINDINGS`, and of a hint only the key under which it
stands; its words, where it has none.
"""

import zlib
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, get_args

from pydantic import TypeAdapter

from collector.batches import Item, read_key
from collector.findings import hints
from collector.packing import deflate, inflate
from collector.verdict import NO_MEMORY, Finding, Health, Memory, Status

EPOCH = datetime.fromtimestamp(0, UTC)
# All fields but `status`, which is told in `health`.
MEMORY = {
    "since_ms": "s",
    "failures": "f",
    "last_good_slot_ms": "l",
    "progress_ms": "p",
    "gauges_ms": "g",
    "heartbeat_ms": "h",
    "most_running": "m",
    "restarts": "r",
    "still_ranks": "k",
}
STATUSES = get_args(Status)
UNREADABLE = Finding(
    code="unreadable_findings",
    severity="warning",
    message="What was found then is stored, and cannot be read: it is damaged, or of another release.",
)
FINDINGS = TypeAdapter(tuple[Finding, ...])
# What findings are made of more often than not, the likeliest last. Another text would not read what is stored.
USUAL_FINDINGS = (
    b"["
    b'{"code":"scrape_failed","severity":"warning","message":"The last scrape failed: ",'
    b'"evidence":{"error_code":"timeout","failures":1.0,"seconds_since_last_good":60.0},'
    b'"hint":"connection_refused"}]'
    b"["
    b'{"code":"unreachable","severity":"critical","message":" scrapes in a row failed, the last so: ",'
    b'"evidence":{['
    b'{"code":"stalled","severity":"critical","evidence":{"seconds_without_progress":,"seconds_without_gauges":,'
    b'"seconds_without_heartbeat":,"requests_in_flight":,"requests_in_flight_before":,'
    b'"gen_throughput_tokens_per_second":0.0}},'
    b'{"code":"cache_thrashing","severity":"info","message":"The prefix cache held % of prompt tokens, against % '
    b'over the server\'s life, while tokens were evicted.","evidence":{"cache_hit_rate":0.,'
    b'"life_cache_hit_rate":0.,"prompt_tokens":,"evicted_tokens":.0}},'
    b'{"code":"kv_nearly_full","severity":"degraded","message":"The KV pool is 9% full, as it was at the scrape '
    b'before (9%), and requests wait.","evidence":{"kv_usage_ratio":0.9,"kv_usage_ratio_before":0.9,'
    b'"num_requests_waiting":,"retracted":.0},"hint":"kv_nearly_full"},'
    b'{"code":"saturated","severity":"degraded","message":" requests wait, did at the scrape before, and the '
    b'mean wait is s of s to the first token.","evidence":{"num_requests_waiting":.0,'
    b'"num_requests_waiting_before":.0,"num_requests_running":.0,"most_requests_running":.0,'
    b'"queue_time_mean_seconds":0.,"time_to_first_token_mean_seconds":0.,"kv_usage_ratio":0.,"retracted":0.0},'
    b'"hint":"saturated by request slots"},'
    b'{"code":"slow_first_token","severity":"degraded","message":"One in twenty waited at least s or longer for '
    b'the first token; 5 s is the limit.","evidence":{"time_to_first_token_p95_seconds":,'
    b'"time_to_first_token_p95_lower_bound_seconds":.0,"time_to_first_token_count":.0,"limit_seconds":5.0},'
    b'"hint":"slow_first_token"},'
    b'{"code":"slow_tokens","severity":"degraded","message":"One in twenty waited 0. s or longer for the next '
    b'token; 0.2 s is the limit.","evidence":{"inter_token_latency_p95_seconds":0.,'
    b'"inter_token_latency_p95_lower_bound_seconds":0.,"inter_token_latency_count":.0,"limit_seconds":0.2},'
    b'"hint":"slow_tokens"}]'
)


def tell_health(health: Health) -> Iterator[tuple[str, dict[str, Any]]]:
    """The attributes of a verdict. Since when it holds is in the memory."""
    yield "health", {"S": health.status}
    if health.findings:
        short = tuple(one.model_copy(update={"hint": hints.kept(one.hint)}) for one in health.findings)
        yield "findings", {"B": deflate(FINDINGS.dump_json(short, exclude_defaults=True), USUAL_FINDINGS)}


def read_health(item: Item) -> Health | None:
    """The verdict; None where the item has none. Findings that cannot be read are told as one that says so."""
    memory = read_memory(item)
    if memory.status is None or memory.since_ms is None:
        return None
    status = memory.status if memory.status in STATUSES else "unknown"  # one of a later release's
    return Health(status=status, since=EPOCH + timedelta(milliseconds=memory.since_ms), findings=_findings(item))


def _findings(item: Item) -> tuple[Finding, ...]:
    if "findings" not in item:
        return ()
    try:
        short = FINDINGS.validate_json(inflate(item["findings"].get("B", b""), USUAL_FINDINGS))
    except (ValueError, zlib.error) as exc:
        # Its first line: pydantic's others quote what was stored.
        return (UNREADABLE.model_copy(update={"evidence": {"reason": str(exc).partition("\n")[0]}}),)
    engine = item["engine"]["S"]
    return tuple(one.model_copy(update={"hint": hints.told(one.hint, engine)}) for one in short)


def tell_memory(memory: Memory, at_ms: int, good: bool) -> Iterator[tuple[str, dict[str, Any]]]:
    """The attribute of a memory, if there is anything to remember. That a good scrape is the last good one is plain."""
    told: Item = {}
    for name, letter in MEMORY.items():
        value = getattr(memory, name)
        if value == getattr(NO_MEMORY, name) or (good and name == "last_good_slot_ms"):
            continue
        if name.endswith("_ms"):
            told[letter] = {"N": str(at_ms - value)}
        elif name == "restarts":
            told[letter] = {"S": "".join(str(int(one)) for one in value)}
        elif name == "still_ranks":
            told[letter] = {"M": {rank: {"N": str(at_ms - since_ms)} for rank, since_ms in value.items()}}
        else:
            told[letter] = {"N": str(value)}
    if told:
        yield "memory", {"M": told}


def read_memory(item: Item) -> Memory:
    """What a scrape left for the next. A form that is not known, an older release's or a spoilt one, is forgotten once.

    For one item must not keep the other targets of an invocation from being collected.
    """
    values: dict[str, Any] = {"status": item.get("health", {}).get("S")}
    if "blob" in item:
        values["last_good_slot_ms"] = read_key(item)[1]
    with suppress(KeyError, ValueError):
        values |= dict(_remembered(item.get("memory", {}).get("M", {}), int(item["scraped_at"]["N"])))
    return Memory(**values)


def _remembered(told: Item, at_ms: int) -> Iterator[tuple[str, Any]]:
    for name, letter in MEMORY.items():
        if letter not in told:
            continue
        if name.endswith("_ms"):
            yield name, at_ms - int(told[letter]["N"])
        elif name == "still_ranks":
            yield name, {rank: at_ms - int(ago["N"]) for rank, ago in told[letter]["M"].items()}
        elif name == "restarts":
            yield name, tuple(one == "1" for one in told[letter]["S"])
        else:
            yield name, type(getattr(NO_MEMORY, name))(told[letter]["N"])
