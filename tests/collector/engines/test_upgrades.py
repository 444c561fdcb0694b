"""An upgrade between two scrapes: families are renamed, counters go on under another meaning, and all began anew."""

from itertools import combinations

import pytest

from collector.engines import sglang, vllm
from collector.exposition import parse
from support import ASKED_AT, PAGES, SHARED, needs_shared

FOLDER = SHARED / "expositions" / "generated"
RELEASES = ("0.4.6", "0.4.9.post6", "0.5.2", "0.5.6.post2", "0.5.9", "0.5.12.post1", "0.5.18", "0.5.23")


def page(release, kind="single"):
    return parse((FOLDER / f"sglang-{release}-{kind}.prom").read_bytes())


def interval(reader, earlier, later):
    return reader.ENGINE.read_interval(earlier, later, ASKED_AT, 60.0)


@needs_shared
@pytest.mark.parametrize(("old", "new"), [*combinations(RELEASES, 2)])
def test_after_an_upgrade_all_that_the_new_server_counts_has_happened_since(old, new):
    found, moves = interval(sglang, page(old), page(new))
    anew, _ = interval(sglang, parse(""), page(new))
    assert found.restarted
    assert moves.evidence
    unlike = {"since", "seconds", "restarted", "notes"}
    assert found.model_dump(exclude=unlike) == anew.model_dump(exclude=unlike)


@needs_shared
@pytest.mark.parametrize("release", ["0.4.6", "0.5.2", "0.5.23"])
@pytest.mark.parametrize("earlier", ["fresh", "fresh-idle", "single"])
def test_a_server_that_shows_more_families_as_it_works_is_of_the_same_release(release, earlier):
    _, moves = interval(sglang, page(release, earlier), page(release))
    assert "families" not in (moves.evidence or "")


@pytest.mark.parametrize(
    ("old", "new"), [("vllm-0.6.6.post1", "vllm-0.11.0-dp2"), ("vllm-0.11.0-dp2", "vllm-0.33.0-dp2")]
)
def test_vllm_is_told_from_its_older_release_too(old, new):
    pages = [parse((PAGES / f"{name}.prom").read_bytes()) for name in (old, new)]
    found, moves = interval(vllm, *pages)
    assert found.restarted
    assert "its families are of release" in moves.evidence or "process" in moves.evidence
