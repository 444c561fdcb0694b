"""HTTP requests as HTTP API events, and a function's answers as HTTP."""

import base64

import pytest

from local.gateway import Answer, Request, answer_of, event_of


def event(method="GET", target="/", headers=(), body=b""):
    return event_of(Request(method, target, "HTTP/1.1", headers, body, "127.0.0.1"))


@pytest.mark.parametrize(
    ("target", "path", "query", "parameters"),
    [
        pytest.param("/a/b", "/a/b", "", None, id="no-query"),
        pytest.param("/a?", "/a", "", None, id="empty-query"),
        pytest.param("/a?x=1&y=2", "/a", "x=1&y=2", {"x": "1", "y": "2"}, id="two"),
        pytest.param("/a?x=1&x=2", "/a", "x=1&x=2", {"x": "1,2"}, id="twice"),
        pytest.param("/a?x=", "/a", "x=", {"x": ""}, id="blank"),
        pytest.param("/a?x=h%3A%2F%2Fb+c", "/a", "x=h%3A%2F%2Fb+c", {"x": "h://b c"}, id="encoded-query"),
        pytest.param("/a?x=1?y=2", "/a", "x=1?y=2", {"x": "1?y=2"}, id="question-mark-in-query"),
        pytest.param("/a%3Ab%20%C3%A4", "/a:b ä", "", None, id="encoded-path"),
    ],
)
def test_path_and_query(target, path, query, parameters):
    made = event(target=target)
    assert (made["rawPath"], made["requestContext"]["http"]["path"]) == (path, path)
    assert made["rawQueryString"] == query
    assert made.get("queryStringParameters") == parameters


def test_header_names_are_lower_case_and_repeated_ones_joined():
    headers = event(headers=[("Accept", "a/b"), ("X-Two", "1"), ("x-two", "2")])["headers"]
    assert (headers["accept"], headers["x-two"]) == ("a/b", "1,2")


def test_the_gateway_says_who_asked():
    headers = event(headers=[("X-Forwarded-For", "10.0.0.1"), ("X-Forwarded-Proto", "https")])["headers"]
    assert headers["x-forwarded-for"] == "10.0.0.1, 127.0.0.1"
    assert headers["x-forwarded-proto"] == "http"


def test_cookies_stand_alone():
    made = event(headers=[("Cookie", "a=1; b=2"), ("Cookie", "c=3")])
    assert made["cookies"] == ["a=1", "b=2", "c=3"]
    assert "cookie" not in made["headers"]
    assert "cookies" not in event()


@pytest.mark.parametrize(
    ("body", "text", "encoded"),
    [
        pytest.param(b'{"a":"\xc3\xa4"}', '{"a":"ä"}', False, id="text"),
        pytest.param(b"\xff\x00", base64.b64encode(b"\xff\x00").decode(), True, id="bytes"),
        pytest.param(b"", None, False, id="none"),
    ],
)
def test_bodies(body, text, encoded):
    made = event("POST", body=body)
    assert (made.get("body"), made["isBase64Encoded"]) == (text, encoded)


def test_the_context_describes_the_request():
    made = event("PUT", "/x", [("Host", "localhost:8002"), ("User-Agent", "curl/8")])
    context = made["requestContext"]
    assert made["version"] == "2.0"
    assert (context["stage"], context["routeKey"], context["domainName"]) == ("$default", "$default", "localhost:8002")
    assert context["http"] == {
        "method": "PUT",
        "path": "/x",
        "protocol": "HTTP/1.1",
        "sourceIp": "127.0.0.1",
        "userAgent": "curl/8",
    }
    assert context["requestId"] != event()["requestContext"]["requestId"]
    assert context["timeEpoch"] > 1.7e12


@pytest.mark.parametrize(
    ("returned", "answer"),
    [
        pytest.param(
            {"statusCode": 200, "headers": {"Content-Type": "text/plain"}, "body": "ä", "isBase64Encoded": False},
            Answer(200, [("Content-Type", "text/plain")], "ä".encode()),
            id="text",
        ),
        pytest.param(
            {"statusCode": 200, "body": base64.b64encode(b"\xff").decode(), "isBase64Encoded": True},
            Answer(200, [], b"\xff"),
            id="bytes",
        ),
        pytest.param(
            {"statusCode": 204, "cookies": ["a=1; Secure", "b=2"], "body": None},
            Answer(204, [("Set-Cookie", "a=1; Secure"), ("Set-Cookie", "b=2")], b""),
            id="cookies-and-no-body",
        ),
    ],
)
def test_answers(returned, answer):
    assert answer_of(returned) == answer
