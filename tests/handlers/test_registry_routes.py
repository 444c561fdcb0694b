"""The registry's routes: versions as ETags, wrong fields by name, a list by cursor."""

import base64
import json

import boto3
import pytest
from calls import ask

from collector import deployment

OPERATOR = "arn:aws:iam::123456789012:user/operator"
SETTINGS = {"engine": "sglang", "endpoint": "http://10.0.1.17:30000/metrics"}
DEFAULTS = {
    "interval_seconds": 60,
    "timeout_seconds": 10.0,
    "retention_days": None,
    "labels": {},
    "thresholds": {},
    "auth": None,
    "ca": None,
    "enabled": True,
}

pytestmark = pytest.mark.usefixtures("table")


def send(name, instance_id="sglang-001", if_match=None, **changes):
    """Status, body and ETag of the answer to an event about a target; without `if_match` it has no If-Match."""
    headers = {} if if_match is None else {"if-match": if_match}
    answer = ask(name, path=f"/api/v1/targets/{instance_id}", headers=headers, **changes)
    return answer["statusCode"], json.loads(answer["body"] or "null"), answer["headers"].get("ETag")


def put(instance_id="sglang-001", if_match=None, signed=True, **changes):
    return send("targets-put", instance_id, if_match, signed=signed, body=SETTINGS | changes)


def read(instance_id="sglang-001"):
    return send("targets-read", instance_id)


def delete(instance_id="sglang-001", if_match=None):
    # The event file has an If-Match; the route without one is the same event as a read with another method.
    return send("targets-read", instance_id, if_match, method="DELETE")


def page(**query):
    answer = ask("targets-list", query=query)
    return answer["statusCode"], json.loads(answer["body"])


def test_a_target_is_registered_with_the_defaults_and_read_back():
    status, put_there, etag = put()
    assert (status, etag) == (201, '"1"')
    changed_at = put_there.pop("changed_at")
    assert put_there == {
        "instance_id": "sglang-001", **SETTINGS, **DEFAULTS, "version": 1, "changed_by": OPERATOR
    }  # fmt: skip
    assert changed_at.endswith("Z")
    assert read() == (200, put_there | {"changed_at": changed_at}, '"1"')


@pytest.mark.parametrize("if_match", ['"1"', "*"])
def test_a_target_is_changed_where_its_version_is_the_one_named(if_match):
    put()
    status, changed, etag = put(if_match=if_match, interval_seconds=30)
    assert (status, changed["version"], changed["interval_seconds"], etag) == (200, 2, 30, '"2"')
    assert read()[1] == changed


@pytest.mark.parametrize("if_match", [None, '"2"', '"0"'], ids=["create", "not-yet", "never"])
def test_another_version_than_the_one_there_is_412_and_changes_nothing(if_match):
    _, before, _ = put()
    status, answer, etag = put(if_match=if_match, interval_seconds=30)
    assert (status, answer["error_code"], etag) == (412, "version_conflict", '"1"')
    assert answer["error"] == "sglang-001 is at version 1"
    assert read()[1] == before


@pytest.mark.parametrize("if_match", ['"1"', "*"])
def test_a_version_of_a_target_that_is_not_there_cannot_be_replaced(if_match):
    status, answer, etag = put(if_match=if_match)
    assert (status, answer["error_code"], etag) == (412, "version_conflict", None)
    assert read()[0] == 404


@pytest.mark.parametrize("if_match", [None, '"1"', '"2"', "*"], ids=["create", "stale", "current", "any"])
def test_a_change_that_is_there_already_is_answered_as_done(if_match):
    put()
    _, changed, _ = put(if_match='"1"', interval_seconds=30)
    assert put(if_match=if_match, interval_seconds=30) == (200, changed, '"2"')


def test_a_target_is_deleted_and_can_be_registered_anew():
    put()
    assert delete(if_match='"1"') == (204, None, None)
    assert read()[0] == 404
    assert put()[0] == 201


def test_the_answer_to_a_deletion_says_no_type_of_a_body_that_is_not_there():
    put()
    answer = ask("targets-delete", path="/api/v1/targets/sglang-001", headers={"if-match": "*"})
    assert (answer["statusCode"], answer["body"], answer["headers"].get("Content-Type")) == (204, "", None)


def test_a_target_is_deleted_whatever_its_version():
    put()
    put(if_match='"1"', enabled=False)
    assert delete(if_match="*")[0] == 204


