"""Servers that ask who comes, and the secrets of Secrets Manager and Parameter Store that they are told."""

import base64
import json
import ssl
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import boto3
import pytest
from authority import Authority

from aws_service import AwsService
from collector import asking, deployment, secrets
from collector.errors import ContentError, SecretError, SecretForbidden, StatusError, TlsError
from servers import PAGE, whole
from support import target

TOKEN = "first-token-of-the-fleet"  # noqa: S105
NEXT = "second-token-of-the-fleet"


@pytest.fixture(autouse=True)
def _names_under_a_prefix(table, on_a_laptop, monkeypatch):
    monkeypatch.setenv("SECRETS_PREFIX", "fleet/")
    monkeypatch.setenv("ALLOW_SECRETS_OVER_HTTP", "true")
    deployment.rules.cache_clear()


def keep(value=TOKEN, name="fleet/token"):
    client = boto3.client("secretsmanager")
    try:
        client.create_secret(Name=name, SecretString=value)
    except client.exceptions.ResourceExistsException:
        client.put_secret_value(SecretId=name, SecretString=value)


@pytest.fixture
def fetches(table):
    """The names of the calls that reach Secrets Manager."""
    seen = []
    client = secrets._provider("secretsmanager").client
    client.meta.events.register("before-send.secrets-manager", lambda **_: seen.append(1))
    return seen


@pytest.fixture
def gate(serve):
    """Start a server that lets in who says the line that `gate.line` is."""

    def start(line, status="401 Unauthorized", **options):
        def script(visit):
            while asked := visit.request():
                let_in = f"\r\n{server.line}\r\n".encode("latin-1") in asked
                visit.send(whole() if let_in else whole(asked, status=status))

        server = serve(script, **options)
        server.line = line
        return server

    return start


def ask(server, scheme="http", ca=None, seconds=10, **auth):
    told = {"type": "bearer", "secret": "fleet/token"} | auth
    endpoint = f"{scheme}://127.0.0.1:{server.port}/metrics"
    asked = target(endpoint=endpoint, auth=told, ca=ca, timeout_seconds=seconds)
    return asking.ask(asked, time.monotonic() + 60)


@pytest.mark.parametrize(
    ("auth", "value", "line"),
    [
        pytest.param({}, TOKEN, f"Authorization: Bearer {TOKEN}", id="bearer"),
        pytest.param({"type": "header", "header": "X-Key"}, TOKEN, f"X-Key: {TOKEN}", id="header"),
        pytest.param({"type": "header", "header": "X-Key"}, "schlüssel", "X-Key: schlüssel", id="latin-1"),
        pytest.param({"type": "basic"}, "ops:pass:word", "Authorization: Basic b3BzOnBhc3M6d29yZA==", id="basic"),
        pytest.param(
            {"type": "basic"},
            json.dumps({"username": "ops", "password": "pass:word", "host": "x"}),
            "Authorization: Basic b3BzOnBhc3M6d29yZA==",
            id="basic-in-json",
        ),
    ],
)
def test_a_server_is_told_the_secret(gate, auth, value, line):
    keep(value)
    assert ask(gate(line), **auth).page.body == PAGE


def test_a_parameter_is_decrypted(gate):
    boto3.client("ssm").put_parameter(Name="/fleet/token", Value=TOKEN, Type="SecureString")
    assert ask(gate(f"Authorization: Bearer {TOKEN}"), secret="ssm:/fleet/token").page.body == PAGE  # noqa: S106


def test_a_secret_is_fetched_once_for_many_scrapes(gate, fetches):
    keep()
    server = gate(f"Authorization: Bearer {TOKEN}")
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: ask(server), range(64)))
    assert all(answer.page for answer in answers)
    assert len(fetches) == 1


@pytest.mark.parametrize("status", ["401 Unauthorized", "403 Forbidden"])
def test_rotation_is_picked_up_by_the_scrape_that_is_refused(gate, fetches, status):
    keep()
    server = gate(f"Authorization: Bearer {TOKEN}", status)
    assert ask(server).page
    keep(NEXT)
    server.line = f"Authorization: Bearer {NEXT}"
    assert ask(server).page.body == PAGE
    assert ask(server).page.body == PAGE
    assert (len(server.requests), len(fetches)) == (4, 2)


def test_a_wrong_secret_is_fetched_anew_once_however_many_servers_refuse_it(gate, fetches):
    keep("the-wrong-one")
    server = gate(f"Authorization: Bearer {TOKEN}")
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: ask(server), range(64)))
    assert {(type(answer.error), answer.error.status) for answer in answers} == {(StatusError, 401)}
    assert len(server.requests) == 64
    assert len(fetches) == 2


def test_another_refusal_fetches_nothing_anew(gate, fetches):
    keep("the-wrong-one")
    assert ask(gate("never", "503 Busy")).error.status == 503
    assert len(fetches) == 1


def test_a_missing_secret_is_an_outcome_that_names_it_and_is_not_looked_for_at_once_again(gate, fetches):
    server = gate("never")
    errors = [ask(server).error for _ in range(3)]
    assert {(type(error), str(error)) for error in errors} == {
        (SecretError, "fleet/token: cannot be had: ResourceNotFoundException")
    }
    assert (len(fetches), server.requests) == (1, [])


