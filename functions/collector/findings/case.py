"""What the rules of health look at, and the words in which they say what they found.

A rule concludes only from what the server says. None is never above zero nor over a threshold, and a rule about what
stood still asks for `is False`: "the server has nothing of the kind" is None.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from collector.findings.hints import hint
from collector.interval import Interval, Moves
from collector.snapshot import Snapshot
from collector.thresholds import Thresholds
from collector.verdict import Finding, Severity

Evidence = Mapping[str, float | str | None]

# Their scheduler writes its gauges while it works and never when it is idle (before 0.4.3): the last ones may stay.
NO_IDLE_REFRESH = ("0.3.5.post2", "0.3.6.post3", "0.4.1.post7")


@dataclass(frozen=True, slots=True)
class Still:
    """Seconds since each was last seen to move; None: never seen. Of ranks only those that now stand still."""

    progress: float | None
    gauges: float | None
    heartbeat: float | None
    ranks: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Case:
    """What the rules look at. `moves` is None where the page before is another process's, or there is none."""

    now: Snapshot
    interval: Interval | None
    moves: Moves | None
    still: Still
    most_running: float
    restarts: tuple[bool, ...]
    why_restarted: str | None
    rules: Thresholds

    @property
    def running(self) -> int | None:
        return self.now.system_metrics.num_requests_running

    @property
    def waiting(self) -> int | None:
        return self.now.system_metrics.num_requests_waiting

    @property
    def queued(self) -> bool:
        """Requests waited on both pages."""
        return self.moves is not None and positive(self.waiting, self.moves.waiting_before)

    @property
    def busy(self) -> bool:
        """Requests were in flight on both pages, and not only by gauges that nobody refreshes."""
        if self.now.engine == "sglang" and self.now.version_range.at_least in NO_IDLE_REFRESH:
            return self.queued
        return self.moves is not None and positive(self.moves.in_flight, self.moves.in_flight_before)

    @property
    def without_heartbeat(self) -> bool:
        """The scheduler's loop stands still, or is one that has no clocks; not: its clocks are missing this time."""
        heartbeat = self.moves and self.moves.heartbeat
        return heartbeat is False or (heartbeat is None and self.still.heartbeat is None)

    def finding(self, code: str, severity: Severity, message: str, evidence: Evidence, cause: str = "") -> Finding:
        # A router has none of a server's flags.
        engine = "" if self.now.router else self.now.engine
        return found(code, severity, message, hint(code + cause, engine, self.now.version_range), evidence)

    def standstill(self) -> Evidence:
        """The evidence of all that is about nothing moving."""
        return {
            "seconds_without_progress": self.still.progress,
            "seconds_without_gauges": self.still.gauges if self.moves and self.moves.gauges is False else None,
            "seconds_without_heartbeat": self.still.heartbeat if self.moves and self.moves.heartbeat is False else None,
            "requests_in_flight": self.moves.in_flight if self.moves else None,
            "requests_in_flight_before": self.moves.in_flight_before if self.moves else None,
            "num_requests_running": self.running,
            "num_requests_waiting": self.waiting,
            "gen_throughput_tokens_per_second": self.now.system_metrics.gen_throughput_tokens_per_second,
        }


def found(code: str, severity: Severity, message: str, hint: str | None, evidence: Evidence) -> Finding:
    """A finding; evidence that the server does not say is left out."""
    known = {name: value for name, value in evidence.items() if value is not None}
    return Finding(code=code, severity=severity, message=message, evidence=known, hint=hint)


def positive(*values: float | None) -> bool:
    return all(value is not None and value > 0 for value in values)


def spoken(value: float | None) -> str:
    """A number as it reads: 1,850; 60; 0.73."""
    if value is None:
        return "an unknown number of"
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.3g}"
