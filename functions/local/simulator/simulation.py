"""The simulated server's clock: traffic and ranks brought up to now whenever somebody asks for the page."""

import threading
import time
from collections.abc import Callable
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from local.simulator.page import Page
from local.simulator.rank import Rank
from local.simulator.traffic import Traffic

RANKS = 2
WARM_SECONDS = 220.0
RESTARTED_SECONDS = 20.0
FIRST_PROCESS_ID, PROCESS_IDS_PER_LIFE = 4711, 1000
LONGEST_CATCH_UP_SECONDS = 600.0


class Simulation:
    """A server that has been up for `WARM_SECONDS` when it is made. The same seed and times give the same pages.

    Nothing happens between two questions; each brings everything up to now. A silence longer than
    `LONGEST_CATCH_UP_SECONDS` is not made up for: it is as if the machine had slept.
    """

    def __init__(self, seed: int = 1, clock: Callable[[], float] = time.monotonic, ranks: int = RANKS) -> None:
        self.pages = 0
        """How many were asked for, over all lives."""
        self.lives = 0
        self._lock = threading.Lock()
        self._clock = clock
        self._seed, self._rank_count = seed, ranks
        self._truth: dict[str, Any] = {}
        self._begin(WARM_SECONDS)

    def restart(self) -> None:
        """Go on as a new process that came up `RESTARTED_SECONDS` ago: other pids, and every counter from zero."""
        with self._lock:
            self._begin(RESTARTED_SECONDS)

    def page(self, accept: str = "") -> tuple[bytes, str]:
        """The page as it is now, and its content type, which is negotiated as a real server does."""
        encode, content_type = choose_encoder(accept)
        with self._lock:
            self._catch_up()
            self._page.scrapes += 1
            self.pages += 1
            self._truth = self._count()
            return encode(self._registry), content_type

    def truth(self) -> dict[str, Any]:
        """What was so when the last page was made, counted from the requests themselves."""
        with self._lock:
            return self._truth

    def _begin(self, up_seconds: float) -> None:
        first_process_id = FIRST_PROCESS_ID + PROCESS_IDS_PER_LIFE * self.lives
        self.lives += 1
        self._asked_at = self._clock()
        self._now = up_seconds
        self._traffic = Traffic(self._seed)
        self._ranks = [Rank(number, self._seed, first_process_id + number) for number in range(self._rank_count)]
        self._page = Page(self._ranks)
        self._registry = CollectorRegistry()
        self._registry.register(self._page)

    def _catch_up(self) -> None:
        asked_at = self._clock()
        self._now += min(asked_at - self._asked_at, LONGEST_CATCH_UP_SECONDS)
        self._asked_at = asked_at
        for request in self._traffic.until(self._now):
            # A conversation stays with its rank, as behind a router that knows the prefix caches.
            self._ranks[request.session % self._rank_count].accept(request)
        for rank in self._ranks:
            rank.advance(self._now)

    def _count(self) -> dict[str, Any]:
        ranks = [
            {
                "dp_rank": rank.number,
                "running": len(rank.running),
                "waiting": len(rank.waiting),
                "kv_used_tokens": rank.cache.used,
            }
            for rank in self._ranks
        ]
        return {
            "ranks": ranks,
            "running": sum(rank["running"] for rank in ranks),
            "waiting": sum(rank["waiting"] for rank in ranks),
            "ended_total": sum(sum(rank.tally.finished.values()) for rank in self._ranks),
            "aborted_total": sum(rank.tally.aborted for rank in self._ranks),
        }
