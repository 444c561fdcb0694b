"""What one rank has done since it began: counters and histograms, in the units of SGLang's page."""

from bisect import bisect_left
from collections import Counter

TIME_TO_FIRST_TOKEN_SECONDS = (0.1, 0.2, 0.4, 0.6, 0.8, 1, 2, 4, 6, 8, 10, 20, 40, 60, 80, 100, 200, 400)
REQUEST_SECONDS = (*TIME_TO_FIRST_TOKEN_SECONDS, 600, 1200, 1800, 2400)
INTER_TOKEN_SECONDS = (
    *(0.002, 0.004, 0.006, 0.008, 0.01, 0.015, 0.02, 0.025, 0.03, 0.035, 0.04, 0.06, 0.08),
    *(0.1, 0.2, 0.4, 0.6, 0.8, 1, 2, 4, 6, 8),
)
QUEUE_SECONDS = (
    *(0, 0.001, 0.005, 0.01, 0.05, 0.1, 0.2, 0.5, 1, 2, 3, 4, 5, 10, 15, 20),
    *range(30, 100, 10),
    *range(100, 1000, 100),
    *(1000, 1200, 1400, 1600, 1800, 2000, 2500, 3000),
)
STAGE_SECONDS = tuple(0.001 * 1.62**n for n in range(30))
EVICTION_SECONDS = (*(n / 1000 for n in range(1, 10)), 0.01, 0.02, 0.03, 0.04, 0.05, 0.1, 0.2, 0.5, 1)
LENGTH_TOKENS = (
    *(100, 300, 500, 700, 1000, 1500, 2000),
    *range(3000, 10_000, 1000),
    *range(10_000, 30_000, 2500),
    *(
        30_000,
        35_000,
        40_000,
        60_000,
        80_000,
        100_000,
        200_000,
        300_000,
        400_000,
        600_000,
        800_000,
        1_000_000,
        1_100_000,
    ),
)


class Histogram:
    """Observations in buckets that end at `bounds`, and one more for everything above the last."""

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    @property
    def count(self) -> int:
        return sum(self.counts)

    def observe(self, value: float, times: int = 1) -> None:
        self.counts[bisect_left(self.bounds, value)] += times
        self.sum += value * times

    def __add__(self, other: "Histogram") -> "Histogram":
        total = Histogram(self.bounds)
        total.counts = [mine + theirs for mine, theirs in zip(self.counts, other.counts, strict=True)]
        total.sum = self.sum + other.sum
        return total


class Tally:
    """Counters begin at zero and only rise. What is keyed by a bool is keyed by `is_streaming`."""

    def __init__(self) -> None:
        self.http_requests: Counter[str] = Counter()
        self.http_responses: Counter[tuple[str, int]] = Counter()
        self.aborted = 0

        self.finished: Counter[bool] = Counter()
        self.prompt_tokens: Counter[bool] = Counter()
        self.generated_tokens: Counter[bool] = Counter()
        self.cached_tokens = 0
        self.first_token = {streaming: Histogram(TIME_TO_FIRST_TOKEN_SECONDS) for streaming in (False, True)}
        self.duration = {streaming: Histogram(REQUEST_SECONDS) for streaming in (False, True)}
        self.per_output_token = {streaming: Histogram(INTER_TOKEN_SECONDS) for streaming in (False, True)}
        self.inter_token = Histogram(INTER_TOKEN_SECONDS)
        self.prompt_length = Histogram(LENGTH_TOKENS)
        self.uncached_length = Histogram(LENGTH_TOKENS)
        self.generated_length = Histogram(LENGTH_TOKENS)

        self.computed_prefill_tokens = 0
        self.cached_prefill_tokens = 0
        self.decoded_tokens = 0
        self.prefill_passes = 0
        self.decode_passes = 0
        self.idle_seconds = 0.0
        self.queued = Histogram(QUEUE_SECONDS)
        self.request_process = Histogram(STAGE_SECONDS)
        self.prefill_forward = Histogram(STAGE_SECONDS)
        self.evictions = Histogram(EVICTION_SECONDS)
