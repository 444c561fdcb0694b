import json
import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector import compare
from collector.exposition import parse
from support import PAGES, SHARED, needs_shared


def change(earlier, later):
    return compare.compare(parse(earlier), parse(later))


def rises(earlier, later):
    """The differences of a later page by the text of their series."""
    page = parse(later)
    names = [
        sample.name + "".join(f" {label}={value}" for label, value in sample.labels.items()) for sample in page.samples
    ]
    return dict(zip(names, change(earlier, later).values, strict=True))


COUNTERS = (
    "# TYPE a_total counter\na_total {}\n# TYPE b_total counter\nb_total {}\n# TYPE c_total counter\nc_total {}\n"
)


def counters(*values):
    return COUNTERS.format(*values)


def test_a_counter_has_risen_by_the_difference_and_a_gauge_says_nothing():
    page = "# TYPE a_total counter\na_total {}\n# TYPE g gauge\ng {}\n"
    a, g = change(page.format(5, 7), page.format(8, 9)).values
    assert a == 3
    assert math.isnan(g)


def test_a_series_that_is_new_has_risen_from_zero():
    old = "# TYPE a_total counter\n" + 'a_total{kind="x"} 4\n'
    assert rises(old, old.replace("4", "6") + 'a_total{kind="y"} 3\n') == {"a_total kind=x": 2, "a_total kind=y": 3}


@pytest.mark.parametrize(
    ("earlier", "later", "evidence"),
    [
        pytest.param(
            '# TYPE p gauge\np{pid="1"} 0\n' + counters(5, 5, 5),
            '# TYPE p gauge\np{pid="2"} 0\n' + counters(1, 9, 5),
            "process 2 was 1",
            id="another-process",
        ),
        pytest.param(
            "# TYPE sglang:startup_time_seconds gauge\nsglang:startup_time_seconds 61\n" + counters(5, 5, 5),
            "# TYPE sglang:startup_time_seconds gauge\nsglang:startup_time_seconds 63\n" + counters(1, 9, 5),
            "sglang:startup_time_seconds is 63 and was 61",
            id="another-start",
        ),
    ],
)
def test_with_another_process_everything_counts_from_zero(earlier, later, evidence):
    found = change(earlier, later)
    assert (found.evidence, found.restarted) == (evidence, True)
    assert list(found.values[1:]) == [1, 9, 5]


@pytest.mark.parametrize(
    ("later", "values", "evidence"),
    [
        pytest.param(counters(1, 2, 9), [1, 2, 4], "2 counters fell, a_total among them", id="two-fell"),
        pytest.param(
            "# TYPE a_total counter\na_total 9\n",
            [4],
            "2 counters are gone, b_total among them",
            id="positive-ones-gone",
        ),
    ],
)
def test_where_only_counters_tell_of_a_restart_those_that_fell_count_from_zero(later, values, evidence):
    found = change(counters(5, 5, 5), later)
    assert found.evidence == evidence
    assert list(found.values) == values


def test_one_counter_that_fell_is_no_restart_and_is_told():
    found = change(counters(5, 5, 5), counters(4, 6, 6))
    assert not found.restarted
    assert list(found.values) == [0, 1, 1]
    assert found.notes == ("a_total fell, and the server did not restart: counted as no change",)


def test_counters_at_zero_that_go_are_no_restart():
    assert not change(counters(5, 0, 0), "# TYPE a_total counter\na_total 6\n").restarted


def test_a_rank_that_is_heard_of_for_the_first_time_is_no_restart():
    page = '# TYPE p gauge\np{dp_rank="0",pid="1"} 0\n'
    assert not change(page, page + 'p{dp_rank="1",pid="2"} 0\n').restarted


def test_where_the_old_process_counts_stay_in_the_sums_nothing_is_reset():
    page = '# TYPE p gauge\np{pid="1"} 0\n'
    found = change(page + counters(5, 5, 5), page + 'p{pid="2"} 0\n' + counters(6, 7, 5))
    assert found.restarted
    assert list(found.values[2:]) == [1, 2, 0]
    assert found.notes == ("what the process before has counted is still in the sums",)


def test_of_another_release_everything_counts_from_zero_whatever_it_is_called():
    found = compare.compare(parse(counters(5, 5, 5)), parse(counters(6, 7, 8)), other_release="it was upgraded")
    assert (found.evidence, list(found.values)) == ("it was upgraded", [6, 7, 8])


@pytest.mark.parametrize(
    ("earlier", "later", "is_same"),
    [
        pytest.param("startup_time_seconds 61.5\n", "startup_time_seconds 61.5\n", True, id="one-start"),
        pytest.param("startup_time_seconds 61.5\n", "startup_time_seconds 63.5\n", False, id="another-start"),
        pytest.param("", "startup_time_seconds 61.5\n", False, id="only-one-says"),
        pytest.param('p{pid="1"} 0\n', 'p{pid="1"} 0\n', False, id="a-process-id-may-come-again"),
        pytest.param(
            'startup_time_seconds 6\np{pid="1"} 0\n', 'startup_time_seconds 6\np{pid="2"} 0\n', False, id="pid"
        ),
    ],
)
def test_one_process_is_proven_by_when_it_started(earlier, later, is_same):
    assert compare.is_same_process(parse(earlier), parse(later)) is is_same


