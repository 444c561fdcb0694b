"""A server's page as it goes on after it was recorded: some more requests, or years of them."""

import math
import random
import re
from collections import defaultdict
from collections.abc import Sequence

from collector.lines import Lines, has_number

# They count requests. All else on a page is taken to rise with them, by as much as it did until it was recorded.
REQUESTS = ("sglang:num_requests_total", "sglang_num_requests_total", "vllm:request_success_total", "tgi_request_count")
# Gauges with these in their names are of the start.
STILL = ("startup", "memory_usage", "max_", "_info", "_created", "start_time", "context_len", "_size", "num_pages")
WITH_BOUND = re.compile(r'(,?)le="[^"]*"')
MANY = 30.0


class Life:
    """A page, `page`, that requests move: counters, histograms, and gauges up and down.

    What was recorded as 0 stays: it is of features that are not in use. If it is `wide`, latencies and lengths spread
    over all buckets; if not, they are as they were.
    """

    def __init__(self, page: bytes, wide: bool = False, seed: int = 1982) -> None:
        self._rng = random.Random(seed)
        self._lines = Lines.of(page)
        self._recorded = list(self._lines.values)
        self._values = list(self._lines.values)
        heads = self._lines.heads.lines
        kinds = dict(line.split()[2:4] for line in heads if line.startswith("# TYPE "))
        series = [line.rstrip() for line in heads if has_number(line)]
        self.requests = sum(
            value for one, value in zip(series, self._recorded, strict=True) if one.startswith(REQUESTS)
        )
        self._counters: list[int] = []
        self._gauges: list[int] = []
        histograms: defaultdict[str, _Histogram] = defaultdict(_Histogram)
        for place, one in enumerate(series):
            name = one.partition("{")[0]
            if kinds.get(name.removesuffix("_bucket")) == "histogram":
                histograms[WITH_BOUND.sub("", one).replace("_bucket", "", 1).replace("{,", "{")].buckets.append(place)
            elif kinds.get(name.removesuffix("_count")) == "histogram":
                histograms[one.replace("_count", "", 1)].count = place
            elif kinds.get(name.removesuffix("_sum")) == "histogram":
                histograms[one.replace("_sum", "", 1)].sum = place
            elif kinds.get(name) == "counter":
                self._counters.append(place)
            elif not any(word in name for word in STILL):
                self._gauges.append(place)
        self._histograms = [one for one in histograms.values() if one.buckets]
        for histogram in self._histograms:
            histogram.share_out(self._recorded, self._rng if wide else None)

    @property
    def page(self) -> bytes:
        odd = {place: text for place, text in self._lines.odd.items() if self._values[place] == 0}
        return Lines(self._lines.heads, self._values, odd, self._lines.bare, self._lines.ends).page()

    def serve(self, requests: float) -> None:
        """So many more have come and gone."""
        times = requests / self.requests
        for place in self._counters:
            self._values[place] += self._rise(self._recorded[place], times)
        for place in self._gauges:
            self._values[place] = self._swing(self._recorded[place])
        for histogram in self._histograms:
            self._observe(histogram, times)

    def _observe(self, histogram: "_Histogram", times: float) -> None:
        values = self._values
        so_far = 0
        expected = self._recorded[histogram.count] * times
        for place, share in zip(histogram.buckets, histogram.shares, strict=True):
            so_far += self._drawn(expected * share)
            values[place] += so_far
        values[histogram.count] += so_far
        if histogram.sum is not None and so_far:
            mean = self._recorded[histogram.sum] / self._recorded[histogram.count]
            risen = mean * so_far * self._rng.uniform(0.9, 1.1)
            values[histogram.sum] += round(risen) if self._recorded[histogram.sum].is_integer() else risen

    def _rise(self, recorded: float, times: float) -> float:
        if not math.isfinite(recorded):
            return 0.0
        if recorded.is_integer():
            return self._drawn(recorded * times)
        return recorded * times * self._rng.uniform(0.9, 1.1)

    def _swing(self, recorded: float) -> float:
        if recorded in (0, 1) or not math.isfinite(recorded):
            return recorded
        if recorded.is_integer():
            return float(self._rng.randint(0, 2 * int(abs(recorded))))
        return recorded * self._rng.uniform(0.2, 2)

    def _drawn(self, expected: float) -> int:
        """How many come where so many are expected: Poisson's distribution, or what is like it where they are many."""
        if expected > MANY:
            return max(0, round(self._rng.gauss(expected, math.sqrt(expected))))
        number, product, floor = 0, self._rng.random(), math.exp(-expected)
        while product > floor:
            number += 1
            product *= self._rng.random()
        return number


class _Histogram:
    """Where its series are among a page's numbers, and the share of each bucket in what it observes."""

    def __init__(self) -> None:
        self.buckets: list[int] = []
        self.count = 0
        self.sum: int | None = None
        self.shares: Sequence[float] = ()

    def share_out(self, recorded: Sequence[float], rng: random.Random | None) -> None:
        counts = [recorded[place] for place in self.buckets]
        if rng:
            centre, width = rng.uniform(0.3, 0.7) * len(counts), len(counts) / 4
            weights = [math.exp(-(((at - centre) / width) ** 2) / 2) for at in range(len(counts))]
        else:
            weights = [count - before for count, before in zip(counts, [0.0, *counts], strict=False)]
        self.shares = [weight / (sum(weights) or 1) for weight in weights]


def matured(page: bytes, times: float) -> Life:
    """A server that has served so many times the requests, whose latencies and lengths have hit every bucket."""
    life = Life(page, wide=True)
    life.serve(times * life.requests)
    return life


def widened(page: bytes, ranks: int) -> bytes:
    """A page on which rank 0's series are those of so many data-parallel ranks; other ranks' are left out.

    As servers write them: a family rank by rank.
    """
    lines: list[bytes] = []
    of_rank_0: list[bytes] = []
    for line in [*page.split(b"\n"), b"# end"]:
        if line.startswith(b"#") or b'tp_rank="' not in line:
            lines += (_of_rank(own, rank) for rank in range(ranks) for own in of_rank_0)
            of_rank_0 = []
            lines.append(line)
        elif b'tp_rank="0"' in line:
            of_rank_0.append(line)
    return b"\n".join(lines[:-1])


def _of_rank(line: bytes, rank: int) -> bytes:
    own = line.replace(b'dp_rank="0",', b"").replace(b'tp_rank="0"', b'tp_rank="%d"' % rank)
    return own.replace(b"{", b'{dp_rank="%d",' % rank, 1)
