"""The figures that verdicts are measured against: a table with the reason for each.

Each can be set for all servers, as `stalled_seconds=60,token_seconds=0.1`, and for one target.
"""

from typing import Annotated, ClassVar

from pydantic import Field

from collector.figures import Figures

# Above zero: so nothing that the server does not say reaches a threshold. No further than DynamoDB and dates go.
Positive = Annotated[float, Field(ge=1e-6, le=1e6)]
Share = Annotated[float, Field(ge=1e-6, le=1)]
Number = Annotated[int, Field(ge=1, le=10**9)]


class Thresholds(Figures, frozen=True):
    """Seconds, shares from 0 to 1, and numbers of things. Every one is met when it is reached."""

    noun: ClassVar[str] = "threshold"

    failures_in_a_row: Number = Field(2, description="One scrape may meet a restarting proxy or a lost packet.")
    stale_intervals: Positive = Field(
        3.0,
        description="Intervals without a scrape: one may be late and the next retried; three are an outage of ours.",
    )
    stalled_seconds: Positive = Field(
        35.0, description="Above the 30 s after which an idle SGLang refreshes its gauges; lower gives false alarms."
    )
    no_progress_seconds: Positive = Field(
        15.0, description="Above every pause seen on servers at work; far below what a client waits for."
    )
    not_beating_seconds: Positive = Field(
        15.0, description="The loop notes its clocks every second; compilation and graph capture block it for some."
    )
    not_beating_critical_seconds: Positive = Field(
        60.0, description="Longer than a graph capture or an unchunked prefill of a long prompt."
    )
    paused_seconds: Positive = Field(35.0, description="As a stall: before it, gauges may be left over.")
    paused_critical_seconds: Positive = Field(300.0, description="A weight update takes minutes at most.")
    rank_stalled_seconds: Positive = Field(35.0, description="As a stall.")
    idle_ratio: Share = Field(0.9, description="The rest is health probes and the loop itself.")
    queue_wait_seconds: Positive = Field(0.5, description="A shorter mean wait in the queue is nobody's trouble.")
    queue_wait_ratio: Share = Field(
        0.5, description="Of the time to first token: below it the prefill is what takes long, not the queue."
    )
    short_wait_seconds: Positive = Field(
        0.1, description="A fast model's queue: a shorter wait is not felt, and may be a decode step's."
    )
    short_wait_ratio: Share = Field(
        0.9,
        # The wait in an M/D/1 queue, beside a service of fixed length.
        description="Of the time to first token: random arrivals at 95 % of what it can prefill. Seen: 0.02 to 0.06 at "
        "ease, 0.97 and more overloaded.",
    )
    kv_usage_ratio: Share = Field(0.9, description="On both pages: one long prompt fills the pool for a moment.")
    kv_pressure_ratio: Share = Field(
        0.8, description="From it on a queue is put down to KV space: admission keeps a reserve for running requests."
    )
    cache_thrashing_ratio: Share = Field(
        0.5, description="Of the life's hit rate: less is another traffic's, not noise."
    )
    cache_thrashing_tokens: Number = Field(
        10_000, description="Prompt tokens that make an interval's hit rate a figure."
    )
    gauge_frozen_seconds: Positive = Field(
        60.0, description="Forty decode steps, SGLang's log interval, take some seconds even on a slow model."
    )
    server_errors_ratio: Share = Field(0.05, description="5xx of all responses: one in twenty is felt by callers.")
    server_errors_at_least: Number = Field(3, description="One or two among few responses are an accident.")
    restarts_at_least: Number = Field(3, description="Of the last five scrapes: an upgrade restarts a server once.")
    transfers_failed_ratio: Share = Field(
        0.05,
        description="Of finished requests; below it failures may be clients that left in the middle of a transfer.",
    )
    imbalance_ratio: Positive = Field(
        1.5, description="The busiest rank's requests over the mean: round robin stays well below it."
    )
    imbalance_requests: Number = Field(8, description="More than the mean by: few requests fall unevenly by chance.")
    first_token_seconds: Positive = Field(5.0, description="p95: about as long as somebody at a screen waits.")
    token_seconds: Positive = Field(0.2, description="p95 between tokens: five tokens a second is slower than reading.")
    latency_observations: Number = Field(20, description="Fewer have no 95th percentile.")
    slow_scrape_seconds: Positive = Field(1.0, description="A server at work took 20 to 50 ms, and 127 ms once.")


DEFAULT = Thresholds()
