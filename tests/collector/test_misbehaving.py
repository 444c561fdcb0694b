"""Each server that misbehaves has its code, its words, its deadline and its bound on memory."""

import re
import time
import tracemalloc
from collections.abc import Callable

import pytest
from authority import Authority
from misbehaving import MAX_PAGE_BYTES, SERVERS, Server

import servers
from collector.errors import ScrapeError
from collector.policy import Destination
from collector.scrape import PIECE_BYTES, Page, scrape
from servers import PAGE

Serve = Callable[..., servers.Server]

# The page and an eighth to grow in, and pieces of it: as they came, what is left of them to unpack, unpacked
MEMORY_BYTES = MAX_PAGE_BYTES * 9 // 8 + 8 * PIECE_BYTES


@pytest.fixture(autouse=True)
def _small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAX_PAGE_BYTES", str(MAX_PAGE_BYTES))


def start(row: Server, serve: Serve, authority: Authority) -> servers.Server:
    return serve(row.script, tls=authority.certify(**row.certificate) if row.certificate else None)


def fetch(server: servers.Server, row: Server, seconds: float | None = None) -> Page:
    destination = Destination(row.scheme, "127.0.0.1", server.port, "/metrics", ("127.0.0.1",))
    return scrape(destination, time.monotonic() + (seconds or row.seconds))


def outcome(server: servers.Server, row: Server) -> tuple[str | None, str]:
    try:
        assert fetch(server, row).body == PAGE
    except ScrapeError as error:
        return error.code, str(error)
    return None, ""


EACH = pytest.mark.parametrize("row", [pytest.param(row, id=row.name) for row in SERVERS])


@EACH
def test_a_server_that_misbehaves_has_its_code_and_its_words(serve: Serve, trusted: Authority, row: Server) -> None:
    server = start(row, serve, trusted)
    began = time.monotonic()
    tracemalloc.start()
    try:
        code, words = outcome(server, row)
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert code == row.code, words
    assert re.search(row.words, words)
    assert "canary" not in words
    assert peak_bytes < MEMORY_BYTES
    assert time.monotonic() - began < 30  # a guard, against what has no end
    assert server.connections == 1
