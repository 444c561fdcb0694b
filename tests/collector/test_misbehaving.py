"""Each server that misbehaves has its code, its words, its deadline and its bound on memory."""

import gc
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator

import boto3
import measuring
import pytest
from authority import Authority
from misbehaving import GOOD, MAX_PAGE_BYTES, SERVERS, Server

import servers
from collector import asking, connections, store
from collector.errors import CollectorError, ScrapeError, TlsError
from collector.findings.hints import hint
from collector.item import Item
from collector.limits import DEFAULT, Limits
from collector.policy import Destination
from collector.scrape import PIECE_BYTES, Page, scrape
from faulty_dynamodb import FaultyDynamoDb
from handlers import worker
from queue_of_messages import Context, event, message
from servers import PAGE, Script, Visit, chunked, header, keeps_alive, sends, whole
from support import ROOT, target

Serve = Callable[..., servers.Server]

LIMITS = Limits(page_bytes=MAX_PAGE_BYTES, wire_bytes=MAX_PAGE_BYTES * 3 // 2)
# The page and an eighth to grow in, and pieces of it: as they came, what is left of them to unpack, unpacked
MEMORY_BYTES = MAX_PAGE_BYTES * 9 // 8 + 8 * PIECE_BYTES


@pytest.fixture(autouse=True)
def _small_pages(set_limits: Callable[[str], None]) -> None:
    set_limits(f"page_bytes={LIMITS.page_bytes},wire_bytes={LIMITS.wire_bytes}")


def start(row: Server, serve: Serve, authority: Authority) -> servers.Server:
    return serve(row.script, tls=authority.certify(**row.certificate) if row.certificate else None)


def fetch(server: servers.Server, row: Server, seconds: float | None = None) -> Page:
    destination = Destination(row.scheme, "127.0.0.1", server.port, "/metrics", ("127.0.0.1",))
    return scrape(destination, time.monotonic() + (seconds or row.seconds), LIMITS)


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


# Memory that Python does not count: zlib's and OpenSSL's

ALLOCATORS_BYTES = 8 << 20
HEAVY = {
    *("page-without-end", "line-without-end", "chunks-without-end", "chunk-without-end", "header-without-end"),
    *("status-line-without-end", "trailer-without-end", "trailer-line-without-end", "chunk-extensions-without-end"),
    *("gzip-bomb", "gzip-bomb-in-chunks", "gzip-of-nothing-without-end", "TLS-bomb", "TLS-handshake-without-end"),
}


@pytest.mark.skipif(not os.access(measuring.CLEAR_REFS, os.W_OK), reason="the system does not reset peaks")
def test_a_process_of_its_own_grows_by_no_more_than_a_page(serve: Serve, trusted: Authority) -> None:
    good = [serve(keeps_alive(whole()), tls=tls) for tls in (None, trusted.certify(**GOOD))]
    heavy = [row for row in SERVERS if row.name in HEAVY]
    assert len(heavy) == len(HEAVY)
    asked = [("http", good[0].port), ("https", good[1].port)]
    asked += [(row.scheme, start(row, serve, trusted).port) for row in heavy]
    child = subprocess.run(
        [sys.executable, measuring.__file__],
        input=json.dumps(asked),
        env=os.environ | {"PYTHONPATH": str(ROOT / "functions")},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    told = json.loads(child.stdout)
    assert [code for code, _ in told] == [None, None, *(row.code for row in heavy)]
    ordinary_bytes = told[1][1]
    grown = {row.name: peak_bytes - ordinary_bytes for row, (_, peak_bytes) in zip(heavy, told[2:], strict=True)}
    assert max(grown.values()) < DEFAULT.page_bytes * 9 // 8 + ALLOCATORS_BYTES, grown
    print(f"at most {max(grown.values())} bytes: {grown}")  # noqa: T201


@pytest.mark.parametrize("name", ["page-without-end", "gzip-bomb", "closes-in-its-large-page", "drips-its-gzip"])
def test_a_failure_that_is_kept_keeps_nothing_of_the_page(serve: Serve, on_a_laptop: None, name: str) -> None:
    [row] = [row for row in SERVERS if row.name == name]
    asked = target(endpoint=f"http://127.0.0.1:{serve(row.script).port}/metrics", timeout_seconds=2)
    asking.ask(asked, time.monotonic() + 60)  # what is loaded once
    gc.collect()
    gc.disable()  # it would find cycles, but when is not for us to say
    tracemalloc.start()
    try:
        answers = [asking.ask(asked, time.monotonic() + 60) for _ in range(3)]
        kept_bytes = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
        gc.enable()
    assert {getattr(answer.error, "code", None) for answer in answers} == {row.code}
    assert kept_bytes < 3 * PIECE_BYTES


@pytest.mark.skipif(not shutil.which("openssl"), reason="no openssl to renegotiate with")
def test_a_server_that_renegotiates_is_refused(trusted: Authority) -> None:
    trusted.certify(**GOOD)
    with subprocess.Popen(
        ["openssl", "s_server", "-accept", "127.0.0.1:0", "-tls1_2", "-cert", "server.pem"],
        cwd=trusted.directory,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        lines = iter(process.stdout.readline, "")  # type: ignore[union-attr]
        port = next(int(line.rpartition(":")[2]) for line in lines if line.startswith("ACCEPT "))

        def renegotiate() -> None:
            next(line for line in lines if line.startswith("GET "))
            process.stdin.write("r\n")  # type: ignore[union-attr]
            process.stdin.flush()  # type: ignore[union-attr]

        threading.Thread(target=renegotiate, daemon=True).start()
        try:
            with pytest.raises(TlsError, match="the TLS session broke before an answer"):
                scrape(Destination("https", "127.0.0.1", port, "/metrics", ("127.0.0.1",)), time.monotonic() + 20)
        finally:
            process.kill()
            connections.POOLS.clear()


# Kept connections

NEXT = b"next 1\n"


def then_answers(first: Script) -> Script:
    """On the first connection as the script says, on later ones as a server should."""

    def script(visit: Visit) -> None:
        first(visit) if visit.number == 1 else keeps_alive(whole(NEXT))(visit)

    return script


ODD = [row for row in SERVERS if row.code and (row.scheme == "http" or row.certificate == GOOD)]


@pytest.mark.parametrize("row", [pytest.param(row, id=row.name) for row in ODD])
def test_after_an_odd_answer_the_next_scrape_has_a_connection_of_its_own(
    serve: Serve, trusted: Authority, row: Server
) -> None:
    server = serve(then_answers(row.script), tls=trusted.certify(**row.certificate) if row.certificate else None)
    with pytest.raises(ScrapeError):
        fetch(server, row, min(row.seconds, 5.0) if row.seconds > 1 else 0.3)
    assert fetch(server, row, 20.0).body == NEXT
    assert server.connections == 2


def in_two(answer: bytes, at: int, pause_seconds: float = 0.1) -> Script:
    """Answers, and goes on with more of what nobody asked for: some at once, the rest later."""

    def script(visit: Visit) -> None:
        visit.request()
        visit.send(answer[:at])
        visit.wait(pause_seconds)
        visit.send(answer[at:])
        visit.wait()

    return script


STOLEN = whole(b"stolen 1\n")
HINTS = header("Link: x", status="103 Early Hints")
OLD_CHUNKS = b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(PAGE)


@pytest.mark.parametrize("certificate", [None, GOOD], ids=["http", "https"])
@pytest.mark.parametrize(
    "script",
    [
        pytest.param(in_two(whole() + STOLEN, len(whole())), id="all-of-it-later"),
        pytest.param(in_two(whole() + b"\r\n", len(whole())), id="an-empty-line-later"),
        pytest.param(in_two(HINTS + whole() + STOLEN, len(HINTS)), id="hints"),
        pytest.param(in_two(whole() + STOLEN, len(whole()) + 9), id="some-at-once"),
        pytest.param(in_two(OLD_CHUNKS, len(OLD_CHUNKS)), id="chunks-of-HTTP/1.0"),
        pytest.param(sends(whole(PAGE, "Connection: close") + STOLEN), id="said-it-would-close"),
    ],
)
def test_what_was_not_asked_for_is_never_the_answer_to_the_next_question(
    serve: Serve, trusted: Authority, script: Script, certificate: dict[str, str] | None
) -> None:
    row = Server("", script, None, "", "https" if certificate else "http", certificate)
    server = serve(then_answers(script), tls=trusted.certify(**certificate) if certificate else None)
    assert outcome(server, row)[0] in (None, "bad_framing")
    time.sleep(0.3)
    assert fetch(server, row).body == NEXT
    assert server.connections == 2


# The whole way


@pytest.fixture
def stored(serve: Serve, trusted: Authority, dynamodb: FaultyDynamoDb, on_a_laptop: None) -> dict[str, Item]:
    """What a worker keeps of all of them, by name."""
    now_ms = time.time_ns() // 1_000_000
    targets = [
        target(
            instance_id=f"server-{number}",
            endpoint=f"{row.scheme}://127.0.0.1:{start(row, serve, trusted).port}/metrics",
            slot_ms=now_ms,
            interval_seconds=300,
            timeout_seconds=max(3.0, row.seconds),  # all at once, on two processors
        )
        for number, row in enumerate(SERVERS)
    ]
    answer = worker.handler(event(*(message(*targets[at : at + 25]) for at in range(0, len(targets), 25))), Context(90))
    assert answer["batchItemFailures"] == []
    pages = boto3.client("dynamodb").get_paginator("scan").paginate(TableName=store.table_name(), ConsistentRead=True)
    found = {one["instance_id"]["S"]: one for page in pages for one in page["Items"]}
    return {row.name: found[target.instance_id] for row, target in zip(SERVERS, targets, strict=True)}


def test_each_is_kept_with_its_code_and_no_half_page_and_quoted_nowhere(
    stored: dict[str, Item], caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    assert {name: one.get("code", {}).get("S") for name, one in stored.items()} == {
        row.name: row.code for row in SERVERS
    }
    assert {name for name, one in stored.items() if "blob" in one} == {row.name for row in SERVERS if not row.code}
    for row in SERVERS:
        kept = store.read_newest(stored[row.name]["instance_id"]["S"])
        assert kept
        assert kept.health
        assert re.search(row.words, kept.error or "")
        if row.code:  # one failure is a warning, and says nothing of the server
            [finding] = kept.health.findings
            assert (kept.health.status, finding.code, finding.severity) == ("unknown", "scrape_failed", "warning")
            assert finding.evidence["error_code"] == row.code
            assert finding.hint == hint(row.code, "")
            assert "canary" not in finding.message
    assert "canary" not in repr(stored) + caplog.text + "".join(capfd.readouterr())


def all_kinds(kind: type[CollectorError]) -> Iterator[type[CollectorError]]:
    for one in kind.__subclasses__():
        yield one
        yield from all_kinds(one)


def test_every_code_is_another_and_says_what_to_do_and_stands_in_the_readme() -> None:
    codes = [kind.code for kind in all_kinds(ScrapeError)]
    assert len(codes) == len(set(codes))
    assert [code for code in codes if not (hint(code, "") or hint(code, "sglang"))] == []
    readme = (ROOT / "README.md").read_text()
    assert [code for code in codes if f"`{code}`" not in readme] == []
    assert {row.code for row in SERVERS if row.code} <= set(codes)
