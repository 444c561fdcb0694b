"""Numbers told by how far they are from where they were expected are the same numbers, bit for bit."""

import math
import struct

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from collector import codec, rises
from collector.frames import Frame
from collector.golomb import DIGITS_AT_MOST, Reader, code, codes, to_bytes
from collector.lines import Heads

BUCKETS = 12
HEADS = [
    *(f'a_bucket{{rank="0",le="{bound}"}} ' for bound in range(BUCKETS)),
    'a_count{rank="0"} ',
    'a_sum{rank="0"} ',
    "running ",
    *(f'b_bucket{{rank="1",le="{bound}"}} ' for bound in range(BUCKETS)),
    'b_count{rank="1"} ',
    "total ",
    "ratio ",
]
SHARED = codec.read_shared("\n".join(HEADS).encode())

counts = st.one_of(st.integers(0, 3), st.integers(0, 10**6), st.integers(0, 2**47))
floats = st.one_of(
    st.floats(),
    st.integers(-(2**60), 2**60).map(float),
    st.sampled_from([0.0, math.inf, -math.inf, math.nan, 2.0**51, 2.0**51 + 1, -(2.0**51), 1e300, 5e-324]),
)


def told_and_read(values, frame):
    flags, told = rises.tell(values, frame, 0)
    return rises.read(flags, told, frame)


def bits(values):
    return struct.pack(f"{len(values)}d", *values)


def page_of(steps, others):
    """Two histograms, whose counts add up, among other numbers."""
    sums, running, total, ratio = others
    values = []
    for first in (0, BUCKETS):
        risen = 0
        for step in steps[first : first + BUCKETS]:
            risen += step
            values.append(float(risen))
        values += [float(risen), *([sums, running] if first == 0 else [total, ratio])]
    return values


pages = st.builds(
    page_of,
    st.lists(counts, min_size=2 * BUCKETS, max_size=2 * BUCKETS),
    st.tuples(floats, floats, floats, floats),
).map(lambda values: [0.0 if value == 0 else value for value in values])  # -0.0 is spelled apart


# Where one histogram grew two million times, so much is expected of the next: more than any code tells.
FAR_BEFORE, FAR_AFTER = (
    [*[0.0] * (BUCKETS - 1), one, one, *[0.0] * (BUCKETS + 1), other, other, 0.0, 0.0]
    for one, other in ((1.0, 140737488351233.0), (2097153.0, 140737488351234.0))
)


def test_what_is_too_far_from_where_it_was_expected_is_refused():
    with pytest.raises(rises.UnlikeError):
        rises.tell(FAR_AFTER, Frame(SHARED.frame.heads, FAR_BEFORE, SHARED.frame.counts_on), 0)


@given(pages, pages)
@example([0.0] * len(HEADS), [0.0] * len(HEADS))
@example(FAR_BEFORE, FAR_AFTER)
def test_a_page_comes_back_beside_any_other_of_its_server(before, after):
    frame = Frame(SHARED.frame.heads, before, SHARED.frame.counts_on)
    after = [
        max(value, earlier) if "_bucket" in head or "_count" in head else value
        for head, value, earlier in zip(HEADS, after, before, strict=True)
    ]
    try:
        assert bits(told_and_read(after, frame)) == bits(after)
    except rises.UnlikeError:
        first, second = (place for place, head in enumerate(HEADS) if "_count" in head)
        assert before[second] * after[first] / before[first] > 2.0**66


@given(pages, st.lists(floats, min_size=len(HEADS), max_size=len(HEADS)))
def test_numbers_of_any_kind_come_back_or_are_refused(before, after):
    frame = Frame(SHARED.frame.heads, before, SHARED.frame.counts_on)
    after = [0.0 if value == 0 else value for value in after]
    try:
        assert bits(told_and_read(after, frame)) == bits(after)
        assert bits(told_and_read(before, Frame(frame.heads, after, frame.counts_on))) == bits(before)
    except rises.UnlikeError:
        pass


