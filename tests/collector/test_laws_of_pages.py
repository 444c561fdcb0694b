"""What holds of every life of a server, whatever stands on its pages: real ones, worked on, cut and broken.

A usual run tries a few lives for each law; `LAW_EXAMPLES=5000` in the environment tries so many.
"""

import json
import math
import os
from itertools import chain, pairwise
from random import Random

from cases import place
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lives import lives, seeds

from collector.findings.find import LEADS_TO, SEVERITIES
from collector.interval import Interval
from collector.item import item_of, read_before, with_page
from collector.reading import engine
from collector.response import render
from collector.sections import Distribution
from collector.snapshot import Snapshot

NEXT_TO_NOTHING = 1e-12  # of a quantile: two that are the same point, worked out from two sides

a_few = settings(
    max_examples=int(os.environ.get("LAW_EXAMPLES", "30")),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


# What an interval says


@a_few
@given(lives())
def test_nothing_of_an_interval_is_negative_or_no_number(life):
    for interval in intervals(life):
        assert [(name, value) for name, value in numbers(interval.model_dump()) if not 0 <= value < math.inf] == []


def intervals(life):
    return [told.reading.interval for told in life.good() if told.reading.interval]


def numbers(value, name=""):
    """All numbers of a model that was dumped, with where they stand."""
    if isinstance(value, dict):
        for key, part in value.items():
            yield from numbers(part, f"{name}.{key}")
    elif isinstance(value, int | float):
        yield name, value


@a_few
@given(lives())
def test_a_share_is_never_more_than_the_whole(life):
    for told in life.good():
        interval, moves, snapshot = told.reading.interval, told.reading.moves, told.reading.snapshot
        shares = [snapshot.cache_metrics.cache_hit_rate]
        shares += [interval.cache_hit_rate, moves.idle_ratio] if interval and moves else []
        assert [share for share in shares if share is not None and not 0 <= share <= 1] == []


@a_few
@given(lives())
def test_an_amount_and_its_rate_are_said_together(life):
    for interval in intervals(life):
        for name in Interval.model_fields:
            amount, rate = getattr(interval, name.removesuffix("_per_second")), getattr(interval, name)
            if name.endswith("_per_second"):
                assert (rate is None) == (amount is None), name
                # Amounts are rounded.
                assert rate is None or abs(rate * interval.seconds - amount) <= max(0.51, 1e-9 * amount), name


@a_few
@given(lives())
def test_a_page_beside_itself_shows_that_nothing_happened(life):
    for told in life.good():
        page = told.reading.exposition
        interval, moves = engine(told.outcome.target.engine).read_interval(page, page, told.at, 60.0)
        assert (interval.restarted, interval.notes, moves.progress or False) == (False, (), False)
        assert not moves.gauges
        happened = interval.model_dump(exclude={"since", "seconds"})
        assert [(name, value) for name, value in numbers(happened) if value] == []


# Distributions


@a_few
@given(lives())
def test_a_quantile_lies_in_its_bucket_and_they_rise(life):
    for told in life.good():
        for name, distribution in distributions(told.reading.snapshot):
            quantiles = [distribution.p50, distribution.p90, distribution.p95, distribution.p99]
            assert all(quantiles) or not distribution.count, name
            known = [quantile for quantile in quantiles if quantile]
            for quantile in known:
                lower = -math.inf if quantile.lower_bound is None else quantile.lower_bound
                upper = math.inf if quantile.upper_bound is None else quantile.upper_bound
                for value in (quantile.value, quantile.linear):
                    assert value is None or lower <= value <= upper, (name, quantile)
            for low, high in pairwise(known):
                assert low.value <= high.value + NEXT_TO_NOTHING * abs(high.value), (name, low, high)


def distributions(model, name=""):
    """All distributions of a snapshot and its interval, with where they stand."""
    for field in type(model).model_fields:
        value = getattr(model, field)
        if isinstance(value, Distribution):
            yield f"{name}.{field}", value
        elif hasattr(value, "model_fields_set"):
            yield from distributions(value, f"{name}.{field}")


# Verdicts


@a_few
@given(lives(most=5))
def test_the_status_is_the_worst_findings_and_never_ok_beside_a_critical_one(life):
    for told in life.told():
        keys = [(finding.code, finding.severity) for finding in told.health.findings]
        severities = [severity for _, severity in keys]
        assert severities == sorted(severities, key=SEVERITIES.index)
        assert "critical" not in severities or told.health.status not in ("ok", "idle")
        if told.reading:
            leading = [LEADS_TO[key] for key in keys if key in LEADS_TO]
            assert told.health.status in (leading[:1] or ("ok", "idle"))


@a_few
@given(lives(most=5))
def test_since_when_it_has_been_so_moves_with_the_status_alone(life):
    before = None
    for told in life.told():
        stays = before and before.status == told.health.status
        assert told.health.since == (before.since if stays else told.at)
        before = told.health


@a_few
@given(lives())
def test_evidence_is_what_the_server_said(life):
    for told in life.good():
        for finding in told.health.findings:
            assert all(math.isfinite(value) for value in finding.evidence.values() if not isinstance(value, str))
            assert "None" not in finding.message
            assert "nan" not in finding.message
            if not finding.code.startswith("rank_"):  # which is of some ranks
                said = {name: value for name, value in said_by(told.reading) if name in finding.evidence}
                assert said.items() <= finding.evidence.items()


def said_by(reading):
    """Each field of the snapshot's sections and the interval, by its name."""
    snapshot = reading.snapshot
    parts = (snapshot.request_metrics, snapshot.cache_metrics, snapshot.system_metrics)
    return [*chain.from_iterable(parts), *(reading.interval or ())]


@a_few
@given(lives(failures=False), st.integers(1, 4), seeds)
def test_no_verdict_comes_of_what_is_missing(life, how_many, seed):
    names = sorted({family.name for page in life.pages() for family in page})
    missing = Random(seed).sample(names, min(len(names), how_many))
    whole = life.told()
    less = life.told(lambda page: tuple(family for family in page if family.name not in missing))
    for full, lacking in zip(whole, less, strict=True):
        if lacking.reading.exposition.samples and not sees_less(full.reading, lacking.reading):
            # That nothing is known is what it says, and no alarm.
            found = [finding for finding in lacking.health.findings if finding.code != "unknown_engine"]
            assert place(found) >= place(full.health.findings), (missing, found)
        else:
            break  # what was seen to move here, and when, is remembered


def sees_less(full, lacking):
    """Whether what moved, or told of a restart, is missing: a server that has not all of it is judged by the rest."""
    if not (full.moves and lacking.moves):
        return False
    moved = [(full.moves.progress, lacking.moves.progress), (full.moves.gauges, lacking.moves.gauges)]
    moved += [(full.moves.heartbeat, lacking.moves.heartbeat), (full.interval.restarted, lacking.interval.restarted)]
    return any(seen and not still_seen for seen, still_seen in moved)


# What is answered and kept


@a_few
@given(lives())
def test_what_is_told_is_json(life):
    for told in life.good():
        snapshot = told.reading.snapshot
        text = snapshot.model_dump_json()
        assert Snapshot.model_validate_json(text) == snapshot
        for answer in (text, render("a", told.at, snapshot, told.reading.exposition.samples, health=told.health)):
            json.loads(answer, parse_constant=refuse)


def refuse(constant):
    raise AssertionError(f"JSON has no {constant}")


@a_few
@given(lives(most=5))
def test_what_is_remembered_is_read_back_as_it_was(life):
    for told in life.told():
        item = item_of(told.outcome)
        if told.reading:
            item = with_page(item, b"", is_anchor=False)
        assert read_before(item, None).memory == told.outcome.memory


@a_few
@given(lives(failures=False), seeds)
def test_the_order_of_families_tells_nothing(life, seed):
    told = life.told()
    for one, other in zip(told, life.told(lambda page: Random(seed).sample(page, len(page))), strict=True):
        assert said_in(one) == said_in(other)


def said_in(told):
    """All but the words for a restart, which name the first of its signs."""
    words = {"interval": {"notes"}, "health": {"findings"}}
    findings = [(finding.code, finding.severity) for finding in told.health.findings]
    return told.reading.snapshot.model_dump(exclude=words), findings
