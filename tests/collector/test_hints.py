"""Every flag that a hint names is one that the server has: of its engine, and of its release."""

import pytest
from cases import Scene, interval, moves, scraped, snapshot, times

from collector.engines.releases import NO_RANGE
from collector.engines.sglang_versions import FIRST_SEEN, RELEASES
from collector.findings.flags import FLAG, FLAGS
from collector.findings.hints import ANY_RELEASE, HINTS, hint
from collector.interval import RankMoves
from collector.snapshot import RankMetrics, VersionRange
from collector.specific import Router
from support import ROOT

TEXTS = [
    pytest.param(engine, text, id=f"{key}-{engine or 'any'}")
    for key, by_engine in HINTS.items()
    for engine, text in by_engine.items()
]
# What some findings rest on came with a release; older servers' cannot have them.
RESTS_ON = {"kv_transfers_failed": "num_bootstrap_failed_reqs_total", "cache_thrashing": "evicted_tokens_total"}


def release(name):
    return VersionRange(at_least=name, before=None)


def first_with(family):
    return next(name for name, families in FIRST_SEEN.items() if family in families)


def flags(text):
    return set(FLAG.findall(text or ""))


@pytest.mark.parametrize(("engine", "text"), TEXTS)
def test_every_flag_of_a_hint_is_known_of_its_engine(engine, text):
    assert flags(text) <= FLAGS.get(engine, {}).keys()
    assert text.count("--") == len(FLAG.findall(text))


@pytest.mark.parametrize(("engine", "text"), TEXTS)
def test_words_are_told_from_keys_by_their_end(engine, text):
    assert text.endswith((".", "?"))
    assert not any(key.endswith((".", "?")) for key in HINTS)


def test_every_known_flag_is_named_by_a_hint_and_came_with_a_release_that_there_is():
    named = {engine: set().union(*(flags(by.get(engine)) for by in HINTS.values())) for engine in FLAGS}
    assert named == {engine: set(known) for engine, known in FLAGS.items()}
    assert {since for known in FLAGS.values() for since in known.values()} - {None} <= set(RELEASES)
    assert not any({**FLAGS["vllm"], **FLAGS["tgi"]}.values()), "no page of theirs tells its release"


@pytest.mark.parametrize("place", range(len(RELEASES)), ids=RELEASES)
def test_no_release_is_told_a_flag_that_it_does_not_have_and_each_is_told_something(place):
    for key, by_engine in HINTS.items():
        if "sglang" not in by_engine:
            continue
        words = hint(key, "sglang", release(RELEASES[place]))
        since = {flag: FLAGS["sglang"][flag] for flag in flags(words)}
        assert [flag for flag, first in since.items() if first and RELEASES.index(first) > place] == []
        if key not in RESTS_ON or RELEASES.index(first_with(RESTS_ON[key])) <= place:
            assert words, key


@pytest.mark.parametrize(
    ("key", "version", "named", "not_named"),
    [
        pytest.param(
            "slow_scrape", release("0.5.3.post3"), "--tokenizer-metrics-allowed-custom-labels", "", id="labels"
        ),
        pytest.param("slow_scrape", release("0.5.2"), "", "--tokenizer-metrics-allowed-custom-labels", id="no-labels"),
        pytest.param("slow_scrape", NO_RANGE, "", "--tokenizer-worker-num", id="nothing-proven"),
        pytest.param("slow_first_token", release("0.4.4.post4"), "--disaggregation-mode", "", id="pd"),
        pytest.param(
            "slow_first_token", release("0.4.3.post4"), "--chunked-prefill-size", "--disaggregation-mode", id="no-pd"
        ),
        pytest.param(
            # it may be of 0.4.3.post4: what is older than `before` proves nothing
            "slow_first_token",
            VersionRange(at_least="0.4.3.post4", before="0.5.2"),
            "--schedule-policy",
            "--disaggregation-mode",
            id="a-range-that-begins-too-early",
        ),
    ],
)
def test_a_younger_flag_is_named_where_the_page_proves_a_release_that_has_it(key, version, named, not_named):
    words = hint(key, "sglang", version)
    assert flags(named) <= flags(words)
    assert not flags(not_named) & flags(words)


def test_words_for_any_release_stand_beside_those_for_some():
    for key in HINTS:
        if key.endswith(ANY_RELEASE):
            assert hint(key.removesuffix(ANY_RELEASE), "sglang", release(RELEASES[-1])) != hint(key, "sglang")


def test_a_finding_names_the_flags_of_the_release_that_its_page_proves():
    slow = scraped(duration_seconds=3.0)
    new, old = (
        Scene(snapshot(scrape=slow, version_range=release(name))).health.findings[0].hint
        for name in ("0.5.23", "0.4.1.post7")
    )
    assert "--tokenizer-worker-num" in new
    assert flags(old) == set()


def test_a_router_is_told_no_flag_of_a_servers():
    now = snapshot(engine_type="router", router=Router(), scrape=scraped(duration_seconds=3.0))
    judged = Scene(now, interval(time_to_first_token=times(p95=9.0), http_responses_by_class={"5xx": 60}))
    findings = {finding.code: finding.hint for finding in judged.health.findings}
    assert {"server_errors", "slow_first_token", "slow_scrape"} <= findings.keys()
    assert flags(" ".join(filter(None, findings.values()))) == set()
    assert findings["server_errors"]


def test_an_uneven_load_is_put_down_to_the_router_where_the_ranks_are_of_its_workers():
    ranks = (RankMoves("0", 20, 18, True), RankMoves("1", 2, 1, True))
    one = Scene(moves=moves(ranks=ranks))
    workers = Scene(snapshot(ranks=(RankMetrics(worker="http://10.0.0.2:30000"),)), moves=moves(ranks=ranks))
    assert "--policy" not in flags(one.health.findings[0].hint)
    assert "--policy" in flags(workers.health.findings[0].hint)


def test_the_readme_names_no_flag_that_no_server_has():
    table = (ROOT / "README.md").read_text().split("## Is it healthy?")[1].split("\n## ")[0]
    assert flags(table) <= FLAGS["sglang"].keys()
