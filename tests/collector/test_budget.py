"""What an hour of a server takes in the table: no more than it may, everything counted."""

import time

import pytest

from collector import pages, store
from hour import hour, scrape
from maturing import Life, matured, widened
from support import PAGES

ONE_RANK, TWO_RANKS = (PAGES / f"sglang-0.5.23-{name}.prom" for name in ("after-load", "dp2-after-load"))


@pytest.mark.parametrize("requests_a_minute", [30, 300, 3_000])
def test_a_young_server_of_one_rank_takes_a_write_unit_a_scrape(table, requests_a_minute):
    one = hour(Life(ONE_RANK.read_bytes()), "sglang", requests_a_minute)
    assert len(one.scrapes) == 60
    assert one.most_units == 1


@pytest.mark.parametrize("requests_a_minute", [30, 300])
@pytest.mark.parametrize("times", [1_000, 100_000])
def test_an_old_one_takes_a_second_unit_only_for_its_anchor(table, times, requests_a_minute):
    one = hour(matured(ONE_RANK.read_bytes(), times), "sglang", requests_a_minute)
    assert one.most_units == 2
    assert one.mean_units == 61 / 60


def test_a_very_busy_old_one_renews_its_anchor_a_few_times_an_hour(table):
    one = hour(matured(ONE_RANK.read_bytes(), 100_000), "sglang", 3_000)
    assert one.most_units == 2
    assert one.mean_units <= 1.1


def test_two_young_ranks_take_a_unit_too_and_two_old_ones_two(table):
    young, old = (
        hour(life, "sglang", 30) for life in (Life(TWO_RANKS.read_bytes()), matured(TWO_RANKS.read_bytes(), 1_000))
    )
    assert young.most_units == 1
    assert old.most_units == 2


@pytest.mark.parametrize(
    ("page", "engine", "mean"),
    [
        pytest.param("vllm-0.33.0-dp2", "vllm", 1.02, id="vllm-of-two-engines"),
        pytest.param("tgi-documented", "tgi", 1, id="tgi"),
        pytest.param("router-0.3.2-engine-metrics", "sglang", 1.1, id="a-router-of-two-workers"),
    ],
)
def test_other_young_servers_take_little_more(table, page, engine, mean):
    one = hour(Life((PAGES / f"{page}.prom").read_bytes()), engine, 300)
    assert one.mean_units <= mean


def test_eight_old_and_busy_ranks_take_little_more_than_three(table):
    ranks = widened((PAGES / "sglang-0.5.23-after-load.prom").read_bytes(), 8)
    one = hour(matured(ranks, 1_000), "sglang", 3_000)
    assert one.mean_units <= 3.1


def test_lines_are_shared_in_as_few_bytes_as_are_counted(table):
    one = hour(Life(ONE_RANK.read_bytes()), "sglang", 30)
    [lines] = one.shared
    assert lines.bytes <= 7 * 1024


def test_pages_that_just_fit_a_unit_are_read_back_byte_for_byte(table):
    life = matured(ONE_RANK.read_bytes(), 1_000)
    for minute in range(12):
        outcome = scrape(life.page, "sglang", "server-017", minute)
        pages.forget()
        following = outcome.target.model_copy(update={"slot_ms": outcome.target.slot_ms + 60_000})
        before = store.read_befores([following], time.monotonic() + 5)[following.key]
        assert before.told.lines.page() == outcome.page == life.page
        life.serve(300)
