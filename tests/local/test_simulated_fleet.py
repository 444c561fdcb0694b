"""The fleet of simulated servers: what the collector makes of each kind, and what each counts."""

import time

import pytest

from collector import asking, pipeline
from collector.item import NOTHING_BEFORE
from collector.targets import Registration
from local.simulator.fleet import KINDS, MANY_RANKS, PAGES_PER_LIFE, SPECIAL, fleet


@pytest.fixture
def ask(on_a_laptop):
    """One scrape of a member of the fleet."""

    def once(member):
        timeout_seconds = 1 if member.code in ("timeout", "page_timeout") else 10
        settings = member.settings | {"timeout_seconds": timeout_seconds}
        registration = Registration(instance_id=member.instance_id, **settings)
        deadline = time.monotonic() + 60
        return pipeline.observe(asking.ask(registration.at(0), deadline), NOTHING_BEFORE, deadline)

    return once


@pytest.fixture(scope="module")
def members():
    with fleet(len(SPECIAL) + 2) as servers:
        yield servers


@pytest.mark.parametrize("kind", KINDS)
def test_a_server_of_each_kind_is_read_as_the_kind_says(members, ask, kind):
    member = next(member for member in members if member.kind == kind)
    assert ask(member).code == member.code


@pytest.mark.parametrize("kind", sorted(KINDS.keys() - {"down"}))
def test_a_server_counts_how_often_it_was_asked(members, ask, kind):
    member = next(member for member in members if member.kind == kind)
    before = member.server.asked
    ask(member)
    assert member.server.asked == before + 1


def test_each_has_a_name_of_its_own_and_all_are_there(members):
    assert len({member.instance_id for member in members}) == len(SPECIAL) + 2
    assert [member.kind for member in members] == [*SPECIAL, "at-work", "at-work"]


def test_one_has_many_ranks(members, ask):
    [member] = [member for member in members if member.kind == "many-ranks"]
    assert len(ask(member).snapshot.ranks) == MANY_RANKS


def process_ids(outcome):
    return {sample.labels["pid"] for sample in outcome.exposition.samples if "pid" in sample.labels}


def test_one_is_a_new_process_after_some_pages_with_its_counters_from_zero(ask):
    with fleet(len(SPECIAL)) as members:
        [member] = [member for member in members if member.kind == "restarting"]
        outcomes = [ask(member) for _ in range(PAGES_PER_LIFE + 1)]
    *_, last, restarted = outcomes
    assert len({frozenset(process_ids(outcome)) for outcome in outcomes[:PAGES_PER_LIFE]}) == 1
    assert not process_ids(restarted) & process_ids(last)
    finished = [
        next(sample.value for sample in outcome.exposition.samples if sample.name == "sglang:num_requests_total")
        for outcome in (last, restarted)
    ]
    assert finished[1] < finished[0]


def test_it_is_gone_with_its_block(ask):
    with fleet(len(SPECIAL) + 1) as members:
        pass
    assert ask(members[-1]).code == "connection_refused"