OTHERS = (3.5, 4.0, 900.0, 0.25)
QUIET = page_of([n % 7 * 100 for n in range(2 * BUCKETS)], OTHERS)
LIKELY, UNLIKELY = ([n % 7 * each for n in range(BUCKETS, 2 * BUCKETS)] for each in (110, 190))
FRAME = Frame(SHARED.frame.heads, QUIET, SHARED.frame.counts_on)


def test_a_page_on_which_nothing_moved_takes_some_bits_for_each_kind():
    assert len(rises.tell(QUIET, FRAME, 0)[1]) < 10


def test_what_rises_by_its_share_takes_a_bit_or_two_a_bucket():
    later = page_of([n % 7 * 110 for n in range(2 * BUCKETS)], OTHERS)
    assert len(rises.tell(later, FRAME, 0)[1]) < 16


def test_a_total_that_rises_as_the_one_before_it_is_expected():
    likely, other = (page_of([n % 7 * 110 for n in range(BUCKETS)] + rest, OTHERS) for rest in (LIKELY, UNLIKELY))
    assert len(rises.tell(likely, FRAME, 0)[1]) < len(rises.tell(other, FRAME, 0)[1])


@pytest.mark.parametrize("value", [0.5, -1.0, math.nan, math.inf, 2.0**53], ids=str)
@pytest.mark.parametrize("place", [2, BUCKETS], ids=["bucket", "total"])
def test_buckets_that_are_no_counts_are_refused(place, value):
    values = list(QUIET)
    values[place] = value
    with pytest.raises(rises.UnlikeError):
        rises.tell(values, FRAME, 0)


def test_a_histogram_that_was_in_fractions_comes_back():
    before = list(QUIET)
    before[2] = 0.5
    frame = Frame(FRAME.heads, before, FRAME.counts_on)
    after = [value + 1 for value in before]
    assert told_and_read(after, frame) == after


def test_a_server_that_began_anew_is_refused():
    with pytest.raises(rises.UnlikeError):
        rises.tell(page_of([1] * 2 * BUCKETS, OTHERS), FRAME, 0)


def test_buckets_are_known_by_their_lines_where_they_are_new_beside_those_that_are_shared():
    unknown = Frame(FRAME.heads, QUIET, [False] * len(HEADS))
    assert unknown.histograms == FRAME.histograms


def test_a_count_without_labels_is_its_histograms_total():
    heads = ['a_bucket{le="1.0"} ', 'a_bucket{le="+Inf"} ', "a_count ", "a_sum ", "b_count "]
    [histogram] = Frame(Heads(heads), [3.0, 7.0, 7.0, 9.0, 7.0], [False] * 5).histograms
    assert (histogram.first, histogram.total) == (0, 2)


# Codes


@given(st.lists(st.integers(-(2**52), 2**52).map(float), min_size=1), st.integers(0, 60))
def test_codes_come_back(numbers, order):
    reader = Reader(to_bytes(codes(numbers, order)))
    assert list(reader.numbers(order, len(numbers))) == numbers
    reader.check_end()


@pytest.mark.parametrize(
    ("number", "order", "text"),
    [(0, 0, "1"), (1, 0, "010"), (2, 0, "011"), (3, 0, "00100"), (0, 2, "100"), (4, 2, "01000")],
)
def test_a_code_is_as_the_recommendation_has_it(number, order, text):
    assert code(number, order) == text


HARMFUL = [
    pytest.param("0" * 8, "substring not found", id="nothing"),
    pytest.param(code(2**20, 0), "too many fractions", id="fractions"),
    pytest.param("1" + "0" * (DIGITS_AT_MOST + 9) + "1" * 999, "too large", id="long-number"),
    pytest.param("1" + code(10**6, 1) + code(200, 0), "too large", id="large-order"),
    pytest.param("1" + code(10**6, 1) + "1" * 20, "it ends too soon|out of range", id="missing-buckets"),
]


@pytest.mark.parametrize(("text", "words"), HARMFUL)
def test_what_nobody_told_is_refused(text, words):
    with pytest.raises((ValueError, IndexError), match=words):
        rises.read(0, to_bytes(text), FRAME)