@pytest.mark.parametrize(
    ("there", "if_match", "status", "code"),
    [
        pytest.param(True, None, 428, "if_match_required", id="no-version"),
        pytest.param(True, '"2"', 412, "version_conflict", id="another-version"),
        pytest.param(False, '"1"', 404, "not_found", id="not-there"),
        pytest.param(False, "*", 404, "not_found", id="not-there-whatever-version"),
    ],
)
def test_what_is_not_deleted(there, if_match, status, code):
    before = put()[1] if there else None
    answered, answer, _ = delete(if_match=if_match)
    assert (answered, answer["error_code"]) == (status, code)
    assert not there or read()[1] == before


def test_a_target_that_is_not_registered_is_404():
    status, answer, _ = read("nobody")
    assert (status, answer["error_code"]) == (404, "not_found")
    assert "nobody" in answer["error"]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        pytest.param({"engine": "llamafile"}, "body.engine", id="engine"),
        pytest.param({"endpoint": "http://a b/"}, "body.endpoint", id="endpoint-with-a-space"),
        pytest.param({"interval_seconds": 14}, "body.interval_seconds", id="interval-too-short"),
        pytest.param({"interval_seconds": 3601}, "body.interval_seconds", id="interval-too-long"),
        pytest.param({"interval_seconds": 20.5}, "body.interval_seconds", id="interval-broken"),
        pytest.param({"timeout_seconds": 0.5}, "body.timeout_seconds", id="timeout-too-short"),
        pytest.param(
            {"interval_seconds": 15, "timeout_seconds": 15}, "body.timeout_seconds", id="timeout-of-an-interval"
        ),
        pytest.param({"retention_days": 0}, "body.retention_days", id="retention"),
        pytest.param({"enabled": "perhaps"}, "body.enabled", id="enabled"),
        pytest.param({"labels": {"team": 1}}, "body.labels.team", id="label-value"),
        pytest.param({"labels": {"the team": "a"}}, "body.labels.the team.[key]", id="label-name"),
        pytest.param({"labels": {f"l{n}": "" for n in range(17)}}, "body.labels", id="labels-too-many"),
        pytest.param({"thresholds": {"stalled_seconds": "soon"}}, "body.thresholds.stalled_seconds", id="no-number"),
        pytest.param({"thresholds": [60]}, "body.thresholds", id="thresholds-a-list"),
        pytest.param({"version": 1}, "body.version", id="a-field-of-ours"),
    ],
)
def test_a_wrong_field_is_422_and_named(changes, field):
    status, answer, _ = put(**changes)
    assert (status, answer["error_code"], [wrong["field"] for wrong in answer["fields"]]) == (
        422, "invalid_request", [field]
    )  # fmt: skip
    assert field in answer["error"]
    assert read()[0] == 404


@pytest.mark.parametrize(
    ("thresholds", "words"),
    [
        pytest.param({"stalled_second": 60}, "stalled_second is no threshold; they are failures_in_a_row, ", id="name"),
        pytest.param({"idle_ratio": 0.5, "kv_usage_ratio": 90}, "kv_usage_ratio is 90.0: ", id="per-cent"),
        pytest.param({"failures_in_a_row": 1.5}, "failures_in_a_row is 1.5: ", id="one-and-a-half"),
        pytest.param({"stale_intervals": 0}, "stale_intervals is 0.0: ", id="stale-at-once"),
    ],
)
def test_a_threshold_that_cannot_be_is_422_and_named(thresholds, words):
    status, answer, _ = put(thresholds=thresholds)
    assert (status, [wrong["field"] for wrong in answer["fields"]]) == (422, ["body.thresholds"])
    assert words in answer["error"]
    assert read()[0] == 404


def test_a_target_keeps_its_own_thresholds_until_a_put_leaves_them_out():
    own = {"stalled_seconds": 90, "cache_thrashing_tokens": 500, "stale_intervals": 10}
    assert put(thresholds=own)[1]["thresholds"] == own
    assert read()[1]["thresholds"] == own
    assert put(if_match='"1"')[1]["thresholds"] == {}
    assert read()[1]["thresholds"] == {}


@pytest.mark.parametrize(
    ("endpoint", "words"),
    [
        pytest.param("ftp://10.0.0.1/", "does not begin with http", id="scheme"),
        pytest.param("http://user:secret@10.0.0.1:30000/", "has credentials", id="credentials"),
        pytest.param("http://10.0.0.1:22/metrics", "port 22", id="port"),
        pytest.param("http://169.254.169.254/latest/meta-data", "link-local", id="metadata"),
        pytest.param("http://8.8.8.8:30000/", "ALLOW_PUBLIC_ADDRESSES", id="public"),
    ],
)
def test_an_endpoint_that_policy_forbids_is_422_at_once(endpoint, words):
    status, answer, _ = put(endpoint=endpoint)
    [wrong] = answer["fields"]
    assert (status, answer["error_code"], wrong["field"]) == (422, "endpoint_forbidden", "body.endpoint")
    assert words in wrong["message"]
    assert "secret" not in json.dumps(answer)


