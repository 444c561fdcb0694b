"""What happened between two scrapes of a server: amounts and rates of that time alone."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from pydantic import Field

from collector.sections import Count, Distribution, Model, Number


class Interval(Model):
    """From one good scrape to the next. None: it cannot be said, or the server does not say it."""

    since: datetime = Field(description="When the page before was asked for.")
    seconds: float
    restarted: bool = Field(False, description="The server began anew in between; it is counted from there.")
    requests_finished: Count = Field(None, description="Aborted ones included.")
    requests_aborted: Count = Field(None, description="Abort calls, mostly clients that left.")
    prompt_tokens: Count = Field(None, description="Of finished requests, cached ones included.")
    cached_tokens: Count = None
    generated_tokens: Count = None
    generated_basis: Literal["live", "at_finish"] | None = Field(
        None, description="`live`: counted as they are computed; `at_finish`: when their request ends, so in bursts."
    )
    requests_finished_per_second: Number = None
    requests_aborted_per_second: Number = None
    prompt_tokens_per_second: Number = None
    cached_tokens_per_second: Number = None
    generated_tokens_per_second: Number = None
    cache_hit_rate: Number = Field(None, description="Cached over prompt tokens.")
    time_to_first_token: Distribution | None = Field(None, description="Seconds.")
    inter_token_latency: Distribution | None = Field(None, description="Seconds.")
    request_duration: Distribution | None = Field(None, description="Seconds, end to end.")
    queue_time: Distribution | None = Field(None, description="Seconds.")
    retracted: Count = Field(None, description="Requests pushed out of the running batch for want of KV space.")
    evicted_tokens: Count = None
    http_responses_by_class: dict[str, Count] | None = None
    kv_transfers_failed: Count = Field(None, description="Of prefill and decode servers: bootstraps and transfers.")
    notes: tuple[str, ...] = Field((), description="What could not be said, and why.")


@dataclass(frozen=True, slots=True)
class Moves:
    """What moved between two pages, beyond what an interval reports. None: the server has nothing of the kind."""

    in_flight: float | None
    """Requests running and waiting, in all queues, on the later page; and on the earlier."""
    in_flight_before: float | None
    waiting_before: float | None = None
    usage_before: float | None = None
    progress: bool | None = None
    """Any count of work done rose: tokens, requests, passes."""
    gauges: bool | None = None
    """Any gauge of the scheduler's changed: running, waiting, used tokens, throughput, …"""
    heartbeat: bool | None = None
    """The scheduler's loop went round: its clocks rose."""
    idle_ratio: float | None = None
    """The part of the time in which the scheduler had nothing to do."""
    ranks: tuple["RankMoves", ...] = ()
    evidence: str | None = None
    """Why the server must have restarted, if it did."""


@dataclass(frozen=True, slots=True)
class RankMoves:
    """The same for one data-parallel rank."""

    name: str
    running: float | None
    running_before: float | None
    progress: bool | None
