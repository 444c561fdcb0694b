"""What a page is told from: lines, and the numbers that they had.

The counts of a histogram's buckets rise together, so what is told of a bucket is how much more it rose than the one
before.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, chain, compress, count, pairwise
from operator import sub
from typing import NamedTuple

from collector.lines import Heads, has_number
from collector.packing import encoded

UNIT_BYTES = 1024
# A page that is told from others is not larger. So it has no more lines, and none of its parts is longer.
PAGE_BYTES_AT_MOST = 1024 * 1024
LINES_AT_MOST = PAGE_BYTES_AT_MOST + 1
PART_BYTES_AT_MOST = 16 * PAGE_BYTES_AT_MOST
# Up to it floats tell each whole number, and each difference of differences.
WHOLE_AT_MOST = 2.0**51
EXAMPLE_BYTES = 2048
_ASKED = (
    "/freeze_gc POST,/metrics GET,/health GET,/health_generate GET,/v1/models GET,/v1/completions POST,"
    "/v1/chat/completions POST,/generate POST,/abort_request POST"
)
_LABELS = ['endpoint="{}",method="{}"'.format(*asked.split()) for asked in _ASKED.split(",")]
# What new lines are made of more often than not. It is part of the forms: another text, another form.
USUAL_TEXT = "\n".join(
    [
        'sglang:num_retracted_reqs{engine_type="unified",moe_ep_rank="0",pid="',
        'sglang:num_paused_reqs{engine_type="unified",moe_ep_rank="0",pid="',
        *(f"sglang:http_requests_active{{{labels}}} " for labels in _LABELS),
        *(f"sglang:http_requests_total{{{labels}}} " for labels in _LABELS),
        *(f'sglang:http_responses_total{{{labels},status_code="400"}} ' for labels in _LABELS),
        *(f'sglang:http_responses_total{{{labels},status_code="200"}} ' for labels in _LABELS),
    ]
).encode()


@dataclass(frozen=True)
class Frame:
    """What a page is told from: lines and numbers, and for each number whether it counts on from the one before."""

    heads: Heads
    values: Sequence[float]
    counts_on: Sequence[bool]

    @cached_property
    def numbers_before(self) -> Sequence[int]:
        """How many numbers stand before each line, and before the end."""
        return [0, *accumulate(map(has_number, self.heads.lines))]

    @cached_property
    def fractions(self) -> Sequence[int]:
        """The places of numbers that are not whole."""
        return fractions_of(self.values)

    @cached_property
    def whole(self) -> Sequence[float]:
        """The whole numbers, and 0 for each other."""
        return without(self.values, self.fractions)

    @cached_property
    def starts(self) -> Sequence[int]:
        """The places of numbers that do not count on from the one before, or cannot: either is not whole.

        Of lines that are new beside those that are shared, `counts_on` does not know.
        """
        fractions = {*self.fractions, *(place + 1 for place in self.fractions)}
        heads = [head for head in self.heads.lines if has_number(head)]
        return [
            place
            for place, counts_on in enumerate(self.counts_on)
            if place in fractions or not (counts_on or (place > 0 and _is_same(heads[place - 1], heads[place])))
        ]

    @cached_property
    def histograms(self) -> "Sequence[Histogram]":
        """Those that have observed anything."""
        steps = self.steps(self.whole)
        return [
            _histogram(first, steps[first:end])
            for first, end in pairwise([*self.starts, len(steps)])
            if end - first > 1 and self.whole[end - 1] > 0 <= min(steps[first:end])
        ]

    def steps(self, numbers: Sequence[float]) -> list[float]:
        """What each adds to the one that it counts on from."""
        before = [0.0, *numbers]
        for place in self.starts:
            before[place] = 0.0
        return list(map(sub, numbers, before))

    @cached_property
    def others(self) -> Sequence[int]:
        """The places of all numbers but buckets that have observed something: first of those at 0."""
        buckets = {place for histogram in self.histograms for place in histogram.places}
        places = [place for place in range(len(self.values)) if place not in buckets]
        moved = {*compress(count(), self.steps(self.values)), *(histogram.total for histogram in self.histograms)}
        return sorted(places, key=moved.__contains__)

    @cached_property
    def kinds(self) -> Sequence[Sequence[int]]:
        """Which of all histograms' buckets are of a kind."""
        kinds: dict[int, list[int]] = {}
        for bucket, kind in enumerate(chain.from_iterable(histogram.kinds for histogram in self.histograms)):
            kinds.setdefault(kind, []).append(bucket)
        return [kinds[kind] for kind in sorted(kinds)]

    @cached_property
    def ranks(self) -> Sequence[int]:
        """Where each bucket is among those, kind by kind."""
        buckets = list(chain.from_iterable(self.kinds))
        return sorted(range(len(buckets)), key=buckets.__getitem__)

    @cached_property
    def totals_of_empty(self) -> Mapping[int, int]:
        """Where the total is of each bucket that has observed nothing, of those histograms."""
        return {
            place: histogram.total
            for histogram in self.histograms
            for place in {*range(histogram.first, histogram.total)}.difference(histogram.places)
        }

    @cached_property
    def example(self) -> bytes:
        """Text that new lines will be much like."""
        return encoded("\n".join(self.heads.lines))[-EXAMPLE_BYTES:] + USUAL_TEXT

    def rearranged(self, runs: "Iterable[Run]", new: Sequence[str]) -> "Frame":
        """The same as another page has it: with zeros for what is new there."""
        lines: list[str] = []
        values: list[float] = []
        counts_on: list[bool] = []
        taken = 0
        for run in runs:
            before = new[taken : taken + run.new]
            taken += run.new
            numbers = sum(map(has_number, before))
            first, end = self.numbers_before[run.first], self.numbers_before[run.end]
            lines += [*before, *self.heads.lines[run.first : run.end]]
            values += [*[0.0] * numbers, *self.values[first:end]]
            counts_on += [*[False] * numbers, *self.counts_on[first:end]]
            if end > first:
                counts_on[first - end] = False
        return Frame(Heads(lines), values, counts_on)


