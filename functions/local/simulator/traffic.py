"""Made-up traffic: people talk to a few applications, in several turns, faster at some times than at others."""

import heapq
import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from random import Random

SYSTEM_PROMPT_TOKENS = (420, 760, 1180, 1900)
ROUTES = ("/v1/chat/completions", "/generate", "/v1/completions")
ROUTE_WEIGHTS = (60, 25, 15)

SESSIONS_PER_SECOND = 1.4
TIDE_SECONDS = 97.0
SURGE_EVERY_SECONDS, SURGE_SECONDS, SURGE_FACTOR = 71.0, 8.0, 2.2
BUSIEST_FACTOR = 1.25 * SURGE_FACTOR

REJECTED_SHARE = 0.015
ABANDONED_SHARE = 0.03
DOCUMENT_SHARE = 0.15
LONGEST_PROMPT_TOKENS = 8000


@dataclass(slots=True)
class Request:
    """One HTTP request for a generation, as its client means it. Times are seconds since the traffic began."""

    number: int
    arrived: float
    route: str
    streaming: bool
    application: int
    session: int
    prompt_tokens: int
    output_tokens: int
    rejected: bool = False
    leaves: float = math.inf

    # What the scheduler makes of it.
    cached_tokens: int = field(default=0, init=False)
    first_token: float = field(default=math.inf, init=False)
    last_pass: int = field(default=0, init=False)
    ended: bool = field(default=False, init=False)

    @property
    def system_prompt_tokens(self) -> int:
        return SYSTEM_PROMPT_TOKENS[self.application]


@dataclass(frozen=True, slots=True)
class Session:
    number: int
    application: int
    turns_left: int
    context_tokens: int = 0
    """What has been said before, beyond the application's system prompt."""


class Traffic:
    """The requests in the order they arrive; the same for the same seed, however often it is asked."""

    def __init__(self, seed: int) -> None:
        self._random = Random(seed)  # noqa: S311 - a simulation, not a secret
        self._turns: list[tuple[float, int, Session]] = []
        self._sessions = self._requests = 0
        self._next_session = self._after(0.0)

    def until(self, now: float) -> Iterator[Request]:
        """The requests that arrive up to `now` and have not been given out before."""
        while True:
            if self._turns and self._turns[0][0] <= self._next_session:
                if self._turns[0][0] > now:
                    return
                arrived, _, session = heapq.heappop(self._turns)
                yield self._take_turn(arrived, session)
            else:
                if self._next_session > now:
                    return
                heapq.heappush(self._turns, (self._next_session, self._sessions, self._new_session()))
                self._next_session = self._after(self._next_session)

    def _after(self, now: float) -> float:
        """When the next session begins: a Poisson process whose rate has a tide and surges."""
        while True:
            now += self._random.expovariate(SESSIONS_PER_SECOND * BUSIEST_FACTOR)
            tide = 0.75 + 0.5 * math.sin(2 * math.pi * now / TIDE_SECONDS)
            surge = SURGE_FACTOR if now % SURGE_EVERY_SECONDS > SURGE_EVERY_SECONDS - SURGE_SECONDS else 1.0
            if self._random.random() * BUSIEST_FACTOR < tide * surge:
                return now

    def _new_session(self) -> Session:
        self._sessions += 1
        application = self._random.randrange(len(SYSTEM_PROMPT_TOKENS))
        turns = 1 + min(int(self._random.expovariate(0.6)), 7)
        document_tokens = self._random.randrange(800, 4000) if self._random.random() < DOCUMENT_SHARE else 0
        return Session(self._sessions, application, turns, document_tokens)

    def _take_turn(self, arrived: float, session: Session) -> Request:
        random = self._random
        said_tokens = 8 + int(random.expovariate(1 / 120))
        output_tokens = min(max(int(random.lognormvariate(math.log(150), 0.6)), 8), 900)
        request = Request(
            number=self._requests,
            arrived=arrived,
            route=random.choices(ROUTES, ROUTE_WEIGHTS)[0],
            streaming=random.random() < 0.65,
            application=session.application,
            session=session.number,
            prompt_tokens=SYSTEM_PROMPT_TOKENS[session.application] + session.context_tokens + said_tokens,
            output_tokens=output_tokens,
            rejected=random.random() < REJECTED_SHARE,
            leaves=arrived + random.expovariate(0.8) if random.random() < ABANDONED_SHARE else math.inf,
        )
        self._requests += 1
        said_before = session.context_tokens + said_tokens + output_tokens
        if (
            session.turns_left > 1
            and said_before < LONGEST_PROMPT_TOKENS - SYSTEM_PROMPT_TOKENS[session.application] - 1000
        ):
            thinks_seconds = output_tokens * 0.02 + 1 + random.expovariate(1 / 8)
            later = replace(session, turns_left=session.turns_left - 1, context_tokens=said_before)
            heapq.heappush(self._turns, (arrived + thinks_seconds, session.number, later))
        return request
