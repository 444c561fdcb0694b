"""A collection response for a person: what the server is doing, in a few aligned lines."""

import os
import sys
from collections.abc import Iterator, Sequence
from typing import Any

BOLD, DIM, RED = "1", "2", "31"
NOT_SAID = "-"
GIB = 2**30

Row = Sequence[str]


def say(*lines: str) -> None:
    """Lines to standard output, at once."""
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    sys.stdout.flush()


def styled(text: str, style: str) -> str:
    """Bold and the like, where a person looks at a terminal."""
    plain = not sys.stdout.isatty() or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    return text if plain else f"\033[{style}m{text}\033[0m"


def describe(answer: dict[str, Any]) -> Iterator[str]:
    """The lines for one collection response, a failed one included."""
    metrics = answer["metrics"]
    if metrics is None:
        yield f"{styled(answer['instance_id'], BOLD)}  {styled(answer['error_code'], RED)}: {answer['error']}"
        return
    yield f"{styled(metrics['instance_id'], BOLD)}  {metrics['endpoint']}"
    yield styled("  ".join(_identity(metrics)), DIM)
    if answer["error_code"]:
        yield styled(f"{answer['error_code']}: {answer['error'] or 'the server says nothing yet'}", RED)
    for title, rows in _sections(metrics):
        yield ""
        yield from _block(title, rows)


def _identity(metrics: dict[str, Any]) -> Iterator[str]:
    yield from metrics["models"]
    release = metrics["version_range"]
    if release["at_least"]:
        yield f"{metrics['engine']} {release['at_least']} or newer" + (
            f", before {release['before']}" if release["before"] else ""
        )
    if scrape := metrics["scrape"]:
        yield f"{_count(scrape['samples'])} samples in {_seconds(scrape['duration_seconds'])}"


def _sections(metrics: dict[str, Any]) -> Iterator[tuple[Row, list[Row]]]:
    requests, cache, system = metrics["request_metrics"], metrics["cache_metrics"], metrics["system_metrics"]
    yield (
        ("Requests",),
        [
            ("running", _count(system["num_requests_running"])),
            ("waiting", _count(system["num_requests_waiting"])),
            ("succeeded", _count(requests["success_total"])),
            ("failed", _count(requests["failure_total"])),
        ],
    )
    yield (
        ("Latency", "mean", "p50", "p95", "p99"),
        [
            _latency("to first token", requests["time_to_first_token"]),
            _latency("between tokens", requests["inter_token_latency"]),
            _latency("whole request", requests["request_duration"]),
            _latency("in the queue", requests["queue_time"]),
        ],
    )
    yield (
        ("Tokens",),
        [
            ("in, per request", _count(requests["input_tokens"])),
            ("out, per request", _count(requests["output_tokens"])),
            ("out, per second", _count(system["throughput_tokens_per_second"])),
        ],
    )
    yield (
        ("Cache",),
        [
            ("prompt tokens found", _count(cache["prefix_cache_hit_total"])),
            ("hit rate", _percent(cache["cache_hit_rate"])),
            ("KV pool in use", _percent(cache["kv_usage_mean_ratio"])),
            ("KV pool", _gibibytes(cache["cache_memory_usage_bytes"])),
        ],
    )
    if metrics["ranks"]:
        yield (
            ("Rank", "running", "waiting", "tokens/s", "KV used", "evictable", "of"),
            [
                *(_rank(rank) for rank in metrics["ranks"]),
                (
                    "all",
                    _count(system["num_requests_running"]),
                    _count(system["num_requests_waiting"]),
                    _count(system["gen_throughput_tokens_per_second"]),
                    _count(cache["kv_used_tokens"]),
                    _count(cache["kv_evictable_tokens"]),
                    _count(cache["kv_capacity_tokens"]),
                ),
            ],
        )


def _rank(rank: dict[str, Any]) -> Row:
    return (
        NOT_SAID if rank["dp_rank"] is None else f"dp {rank['dp_rank']}",
        _count(rank["num_requests_running"]),
        _count(rank["num_requests_waiting"]),
        _count(rank["gen_throughput_tokens_per_second"]),
        _count(rank["kv_used_tokens"]),
        _count(rank["kv_evictable_tokens"]),
        _count(rank["kv_capacity_tokens"]),
    )


def _block(title: Row, rows: list[Row]) -> Iterator[str]:
    """A title line and its rows: names to the left, figures to the right, in columns as wide as they need."""
    cells = [(title[0], *title[1:]), *((f"  {name}", *figures) for name, *figures in rows)]
    widths = [max(len(row[column]) for row in cells if column < len(row)) for column in range(max(map(len, cells)))]
    for number, (name, *figures) in enumerate(cells):
        line = name.ljust(max(widths[0], 22)) + "".join(
            figure.rjust(max(width, 8) + 2) for figure, width in zip(figures, widths[1:], strict=False)
        )
        yield styled(line.rstrip(), BOLD) if number == 0 else line


def _latency(name: str, distribution: dict[str, Any] | None) -> Row:
    if distribution is None:
        return (name, *[NOT_SAID] * 4)
    return (name, _seconds(distribution["mean"]), *(_quantile(distribution[q]) for q in ("p50", "p95", "p99")))


def _quantile(quantile: dict[str, Any] | None) -> str:
    """Where the histogram cannot tell more than a bound, the bound."""
    if quantile is None:
        return NOT_SAID
    if quantile["in_last_bucket"]:
        return f"> {_seconds(quantile['lower_bound'])}"
    if not quantile["lower_bound"]:
        return f"< {_seconds(quantile['upper_bound'])}"
    return _seconds(quantile["value"])


def _seconds(seconds: float | None) -> str:
    if seconds is None:
        return NOT_SAID
    if seconds < 1:
        return f"{seconds * 1000:.3g} ms"
    return f"{seconds:.3g} s" if seconds < 1000 else f"{seconds:,.0f} s"


def _count(number: float | None) -> str:
    return NOT_SAID if number is None else f"{number:,.0f}"


def _percent(ratio: float | None) -> str:
    return NOT_SAID if ratio is None else f"{ratio:.1%}"


def _gibibytes(count: int | None) -> str:
    return NOT_SAID if count is None else f"{count / GIB:,.1f} GiB"
