"""A short run of what `make fuzz` does for long, without the mutations; and what that found."""

import base64
import json
from copy import deepcopy

import pytest
from hypothesis import HealthCheck, given, settings

from fuzz import blobs, pages, requests
from handlers import api

BRIEF = settings(max_examples=200, database=None, suppress_health_check=[HealthCheck.too_slow])


@BRIEF
@given(pages.PAGES)
def test_a_page_that_was_made_up_has_no_sample_that_it_does_not_hold(page):
    pages.check(page)


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


def test_pages_are_compared_with_another_reading():
    assert pages.check(b'a{b="c"} 1\nd 2.5 1000\n')
    assert not pages.check(b"no page")


@pytest.mark.parametrize("name", pages.KNOWN_DIFFERENCES)
def test_each_known_difference_has_a_reason(name):
    assert len(pages.KNOWN_DIFFERENCES[name][1]) > 20


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
