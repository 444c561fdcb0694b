"""A page that breaks a limit is cut early, names the limit, and leaves its outcome and nothing else."""

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st
from keeping import NOW_MS, collect, in_table

from collector import deployment, shape
from collector.errors import PageLimitError
from collector.exposition import parse
from collector.limits import DEFAULT, Limits, longer_line
from support import PAGES

SECRET = "hunter2"  # noqa: S105
LABELLED = f'a{{one="{SECRET}",two="2"}} 1\n'
PAST = {
    "lines": ("# a comment\n" * 4, "lines=3", "the page has 4 lines, more than the limit lines, 3"),
    "lines-without-an-end": ("\n\n\nup 1", "lines=3", "the page has 4 lines, more than the limit lines, 3"),
    "line": (
        f"up 1\n# {SECRET}\n",
        "line_bytes=8",
        "line 2 has 9 bytes, more than the limit line_bytes, 8",
    ),
    "last-line": (f"up 1\n# {SECRET}", "line_bytes=8", "line 2 has 9 bytes, more than the limit line_bytes, 8"),
    "samples": (
        "up 1\nup 2\nup 3\n",
        "samples=2",
        "the first 3 lines have 3 samples, more than the limit samples, 2",
    ),
    "samples-not-plain": (
        "up  1\nup 2 77\nup 3\n",
        "samples=2",
        "the first 3 lines have 3 samples, more than the limit samples, 2",
    ),
    "labels": (LABELLED, "labels=1", "a sample has 2 labels, more than the limit labels, 1"),
    "labels-of-a-bucket": (
        'a_bucket{le="1.0",one="1"} 1\n',
        "labels=1",
        "a sample has 2 labels, more than the limit labels, 1",
    ),
    "name": (f"{SECRET}_a 1\n", "name_characters=8", "a name has 9 characters, more than the limit name_characters, 8"),
    "label-name": (
        f'a{{{SECRET}_a="1"}} 1\n',
        "name_characters=8",
        "a name has 9 characters, more than the limit name_characters, 8",
    ),
    "label-value": (
        LABELLED,
        "label_characters=6",
        "a label's value has 7 characters, more than the limit label_characters, 6",
    ),
}
CASES = [pytest.param(page.encode(), text, words, id=name) for name, (page, text, words) in PAST.items()]


@pytest.fixture(autouse=True)
def _nothing_kept():
    shape.forget()


def test_each_limit_says_its_reason():
    assert [name for name, field in Limits.model_fields.items() if not field.description] == []


@pytest.mark.parametrize(("page", "text", "words"), CASES)
@pytest.mark.parametrize("known", [False, True], ids=["first", "known"])
def test_a_page_past_a_limit_is_refused_with_the_limits_name(page, text, words, known):
    if known:
        parse(page)
    with pytest.raises(PageLimitError) as caught:
        parse(page, DEFAULT.set_by(text))
    assert str(caught.value) == words
    assert caught.value.limit == text.partition("=")[0]
    assert SECRET not in words


@pytest.mark.parametrize(("page", "text", "words"), CASES)
def test_a_page_at_a_limit_is_read(page, text, words):
    name, _, number = text.partition("=")
    seen = next(int(word) for word in reversed(words.partition(", more")[0].split()) if word.isdigit())
    assert seen > int(number)
    assert parse(page, DEFAULT.set_by(f"{name}={seen}")).bad_line_count == 0


@pytest.mark.parametrize("path", sorted(PAGES.glob("*.prom")), ids=lambda path: path.stem)
def test_every_recorded_page_is_far_within_every_limit(path):
    tenth = {
        "lines": 40_000,
        "line_bytes": 6_553,
        "samples": 20_000,
        "labels": 32,
        "name_characters": 128,
        "label_characters": 512,
    }
    page = path.read_bytes()
    assert len(parse(page, DEFAULT.with_overrides(tenth)).samples) == len(parse(page).samples)
    assert len(page) < DEFAULT.page_bytes / 50


@given(st.binary(max_size=60).map(lambda page: bytes(b"\nx"[byte % 5 > 0] for byte in page)), st.integers(1, 12))
def test_a_line_is_too_long_exactly_if_one_is(page, limit):
    lines = page.split(b"\n")
    first = next((number for number, line in enumerate(lines) if len(line) > limit), None)
    assert longer_line(page, limit) == (None if first is None else sum(len(line) + 1 for line in lines[:first]))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        pytest.param("sample=3", "PAGE_LIMITS: sample is no limit of a page; they are connect_seconds, ", id="unknown"),
        pytest.param("samples=0", "PAGE_LIMITS: samples is '0': input should be greater", id="nothing"),
        pytest.param("page_bytes=100", "PAGE_LIMITS: page_bytes is '100': input should be greater", id="no-page"),
        pytest.param("samples=1.5", "PAGE_LIMITS: samples is '1.5': ", id="half-a-sample"),
        pytest.param("samples", "PAGE_LIMITS: 'samples' is not name=number", id="no-number"),
    ],
)
def test_limits_that_cannot_be_are_told_with_their_variable(set_limits, text, words):
    set_limits(text)
    with pytest.raises(ValueError, match=f"^{words}"):
        deployment.page_limits()


@pytest.mark.parametrize(("page", "text", "words"), CASES)
def test_a_page_past_a_limit_is_an_outcome_and_no_half_page(table, set_limits, page, text, words):
    set_limits(text)
    outcome = collect(page)
    assert (outcome.code, str(outcome.error)) == ("page_over_limit", words)
    [item] = in_table("snapshots").scan()["Items"]
    assert (item["code"], "blob" in item) == ("page_over_limit", False)
    assert SECRET not in str(item)
    assert in_table("shapes").scan()["Items"] == []


def test_a_page_that_was_kept_is_read_whatever_the_limits_are_now(table, set_limits):
    collect(LABELLED.encode())
    set_limits("labels=1")
    assert collect(LABELLED.encode(), NOW_MS + 60_000).code == "page_over_limit"
    assert len(parse(LABELLED).samples) == 1


MIB = 1024 * 1024


def filled(lines, size=16 * MIB):
    """A page of this size, of these lines again and again."""
    return lines * (size // len(lines))


# Each is 16 MiB, and would take the memory beside it if nothing cut it.
HOSTILE = [
    pytest.param(filled(b"a 1\n"), "lines", 1, id="shortest-samples"),
    pytest.param(filled(b"#\n"), "lines", 1, id="shortest-comments"),
    pytest.param(filled(b"a 1\n" * 300_000 + b"#" * 65_000 + b"\n"), "lines", 1, id="samples-and-long-lines"),
    pytest.param(filled(b'a{b="' + b"c" * 60 + b'"} 1\n'), "samples", 64, id="samples-with-a-label"),
    pytest.param(filled(b"#" * 70_000 + b"\n"), "line_bytes", 1, id="long-lines"),
    pytest.param(b"#" * 16 * MIB, "line_bytes", 1, id="one-line"),
]


@pytest.mark.parametrize(("page", "limit", "most_mib"), HOSTILE)
def test_a_hostile_page_is_cut_before_it_takes_memory(page, limit, most_mib):
    tracemalloc.start()
    try:
        with pytest.raises(PageLimitError) as caught:
            parse(page, DEFAULT)
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert caught.value.limit == limit
    assert peak_bytes < most_mib * MIB
