"""A short run of what `make fuzz` does for long, without atheris; what that found; and what its checks are worth."""

import base64
import json
import sys
from contextlib import suppress
from copy import deepcopy

import pytest
from hypothesis import HealthCheck, given, settings

from collector import shape
from collector.errors import ExpositionError
from collector.exposition import parse
from fuzz import blobs, differences, others, pages, requests
from fuzz.mutator import Mutator
from handlers import api

BRIEF = settings(max_examples=200, database=None, suppress_health_check=[HealthCheck.too_slow])
MUTATED = 400
SEED = 20261124


@BRIEF
@given(pages.PAGES)
def test_a_page_that_was_made_up_has_no_sample_that_it_does_not_hold(page):
    pages.check(page)


def test_a_page_that_was_mutated_has_no_sample_that_it_does_not_hold():
    mutator = Mutator(SEED)
    facts = sum(
        (pages.check(page, before) for before, page in (mutator.next() for _ in range(MUTATED))), pages.Counter()
    )
    assert facts["inputs"] == MUTATED
    assert facts["compared"] > 0.9 * facts["accepted"] > 0.2 * MUTATED


def test_a_seed_makes_the_same_pages_again():
    one, other = Mutator(SEED), Mutator(SEED)
    assert [one.next() for _ in range(MUTATED)] == [other.next() for _ in range(MUTATED)]


@BRIEF
@given(blobs.DAMAGED)
def test_a_blob_that_was_damaged_is_a_page_or_an_error(data):
    blobs.check(data)


def test_a_request_that_was_made_up_is_no_fault_of_ours():
    @settings(BRIEF, max_examples=60)
    @given(requests.events())
    def check(event):
        requests.check(event)

    with requests.tables():
        check()


@pytest.mark.parametrize("blob", blobs.WRITTEN)
def test_what_blobs_are_made_from_can_be_read(blob):
    frames = range(len(blobs.FRAMES))
    assert any(blobs.check(bytes([frame]) + blob) for frame in frames)


# The comparison with another reading


def compared(page: bytes, other: bytes | None = None):
    """What comes of comparing a page with what we read of it, or of another."""
    try:
        exposition = parse(page if other is None else other)
    except ExpositionError:
        exposition = None
    return others.compare(page, page.decode("utf-8", "surrogateescape"), exposition)


@pytest.mark.parametrize(
    ("page", "other"),
    [
        pytest.param(b"a 1\n", b"b 1\n", id="name"),
        pytest.param(b"a_total 1\n", b"a 1\n", id="no-counter"),
        pytest.param(b'a{b="c"} 1\n', b'a{b="d"} 1\n', id="label"),
        pytest.param(b'a{b="1"} 1\n', b'a{b="1.0"} 1\n', id="label-that-is-no-bound"),
        pytest.param(b'a_bucket{le="1.0"} 1\n', b'a_bucket{le="2.0"} 1\n', id="bound"),
        pytest.param(b"a 1\n", b"a 2\n", id="value"),
        pytest.param(b"a 1 1000\n", b"a 1 1001\n", id="timestamp"),
        pytest.param(b"a 1 1000\n", b"a 1\n", id="no-timestamp"),
        pytest.param(b"# TYPE a gauge\na 1\n", b"# TYPE a counter\na 1\n", id="type"),
        pytest.param(b"a 1\nb 1\n", b"a 1\nb{ 1\n", id="skipped"),
        pytest.param(b"a 1\n", b"a 1\nb 1\n", id="one-more"),
    ],
)
def test_a_difference_that_is_not_known_is_found(page, other):
    assert compared(page).known == {}
    with pytest.raises((AssertionError, StopIteration)):
        compared(page, other)


@pytest.mark.parametrize(
    ("line", "name"),
    [
        pytest.param(b'a{b="\xff"} 1', "not UTF-8", id="not-utf-8"),
        pytest.param("a\u2028{b='c'} 1".replace("'", '"').encode(), "other blanks", id="line-separator"),
        pytest.param(b"a 1\r", "other blanks", id="carriage-return"),
        pytest.param(b'a 1 # {b="c"} 2', "text after the value", id="exemplar"),
        pytest.param(b"a 1 0.5", "timestamps", id="fraction-of-a-millisecond"),
        pytest.param(b"a 1 99999999999999999999", "timestamps", id="timestamp-beyond-64-bits"),
        pytest.param(b'a-b{c="d"} 1', "names", id="dash"),
        pytest.param(b'a{b:c="d"} 1', "label names", id="colon"),
        pytest.param(b'a{,b="c"} 1', "commas", id="comma-before-the-first"),
        pytest.param(b"a{b=} 1", "labels without a value", id="no-value"),
        pytest.param(b'{__name__="a"} 1', "__name__", id="name-as-a-label"),
        pytest.param("a \u0663".encode(), "numbers", id="arabic-digit"),
        pytest.param(b"a -nan", "numbers", id="nan-with-a-sign"),
        pytest.param(b"a 1e999", "large numbers", id="out-of-range"),
        pytest.param(b"nan", "a number alone", id="number-alone"),
        pytest.param(b"Inf\n# EOF", "a number alone", id="number-alone-in-openmetrics"),
        pytest.param(b'a{b="c"}x1\n# EOF', "a character after labels", id="character-after-labels"),
        pytest.param(b'a 2.5 10".# b\n# EOF', "a quote in a timestamp", id="quote-in-a-timestamp"),
        pytest.param(b"a 1 1" + b"0" * 309, "timestamps", id="timestamp-that-no-float-reaches"),
        pytest.param(b'a 5 -13"} 1\n# EOF', "a quote in a timestamp", id="quote-and-brace-in-a-timestamp"),
        pytest.param(b'a{ b="c"} 1\n# EOF', "blanks in OpenMetrics", id="blank-in-openmetrics"),
        pytest.param(b"a 1 5.+5\n# EOF", "fractions of a second", id="fraction-with-a-sign"),
        pytest.param(b"a 1 -0.5\n# EOF", "timestamp between -1 and 0", id="half-a-second-before-1970"),
        pytest.param(b"a 1 1.795509571e+09\n# EOF", "exponent behind nine digits", id="exponent"),
        pytest.param(b"# TYPE a counter\na 1", "name of a counter", id="counter"),
        pytest.param(b" a 1", "blanks before a name", id="blank-before-a-name"),
        pytest.param(b'q{quantile="1"} 1', "bound", id="bound"),
        pytest.param(b"a 1 1e30\n# EOF", "timestamp beyond 64 bits", id="openmetrics-beyond-64-bits"),
    ],
)
def test_each_known_difference_is_met_and_has_a_reason(line, name):
    assert compared(line).known == {name: 1}
    assert len(differences.SPELT.get(name) or differences.LAX[name][2]) > 20


