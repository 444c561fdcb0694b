"""What came of one target: a snapshot, or the reason why there is none."""

from dataclasses import dataclass
from datetime import datetime

from collector.backoff import NO_FAILURES, State
from collector.codec import Anchor
from collector.errors import CollectorError
from collector.exposition import Exposition
from collector.lines import Lines
from collector.snapshot import Snapshot
from collector.targets import Target
from collector.verdict import NO_MEMORY, Health, Memory

EMPTY_PAGE = "empty_page"  # legal: a fresh server through 0.5.2 answers 200 with nothing


@dataclass(frozen=True, slots=True)
class Outcome:
    """Success and failure alike.

    A good one has its page, as `lines` too, the anchor that those may be told from, and the slot it was compared with.
    A registered server's snapshot has what its verdict and headlines rest on: the rest is read from the page.
    """

    target: Target
    asked_at: datetime
    snapshot: Snapshot | None = None
    exposition: Exposition | None = None
    page: bytes = b""
    lines: Lines | None = None
    anchor: Anchor | None = None
    before_slot_ms: int = 0
    error: CollectorError | None = None
    state: State = NO_FAILURES
    health: Health | None = None
    memory: Memory = NO_MEMORY

    @property
    def code(self) -> str | None:
        """For programs: the error's, or `empty_page` beside a snapshot in which nothing could be said."""
        if self.error is not None:
            return self.error.code
        return None if self.exposition is None or self.exposition.samples else EMPTY_PAGE


@dataclass(frozen=True, slots=True)
class Unfinished:
    """No outcome, and nothing is kept: what prevented it is ours, not the target's. It has to be asked for again."""

    target: Target
    reason: Exception


class OutOfTimeError(Exception):
    """The time of the whole collection did not suffice for this target."""