@pytest.mark.parametrize(
    ("auth", "value", "reason"),
    [
        pytest.param({}, f"{TOKEN}\r\nX-More: 1", "is empty or has characters", id="line-ends"),
        pytest.param({}, f"{TOKEN}\n", "is empty or has characters", id="line-end-at-the-end"),
        pytest.param({}, f"{TOKEN}\x00", "is empty or has characters", id="control"),
        pytest.param({}, f"{TOKEN}€", "is empty or has characters", id="not-latin-1"),
        pytest.param({}, f" {TOKEN}", "is empty or has characters", id="blank"),
        pytest.param({"type": "basic"}, TOKEN, "is neither user:password nor JSON", id="basic-of-one-word"),
        pytest.param({"type": "basic"}, f'{{"username": "{TOKEN}"', "is neither", id="basic-broken-json"),
        pytest.param({"type": "basic"}, f'{{"username": "{TOKEN}"}}', "is neither", id="basic-without-password"),
        pytest.param({"type": "basic"}, f"ops:{TOKEN}\n", "has characters", id="basic-line-end"),
    ],
)  # fmt: skip
def test_a_value_that_cannot_be_said_is_an_outcome_that_does_not_quote_it(gate, auth, value, reason):
    keep(value)
    server = gate("never")
    error = ask(server, **auth).error
    assert isinstance(error, SecretError)
    assert server.requests == []
    assert TOKEN not in repr([error, error.__cause__, error.__context__])
    assert str(error).startswith(f"fleet/token: {reason}")


def test_a_secret_outside_the_prefix_is_not_even_fetched(gate, fetches):
    keep(name="prod/database")
    assert isinstance(ask(gate("never"), secret="prod/database").error, SecretForbidden)  # noqa: S106
    assert fetches == []


def test_over_http_it_is_not_even_fetched(gate, fetches, monkeypatch):
    monkeypatch.delenv("ALLOW_SECRETS_OVER_HTTP")
    deployment.rules.cache_clear()
    assert isinstance(ask(gate("never")).error, SecretForbidden)
    assert fetches == []


@pytest.mark.parametrize("location", ["http://127.0.0.1:{port}/", "/elsewhere"])
def test_a_redirect_takes_the_secret_nowhere(serve, gate, location):
    keep()
    other = gate("never")

    def script(visit):
        visit.request()
        visit.send(whole(b"", f"Location: {location.format(port=other.port)}", status="302 Found"))

    server = serve(script)
    assert ask(server).error.code == "redirect"
    assert (len(server.requests), other.requests) == (1, [])


def test_a_page_that_repeats_the_secret_is_not_kept(serve):
    keep()

    def script(visit):
        visit.send(whole(b"# " + visit.request().replace(b"\r\n", b" ") + b"\n"))

    error = ask(serve(script)).error
    assert isinstance(error, ContentError)
    assert TOKEN not in str(error)


DENIED = (400, b'{"__type": "AccessDeniedException", "message": "no"}')


class _Service(AwsService):
    def __init__(self, answer):
        super().__init__()
        self.answer_now = answer

    def answer(self, operation, headers, body):
        return self.answer_now()


@pytest.fixture
def service(monkeypatch):
    """A Secrets Manager that answers as it is told."""
    started = []

    def start(answer):
        started.append(_Service(answer).__enter__())
        monkeypatch.setenv("AWS_ENDPOINT_URL_SECRETS_MANAGER", started[-1].url)
        secrets.forget()

    start.released = threading.Event()
    yield start
    start.released.set()
    for thread in [each for each in threading.enumerate() if each.name == "secret"]:
        thread.join(10)
    for each in started:
        each.__exit__()
    secrets.forget()


def test_a_role_that_may_not_is_an_outcome(gate, service):
    service(lambda: DENIED)
    assert str(ask(gate("never")).error) == "fleet/token: cannot be had: AccessDeniedException"


def test_a_service_that_hangs_takes_no_longer_than_the_scrape_may(gate, service):
    service(lambda: service.released.wait(60) and DENIED)
    error = ask(gate("never"), seconds=1).error
    assert str(error) == "fleet/token: did not come in time: is there a VPC endpoint for its service?"


# Private authorities


@pytest.fixture
def authorities(tmp_path):
    made = []
    for name in ("ours", "others"):
        (tmp_path / name).mkdir()
        made.append(Authority(tmp_path / name))
        keep(made[-1].file.read_text(), f"fleet/{name}")
    return made


def test_a_private_authority_is_trusted_where_it_is_named_and_no_connection_is_shared_with_another(gate, authorities):
    ours, _ = authorities
    keep()
    server = gate(f"Authorization: Bearer {TOKEN}", tls=ours.certify("127.0.0.1"))
    assert ask(server, "https", "fleet/ours").page.body == PAGE
    assert ask(server, "https", "fleet/ours").page.body == PAGE
    assert server.connections == 1
    for ca in ("fleet/others", None):
        assert isinstance(ask(server, "https", ca).error, TlsError)
    assert len(server.requests) == 2


def test_what_is_no_authority_is_an_outcome(gate):
    keep()
    keep(TOKEN, "fleet/ca")
    assert str(ask(gate("never"), "https", "fleet/ca").error) == "fleet/ca: holds no certificate in PEM"


def test_one_bundle_is_one_context(authorities):
    deadline = time.monotonic() + 10
    ours = secrets.authority("fleet/ours", deadline)
    assert secrets.authority("fleet/ours", deadline) is ours
    assert secrets.authority("fleet/others", deadline) is not ours
    assert (ours.verify_mode, ours.check_hostname) == (ssl.CERT_REQUIRED, True)


def test_a_header_does_not_show_what_it_says():
    code = base64.b64encode(f"ops:{TOKEN}".encode()).decode()
    shown = repr(secrets.Header("Authorization", f"Basic {code}", (TOKEN, code)))
    assert shown == "Header(name='Authorization')"