@pytest.fixture
def trusted(monkeypatch):
    """What is registered is trusted."""
    monkeypatch.setenv("TRUST_REGISTERED_TARGETS", "true")
    deployment.rules.cache_clear()
    yield
    deployment.rules.cache_clear()


@pytest.mark.parametrize("endpoint", ["http://8.8.8.8:30000/", "http://10.0.0.1:22/metrics", "http://198.18.0.1:8000/"])
def test_where_the_registry_is_trusted_an_operator_says_where_to_go(trusted, endpoint):
    assert put(endpoint=endpoint)[0] == 201


@pytest.mark.parametrize(
    "endpoint", ["http://169.254.169.254/latest", "http://[fd00:ec2::254]/", "http://127.0.0.1:9001/"]
)
def test_but_not_where_nobody_may_go(trusted, endpoint):
    assert put(endpoint=endpoint)[0] == 422


def test_a_name_is_not_looked_up_when_it_is_registered():
    assert put(endpoint="http://not-yet-in-any-dns.invalid:30000/metrics")[0] == 201


@pytest.mark.parametrize("if_match", ["1", '"one"', 'W/"1"', '"1", "2"', "", f'"{10**15}"'])
def test_an_if_match_that_is_no_etag_of_ours_is_422(if_match):
    put()
    for answered in (put(if_match=if_match), delete(if_match=if_match)):
        status, answer, _ = answered
        assert (status, [wrong["field"] for wrong in answer["fields"]]) == (422, ["header.if-match"])


@pytest.mark.parametrize("instance_id", ["a@b", "a" * 129])
@pytest.mark.parametrize("route", [put, read, delete])
def test_a_wrong_id_is_422_and_named(route, instance_id):
    status, answer, _ = route(instance_id)
    assert (status, [wrong["field"] for wrong in answer["fields"]]) == (422, ["path.instance_id"])


def test_where_nobody_signs_nobody_is_named():
    assert put(signed=False)[1]["changed_by"] is None


def test_the_list_is_read_page_by_page():
    names = [f"sglang-{letter}" for letter in "abcde"]
    targets = [put(name)[1] for name in names]
    status, first = page(limit="3")
    assert (status, first["targets"]) == (200, targets[:3])
    assert page(limit="3", cursor=first["cursor"]) == (200, {"targets": targets[3:], "cursor": None})


def test_an_empty_registry_is_an_empty_list():
    assert page() == (200, {"targets": [], "cursor": None})


def cursor(content):
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param("", id="empty"),
        pytest.param("sglang-001", id="an-id"),
        pytest.param("ä", id="not-ascii"),
        pytest.param(cursor(b"sglang-001"), id="unmarked"),
        pytest.param(cursor(b"targets/1:a b"), id="no-id"),
        pytest.param(cursor(b"targets/1:"), id="nothing"),
        pytest.param(cursor(b"targets/1:\xff"), id="not-text"),
        pytest.param(cursor(b"history/1:sglang-001"), id="of-another-list"),
        pytest.param(cursor(b"targets/1:sglang-001") + "=", id="another-spelling"),
        pytest.param(cursor(b"targets/1:sglang-001") + "\n", id="with-a-newline"),
    ],
)
def test_a_cursor_that_the_list_has_not_given_is_422(wrong):
    status, answer = page(cursor=wrong)
    assert (status, [each["field"] for each in answer["fields"]]) == (422, ["query.cursor"])


@pytest.mark.parametrize("limit", ["0", "1001", "many", ""])
def test_a_limit_out_of_bounds_is_422(limit):
    status, answer = page(limit=limit)
    assert (status, [wrong["field"] for wrong in answer["fields"]]) == (422, ["query.limit"])


def test_one_log_line_says_what_was_changed_and_by_whom(caplog):
    put()
    put()
    delete(if_match='"1"')
    lines = [(record.message, record.instance_id, record.by) for record in caplog.records]
    assert lines == [("target registered", "sglang-001", OPERATOR), ("target deleted", "sglang-001", OPERATOR)]


def test_a_table_that_is_not_there_is_our_own_fault():
    boto3.client("dynamodb").delete_table(TableName="targets")
    for status, answer, _ in (put(), read(), delete(if_match='"1"')):
        assert (status, answer["error_code"]) == (500, "internal_error")
