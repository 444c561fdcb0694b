"""One data-parallel rank's scheduler: it prefills what waits and fits, else decodes one token for all that run."""

import heapq
import math
from collections import deque
from random import Random

from local.simulator.prefix_cache import PrefixCache
from local.simulator.tally import Tally
from local.simulator.traffic import Request

KV_CAPACITY_TOKENS = 65_536
MAX_RUNNING_REQUESTS = 16
PREFILL_BATCH_TOKENS = 8192
PREFILL_SECONDS, PREFILL_TOKENS_PER_SECOND = 0.035, 4000
DECODE_SECONDS, DECODE_SECONDS_PER_REQUEST = 0.016, 0.0007
THROUGHPUT_OVER_PASSES = 40


class Rank:
    """The rank at `now`, in seconds since its server began.

    Work is done in whole steps, so what the rank has done by a time does not depend on how often it is asked.
    """

    def __init__(self, number: int, seed: int, process_id: int) -> None:
        self.number = number
        self.process_id = process_id
        self.now = 0.0
        self.waiting: deque[Request] = deque()
        self.running: list[Request] = []
        self.cache = PrefixCache(KV_CAPACITY_TOKENS)
        self.tally = Tally()
        self.throughput_tokens_per_second = 0.0
        self.last_batch_hit_ratio = 0.0
        self._random = Random(f"{seed}:{number}")  # noqa: S311 - a simulation, not a secret
        self._prefilling: list[Request] = []
        self._step_began = 0.0
        self._step_ends: float | None = None  # None: nothing runs, since `_step_began`
        self._last_decode = 0.0
        self._interrupted = False  # by a prefill since the last decode
        self._reserved_tokens = 0
        self._ends: list[tuple[int, int, Request]] = []
        self._leaves: list[tuple[float, int, Request]] = []
        self._measured_from = (0.0, 0)

    @property
    def idle_seconds(self) -> float:
        return self.tally.idle_seconds + (self.now - self._step_began if self._step_ends is None else 0.0)

    @property
    def sequence_tokens(self) -> int:
        """The lengths of all running sequences together."""
        return sum(request.prompt_tokens + self.generated(request) for request in self.running)

    def generated(self, request: Request) -> int:
        """Tokens that a running request has so far."""
        if request.first_token > self.now:
            return 0
        return request.output_tokens - (request.last_pass - self.tally.decode_passes)

    def accept(self, request: Request) -> None:
        """Requests come in the order in which they arrive, each before the rank advances past its arrival."""
        self.tally.http_requests[request.route] += 1
        if request.rejected:
            self.tally.http_responses[request.route, 400] += 1
            return
        self.tally.request_process.observe(0.0001)
        self.waiting.append(request)
        if request.leaves < math.inf:
            heapq.heappush(self._leaves, (request.leaves, request.number, request))

    def advance(self, now: float) -> None:
        """Take every step that ends by `now`, and begin the one after."""
        self.now = now
        while True:
            if self._step_ends is None:
                if not self.waiting:
                    return
                began = max(self._step_began, self.waiting[0].arrived)
                self.tally.idle_seconds += began - self._step_began
            elif self._step_ends <= now:
                began = self._step_ends
                self._end_step(began)
            else:
                return
            self._begin_step(began)

    def _begin_step(self, now: float) -> None:
        self._step_began = now
        self._let_go(now)
        self._prefilling = self._admit(now)
        if self._prefilling:
            tokens = sum(request.prompt_tokens - request.cached_tokens for request in self._prefilling)
            self._step_ends = now + PREFILL_SECONDS + tokens / PREFILL_TOKENS_PER_SECOND
        elif self.running:
            seconds = DECODE_SECONDS + DECODE_SECONDS_PER_REQUEST * len(self.running)
            self._step_ends = now + seconds * self._random.uniform(0.96, 1.08)
        else:
            self._step_ends = None
            self.throughput_tokens_per_second = 0.0
            self._measured_from = (math.nan, 0)

    def _end_step(self, now: float) -> None:
        if self._prefilling:
            self._end_prefill(now)
        else:
            self._end_decode(now)
        while self._ends and self._ends[0][0] <= self.tally.decode_passes:
            request = heapq.heappop(self._ends)[2]
            if not request.ended:
                self._end(request, now)
                seconds_per_token = (now - request.first_token) / (request.output_tokens - 1)
                self.tally.per_output_token[request.streaming].observe(seconds_per_token)

    def _admit(self, now: float) -> list[Request]:
        """The waiting requests that fit, first come first served: their cached prefixes locked, their room reserved."""
        batch: list[Request] = []
        computed = cached = 0
        while self.waiting and self.waiting[0].arrived <= now and len(self.running) < MAX_RUNNING_REQUESTS:
            request = self.waiting[0]
            request.cached_tokens = self.cache.lock(request)
            to_compute = request.prompt_tokens - request.cached_tokens
            room = self.cache.available + self.cache.evictable - self._reserved_tokens
            if to_compute + request.output_tokens > room or (batch and computed + to_compute > PREFILL_BATCH_TOKENS):
                self.cache.unlock(request)
                break
            self.waiting.popleft()
            self.running.append(request)
            batch.append(request)
            self._hold(to_compute)
            self._reserved_tokens += request.output_tokens
            computed += to_compute
            cached += request.cached_tokens
            self.tally.queued.observe(now - request.arrived)
        if batch:
            self.tally.prefill_passes += 1
            self.tally.computed_prefill_tokens += computed
            self.tally.cached_prefill_tokens += cached
            self.last_batch_hit_ratio = cached / (cached + computed)
        return batch

    def _hold(self, tokens: int) -> None:
        if evicted := self.cache.make_room(tokens):
            self.tally.evictions.observe(0.0004 + evicted * 4e-7)
        self.cache.held += tokens

    def _generate(self, tokens: int) -> None:
        self._hold(tokens)
        self._reserved_tokens -= tokens

    def _end_prefill(self, now: float) -> None:
        """A prefill yields each of its requests the first token."""
        self._generate(len(self._prefilling))
        self._interrupted = True
        for request in self._prefilling:
            request.first_token = now
            request.last_pass = self.tally.decode_passes + request.output_tokens - 1
            heapq.heappush(self._ends, (request.last_pass, request.number, request))
            self.tally.prefill_forward.observe(now - self._step_began)
            if request.streaming:
                self.tally.first_token[True].observe(now - request.arrived)

    def _end_decode(self, now: float) -> None:
        self._generate(len(self.running))
        self.tally.decode_passes += 1
        self.tally.decoded_tokens += len(self.running)
        streams = [request for request in self.running if request.streaming]
        if self._interrupted:
            for request in streams:
                self.tally.inter_token.observe(now - max(self._last_decode, request.first_token))
        else:
            self.tally.inter_token.observe(now - self._last_decode, len(streams))
        self._interrupted = False
        self._last_decode = now
        self._measure_throughput(now)

    def _measure_throughput(self, now: float) -> None:
        """Every so many passes, as SGLang does, so the figure is always a little old."""
        since, tokens = self._measured_from
        if math.isnan(since):
            self._measured_from = (now, self.tally.decoded_tokens)
        elif self.tally.decode_passes % THROUGHPUT_OVER_PASSES == 0:
            self.throughput_tokens_per_second = (self.tally.decoded_tokens - tokens) / (now - since)
            self._measured_from = (now, self.tally.decoded_tokens)

    def _let_go(self, now: float) -> None:
        """Clients that have left: a request that still waits is forgotten, one that runs ends with what it has."""
        while self._leaves and self._leaves[0][0] <= now:
            request = heapq.heappop(self._leaves)[2]
            if request.ended:
                continue
            self.tally.aborted += 1
            if request in self.running:
                self._end(request, now)
            else:
                self.waiting.remove(request)
                self._answer(request)

    def _end(self, request: Request, now: float) -> None:
        generated = self.generated(request)
        self.running.remove(request)
        self._reserved_tokens -= request.output_tokens - generated
        self.cache.held -= request.prompt_tokens - request.cached_tokens + generated
        self.cache.keep(request, request.prompt_tokens + generated)

        tally, streaming = self.tally, request.streaming
        tally.finished[streaming] += 1
        tally.prompt_tokens[streaming] += request.prompt_tokens
        tally.generated_tokens[streaming] += generated
        tally.cached_tokens += request.cached_tokens
        tally.duration[streaming].observe(now - request.arrived)
        if not streaming:  # its client sees the first token with the last
            tally.first_token[False].observe(request.first_token - request.arrived)
        tally.prompt_length.observe(request.prompt_tokens)
        tally.uncached_length.observe(request.prompt_tokens - request.cached_tokens)
        tally.generated_length.observe(generated)
        self._answer(request)

    def _answer(self, request: Request) -> None:
        request.ended = True
        self.tally.http_responses[request.route, 200] += 1