NOTHING = Frame(Heads([]), [], [])


def _is_same(before: str, head: str) -> bool:
    """Whether both are buckets of a histogram, or its last and its count."""
    return "_bucket{" in before and ("_bucket{" in head or "_count" in head) and _series(before) == _series(head)


def _series(head: str) -> tuple[str, str]:
    """A family, and the labels but for `le`."""
    name, _, labels = head.rstrip(" }").partition("{")
    before, _, rest = labels.partition('le="')
    others = (before + rest.partition('"')[2].removeprefix(",")).removesuffix(",")
    return name.removesuffix("_bucket").removesuffix("_count"), others


class Histogram(NamedTuple):
    """From its first bucket to its total: the places of buckets that observed something.

    Beside each stand its share in what it and those behind it observed, and its kind: the digits of the variance that
    such a share has.
    """

    first: int
    total: int
    places: Sequence[int]
    shares: Sequence[float]
    kinds: Sequence[int]


def _histogram(first: int, steps: Sequence[float]) -> Histogram:
    left = sum(steps)
    places: list[int] = []
    shares: list[float] = []
    for place, step in enumerate(steps[:-1], first):
        if step:
            places.append(place)
            shares.append(step / left)
            left -= step
    kinds = [int(steps[place - first] * (1 - share)).bit_length() for place, share in zip(places, shares, strict=True)]
    return Histogram(first, first + len(steps) - 1, places, shares, kinds)


class Run(NamedTuple):
    """So many new lines, and then the frame's from `first` to before `end`."""

    new: int
    first: int
    end: int


def fractions_of(values: Sequence[float]) -> list[int]:
    """Of each page, all numbers: a call for each would take half as long again."""
    return [
        place
        for place, value in enumerate(values)
        if not (-WHOLE_AT_MOST <= value <= WHOLE_AT_MOST and value.is_integer())
    ]


def without(values: Sequence[float], places: Iterable[int]) -> list[float]:
    values = list(values)
    for place in places:
        values[place] = 0.0
    return values
