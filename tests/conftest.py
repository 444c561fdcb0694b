"""Servers that live as long as a test, and an AWS in the process for what is to be kept."""

import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import hypothesis
import pytest
from moto import mock_aws

import collector.dynamodb
from collector import batches, connections, deployment, members, messages, pages, secrets
from faulty_dynamodb import FaultyDynamoDb
from local.aws import TABLE_PROPERTIES, EmbeddedAws
from local.template import Template
from queues import Queue, Script, takes_all
from servers import Server
from tables import TABLES, create_tables

# No test asserts on a clock.
hypothesis.settings.register_profile("no clock", deadline=None)
hypothesis.settings.load_profile("no clock")

# The template declares them; the handler reads them when it is imported.
os.environ |= {"POWERTOOLS_SERVICE_NAME": "sglang-collector", "POWERTOOLS_METRICS_NAMESPACE": "SGLangCollector"}


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    """Start servers that end with the test, and with it the connections kept to them."""
    with ExitStack() as servers:
        yield lambda script, **options: servers.enter_context(Server(script, **options))
        connections.POOLS.clear()


@pytest.fixture
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of nobody."""
    for name, value in {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "eu-west-1",
    }.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def start_queue(credentials: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Queue]]:
    """Start an SQS with a script; the sender has no patience, only attempts."""
    monkeypatch.setattr(messages, "FIRST_PAUSE_SECONDS", 0.001)
    with ExitStack() as queues:

        def start(script: Script = takes_all) -> Queue:
            queue = queues.enter_context(Queue(script))
            monkeypatch.setenv("AWS_ENDPOINT_URL_SQS", queue.url)
            monkeypatch.setenv("QUEUE_URL", f"{queue.url}/123456789012/Queue")
            messages.client.cache_clear()
            queues.callback(messages.client.cache_clear)
            queues.callback(lambda: messages.client().close())
            return queue

        yield start


@pytest.fixture
def table(credentials: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Empty tables, `snapshots` and `targets`."""
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with mock_aws():
        forget_clients()
        for variable, (name, _) in TABLES.items():
            monkeypatch.setenv(variable, name)
        create_tables()
        yield
    forget_clients()


def forget_clients() -> None:
    collector.dynamodb.client.cache_clear()
    batches.client.cache_clear()
    pages.forget()
    members.forget()
    secrets.forget()


@pytest.fixture(scope="session")
def aws() -> Iterator[EmbeddedAws]:
    """An AWS of its own process, with the template's tables and where secrets are kept."""
    with EmbeddedAws(("dynamodb", "sqs", "secretsmanager", "ssm")) as embedded:
        embedded.create_tables(Template())
        yield embedded


@pytest.fixture
def dynamodb(aws: EmbeddedAws, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyDynamoDb]:
    """What the store talks to: a DynamoDB that can be made to fail, with empty tables."""
    declared = Template().tables()
    tables = {f"{name.upper()}_TABLE": f"{name.lower()}-{uuid.uuid4()}" for name in declared}
    for properties, table in zip(declared.values(), tables.values(), strict=True):
        aws.client().create_table(
            TableName=table, **{key: properties[key] for key in TABLE_PROPERTIES if key in properties}
        )
    with FaultyDynamoDb(aws.endpoint_url) as faulty:
        for name, value in (aws.environment() | {"AWS_ENDPOINT_URL": faulty.url} | tables).items():
            monkeypatch.setenv(name, value)
        forget_clients()
        yield faulty
    forget_clients()
    for table in tables.values():
        aws.client().delete_table(TableName=table)


@pytest.fixture
def on_a_laptop(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Policy lets loopback be scraped, on any port."""
    monkeypatch.setenv("ALLOW_LOOPBACK", "true")
    monkeypatch.setenv("ALLOWED_PORTS", "1-65535")
    deployment.rules.cache_clear()
    yield
    deployment.rules.cache_clear()


@pytest.fixture
def set_limits(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """A function that sets the limits of a page, as the template does."""

    def set_by(text: str) -> None:
        monkeypatch.setenv("PAGE_LIMITS", text)
        deployment.page_limits.cache_clear()

    yield set_by
    deployment.page_limits.cache_clear()


@pytest.fixture
def set_thresholds(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """A function that sets all servers' thresholds, as the template does."""

    def set_by(text: str) -> None:
        monkeypatch.setenv("HEALTH_THRESHOLDS", text)
        deployment.base_thresholds.cache_clear()

    yield set_by
    deployment.base_thresholds.cache_clear()