def test_of_a_routers_workers_only_the_one_that_restarted_counts_from_zero():
    page = (
        '# TYPE p gauge\np{{pid="{}",worker_addr="x"}} 0\np{{pid="7",worker_addr="y"}} 0\n'
        '# TYPE a_total counter\na_total{{worker_addr="x"}} {}\na_total{{worker_addr="y"}} {}\n'
    )
    assert list(change(page.format(1, 5, 5), page.format(2, 6, 8)).values[2:]) == [6, 3]


HISTOGRAM = (
    '# TYPE h histogram\nh_bucket{{le="1.0"}} {}\nh_bucket{{le="{}"}} {}\nh_bucket{{le="+Inf"}} {}\n'
    "h_count {}\nh_sum {}\n"
)


def test_all_of_a_histogram_of_which_a_part_fell_counts_from_zero():
    before = HISTOGRAM.format(1, "2.0", 50, 60, 60, 100) + counters(1, 1, 1)
    after = HISTOGRAM.format(2, "2.0", 3, 5, 5, 9) + counters(0, 1, 1)
    assert list(change(before, after).values) == [2, 3, 5, 5, 9, 0, 0, 0]


def test_buckets_with_other_bounds_say_nothing_and_are_told():
    found = change(HISTOGRAM.format(1, "2.0", 2, 3, 3, 4), HISTOGRAM.format(2, "3.0", 3, 4, 4, 5))
    assert all(map(math.isnan, found.values))
    assert found.notes == ("the buckets of h have other bounds than before",)


def test_after_a_restart_other_bounds_do_not_matter():
    earlier = '# TYPE p gauge\np{pid="1"} 0\n' + HISTOGRAM.format(1, "2.0", 2, 3, 3, 4)
    later = '# TYPE p gauge\np{pid="2"} 0\n' + HISTOGRAM.format(1, "3.0", 1, 1, 1, 1)
    assert list(change(earlier, later).values[1:]) == [1, 1, 1, 1, 1]


COUNTS = st.integers(0, 1000)


@given(st.lists(st.tuples(COUNTS, COUNTS), min_size=3, max_size=3))
def test_nothing_ever_falls(pairs):
    old, new = zip(*pairs, strict=True)
    assert min(change(counters(*old), counters(*new)).values) >= 0


@given(st.lists(st.integers(0, 100), min_size=9, max_size=9))
def test_differences_of_one_life_add_up(steps):
    a, b, c = (steps[at : at + 3] for at in (0, 3, 6))
    pages = [
        counters(*a),
        counters(*(x + y for x, y in zip(a, b, strict=True))),
        counters(*(x + y + z for x, y, z in zip(a, b, c, strict=True))),
    ]
    first, second, whole = change(*pages[:2]), change(*pages[1:]), change(pages[0], pages[2])
    assert [x + y for x, y in zip(first.values, second.values, strict=True)] == list(whole.values)


RECORDED = ["idle", "load", "load-later", "after-load"]


@pytest.mark.parametrize("ranks", ["", "-dp2"])
def test_recorded_pages_of_one_life_show_no_restart_and_add_up(ranks):
    pages = [parse((PAGES / f"sglang-0.5.23{ranks}-{name}.prom").read_bytes()) for name in RECORDED]
    finished = 0.0
    for earlier, later in pairwise(pages):
        found = compare.compare(earlier, later)
        assert (found.restarted, found.notes) == (False, ())
        finished += sum(found.values[index] for index in later.layout.by_name.get("sglang:num_requests_total", ()))
    whole = compare.compare(pages[0], pages[-1])
    assert finished == sum(whole.values[index] for index in pages[-1].layout.by_name["sglang:num_requests_total"])


@needs_shared
@pytest.mark.parametrize("release", ["0.5.9", "0.5.23"])
def test_the_generated_timelines_give_what_their_truth_says(release):
    folder = SHARED / "expositions" / "generated"
    names = [f"sglang-{release}-timeline-{name}" for name in ("t0", "t1", "t2", "t3-restarted")]
    pages = [parse((folder / f"{name}.prom").read_bytes()) for name in names]
    truths = [json.loads((folder / f"{name}.truth.json").read_text())["tokenizer"] for name in names]
    for at in (1, 2, 3):
        found = compare.compare(pages[at - 1], pages[at])
        assert found.restarted == (at == 3)
        before = truths[at - 1] if at < 3 else dict.fromkeys(truths[at], 0)
        for name, key in {
            "prompt_tokens_total": "prompt_tokens",
            "generation_tokens_total": "generation_tokens",
        }.items():
            risen = sum(found.values[index] for index in pages[at].layout.by_name[f"sglang:{name}"])
            assert risen == truths[at][key] - before[key]
