"""How often a server that fails is asked: from the third failure in a row on, half as often with each one more.

Pure: from what the item before says and what came of this slot to what this slot's item says. Slots that are passed
over are outcomes too, and carry the state on; so it costs no write of its own.
"""

import zlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from collector.errors import BackedOffError
from collector.targets import Target

FAILURES_FORGIVEN = 2
PAUSE_SECONDS_AT_MOST = 600
# A scrape that takes more of its timeout is slow: it holds a thread that others wait for.
SLOW_RATIO = 0.5
# So much of a pause may be left out, that servers which failed together do not come back together.
JITTER_RATIO = 0.25


@dataclass(frozen=True, slots=True)
class State:
    failures: int = 0
    """Scrapes in a row that failed or were slow."""
    retry_at_ms: int = 0
    """Slots before it are passed over; ms since 1970, 0 when none is."""


NO_FAILURES = State()


def check(state: State, target: Target) -> None:
    """Let a slot through, or raise BackedOffError."""
    if target.slot_ms < state.retry_at_ms:
        again = datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=state.retry_at_ms)
        raise BackedOffError(
            f"not asked: it failed or was slow {state.failures} times in a row, and is tried again from "
            f"{again:%Y-%m-%dT%H:%M:%SZ} on"
        )


def after_scrape(state: State, target: Target, seconds: float | None) -> State:
    """The state after a scrape that took so many seconds, or failed (None). A good one ends all back-off at once."""
    if target.interval_seconds is None or (seconds is not None and seconds <= SLOW_RATIO * target.timeout_seconds):
        return NO_FAILURES
    failures = state.failures + 1
    return State(failures, target.slot_ms + _pause_ms(target, failures) if failures > FAILURES_FORGIVEN else 0)


def _pause_ms(target: Target, failures: int) -> int:
    """From a failed slot to the next that is asked: never under the interval, nor over what is allowed at most."""
    interval = target.interval_seconds or 0
    doublings = min(failures - FAILURES_FORGIVEN, 16)
    longest = min(interval << doublings, PAUSE_SECONDS_AT_MOST)
    share = zlib.crc32(f"{target.instance_id} {failures}".encode()) / 2**32
    return round(1000 * max(interval, longest * (1 - JITTER_RATIO * share)))
