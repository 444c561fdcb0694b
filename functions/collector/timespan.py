"""The times that a caller writes: moments, steps, and the rows' times between two moments. All are ms since 1970."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

EPOCH = datetime.fromtimestamp(0, UTC)
LATEST_MS = 4_102_444_800_000  # the year 2100
UNIT_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
STEP_SECONDS_AT_MOST = 86_400
STEPS_AT_MOST = 100_000
TIMES = "`2026-11-24T03:00:00Z`, seconds since 1970, `-6h`, or `now`"

_relative = re.compile(r"(?:now)?-([0-9]{1,9})([smhdw])").fullmatch
_seconds = re.compile(r"[0-9]{1,12}(?:\.[0-9]{1,9})?").fullmatch
_iso = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})(?:[T ]([0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,6})?)?)"
    r"(Z|[ +-][0-9]{2}:?[0-9]{2})?)?"
).fullmatch
_duration = re.compile(r"([0-9]{1,7})([smhd]?)").fullmatch


def read_moment(text: str, now_ms: int) -> int:
    """A time as ISO 8601 (UTC where it does not say), in seconds since 1970, or before now. Raises ValueError."""
    if text == "now":
        moment = now_ms
    elif found := _relative(text):
        moment = now_ms - 1000 * int(found[1]) * UNIT_SECONDS[found[2]]
    elif _seconds(text):
        moment = round(1000 * float(text))
    else:
        moment = _read_iso(text)
    if not 0 <= moment < LATEST_MS:
        raise ValueError(f"{text!r} is not between 1970 and 2100; a bare number is in seconds")
    return moment


def _read_iso(text: str) -> int:
    found = _iso(text)
    if not found:
        raise ValueError(f"{text!r} is no time: {TIMES}")
    day, clock, zone = found.groups()
    # In a query string a plus that nobody encoded is a blank.
    zone = (zone or "Z").replace(" ", "+")
    try:
        moment = datetime.fromisoformat(f"{day}T{clock or '00:00'}{zone}")
    except ValueError as exc:
        raise ValueError(f"{text!r} is no time: {exc}") from None
    return (moment - EPOCH) // timedelta(milliseconds=1)


def read_step(text: str) -> int:
    """A step as `60s`, `5m`, `1h`, `1d` or bare seconds. Raises ValueError."""
    found = _duration(text)
    if not found:
        raise ValueError(f"{text!r} is no step: `60s`, `5m`, `1h`")
    seconds = int(found[1]) * UNIT_SECONDS[found[2] or "s"]
    if not 1 <= seconds <= STEP_SECONDS_AT_MOST:
        raise ValueError(f"{text!r} is not between 1 second and 1 day")
    return 1000 * seconds


@dataclass(frozen=True)
class Span:
    """From a moment to another, both included; with a step, cut into rows that end at certain times."""

    start_ms: int
    end_ms: int
    step_ms: int | None = None

    @property
    def steps(self) -> int:
        return -(-(self.end_ms - self.start_ms) // self.step_ms) if self.step_ms else 0

    def ends(self, after_ms: int) -> Iterator[int]:
        """The ends of the steps after one of them, or after the start; the last may be shorter than the others."""
        assert self.step_ms
        end_ms = after_ms - (after_ms - self.start_ms) % self.step_ms
        while max(end_ms, after_ms) < self.end_ms:
            end_ms = min(end_ms + self.step_ms, self.end_ms)
            yield end_ms


def iso(moment_ms: int) -> str:
    moment = EPOCH + timedelta(milliseconds=moment_ms)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def next_second_ms(now_seconds: float) -> int:
    """What was scraped just now is before it."""
    return (int(now_seconds) + 1) * 1000
