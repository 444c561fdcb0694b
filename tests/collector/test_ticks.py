"""A tick has one owner, however many ask at once. Against the embedded DynamoDB: moto forgets itself in threads."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from collector import dynamodb, ticks
from local.aws import EmbeddedAws
from local.template import Template

TICK_MS = 1_795_489_200_000


@pytest.fixture
def _embedded(monkeypatch):
    with EmbeddedAws() as aws:
        aws.create_tables(Template())
        for name, value in (aws.environment() | {"TARGETS_TABLE": "Targets"}).items():
            monkeypatch.setenv(name, value)
        dynamodb.client.cache_clear()
        yield
        dynamodb.client().close()
        dynamodb.client.cache_clear()


@pytest.mark.usefixtures("_embedded")
def test_of_several_who_ask_at_once_one_has_the_tick():
    for minute in range(10):
        with ThreadPoolExecutor(4) as pool:
            claims = list(pool.map(ticks.claim, [TICK_MS + minute * 60_000] * 4))
        assert sorted(claims) == [False, False, False, True]


@pytest.mark.parametrize(
    ("tick_ms", "name"),
    [(0, "1970-01-01T00:00Z"), (TICK_MS, "2026-11-24T03:00Z"), (TICK_MS + 60_000, "2026-11-24T03:01Z")],
)
def test_a_tick_is_named_for_its_minute(tick_ms, name):
    assert ticks.name(tick_ms) == name