@pytest.mark.parametrize(
    ("page", "why"),
    [
        pytest.param(b"a 1\n# EOF\nb 1\n", "# EOF inside", id="eof-inside"),
        pytest.param(b"a 1\n" + b"b 1 2 3\n" * 11, "many bad lines", id="many-bad-lines"),
        pytest.param(b"a 1\na 1\n# EOF\n", "repeated in OpenMetrics", id="repeated"),
        pytest.param(b"no page", None, id="refused-by-both"),
    ],
)
def test_a_page_that_is_not_compared_says_why(page, why):
    assert compared(page) == why


# Work by the size of a page

SAME = [
    b"{",
    b'"',
    b"\\",
    b",",
    b" ",
    b"=",
    b"1",
    b"a",
    b"#",
    b"\n",
    b"# ",
    b'",',
    b'\\"',
    b"\xff",
    b"\r",
    b"}{",
    b"e9",
    b"\t",
]


@pytest.mark.parametrize(
    "page",
    [
        *(pytest.param(lambda count, token=token: b"a" + token * count, id=repr(token)) for token in SAME),
        pytest.param(lambda count: b'a{b="' + b"\\" * count + b'"} 1', id="escapes-in-quotes"),
        pytest.param(lambda count: b"a{" + b'b="c",' * count + b"} 1", id="one-label-many-times"),
        pytest.param(
            lambda count: b"a{" + b",".join(b'b%d="c"' % at for at in range(count)) + b"} 1", id="many-labels"
        ),
        pytest.param(lambda count: b"".join(b"a%d 1\n" % at for at in range(count)), id="many-samples"),
        pytest.param(lambda count: b"a 1\nb x\n" * count, id="every-other-line-bad"),
        pytest.param(lambda count: b"".join(b"# TYPE a%d gauge\n" % at for at in range(count)), id="many-types"),
        pytest.param(lambda count: b"".join(b'a_bucket{le="%d"} 1\n' % at for at in range(count)), id="many-bounds"),
        pytest.param(lambda count: b"a 1 5\n" * count, id="many-timestamps"),
    ],
)
@pytest.mark.parametrize("end", [b"", b"\n# EOF\n"], ids=["text", "openmetrics"])
def test_a_page_of_twice_the_size_takes_no_more_than_twice_the_calls(page, end):
    once, twice = (calls(page(count) + end) for count in (500, 1_000))
    assert twice <= 2.1 * once + 100


def calls(page: bytes) -> int:
    """How many functions are called to read a page three times: a new one, a known one, and one like an earlier one."""
    seen = 0

    def count(frame, event, argument):
        nonlocal seen
        seen += event in ("call", "c_call")

    shape.forget()
    before = sys.getprofile()
    sys.setprofile(count)
    try:
        for one in (page, page, b"z 1\n" + page):
            with suppress(ExpositionError):
                parse(one)
    finally:
        sys.setprofile(before)
    return seen


# What was found


def test_a_body_that_is_nested_too_deep_is_the_callers_mistake():
    [collect] = [event for event in requests.EVENTS if event["routeKey"].startswith("POST")]
    answer = api.handler(deepcopy(collect) | {"body": "[" * 200_000}, requests.CONTEXT)
    assert (answer["statusCode"], json.loads(answer["body"])["error_code"]) == (422, "invalid_request")


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        pytest.param("{", 422, "invalid_request", id="no-base64"),
        pytest.param(base64.b64encode(b"\xff\xfe").decode(), 422, "invalid_request", id="no-text"),
        pytest.param(base64.b64encode(b"{}").decode(), 422, "invalid_request", id="an-empty-object"),
    ],
)
def test_a_body_in_base64_that_is_no_text_is_the_callers_mistake(body, status, code):
    [collect] = [event for event in requests.EVENTS if event["routeKey"].startswith("POST")]
    event = deepcopy(collect) | {"body": body, "isBase64Encoded": True}
    answer = api.handler(event, requests.CONTEXT)
    assert (answer["statusCode"], json.loads(answer["body"])["error_code"]) == (status, code)


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(b'# UNIT a_seconds seconds\na 1\nh_bucket{le="1",} 1\n# EOF\n', id="comma-behind-a-lone-bound"),
        pytest.param(b'# TYPE "" gauge\na 1\n.5\n', id="number-alone-once-an-empty-name-is-declared"),
        pytest.param(b'# TYPE "a.b" gauge\na 1\na.b 5\n', id="name-that-needs-its-quotes"),
    ],
)
def test_a_page_that_was_read_in_two_ways(page):
    assert pages.check(page)["samples"] == 1
