"""Pages from servers on real sockets, most of which misbehave."""

import concurrent.futures
import contextlib
import gzip
import itertools
import os
import re
import socket
import ssl
import threading
import time
import tomllib
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from authority import Authority

from collector import connections
from collector.errors import (
    ConnectionFailed,
    ConnectionLost,
    DeadlineError,
    MetricsNotEnabled,
    RedirectError,
    RefusedError,
    ScrapeError,
    StatusError,
    TlsError,
    TooLargeError,
    TruncatedError,
)
from collector.limits import DEFAULT, Limits
from collector.policy import Destination
from collector.scrape import USER_AGENT, Page, scrape
from servers import PAGE, Script, Server, Visit, chunked, header, keeps_alive, sends, whole

Serve = Callable[..., Server]


def fetch(
    server: Server,
    path: str = "/metrics",
    *,
    scheme: str = "http",
    host: str | None = None,
    addresses: tuple[str, ...] = (),
    seconds: float = 10.0,
    limits: Limits = DEFAULT,
) -> Page:
    destination = Destination(scheme, host or server.address, server.port, path, addresses or (server.address,))
    return scrape(destination, time.monotonic() + seconds, limits)


def gzipped_without_end(zeros: int) -> Iterator[bytes]:
    """A gzip stream that is all zeros and at that point not over, made of one block compressed once."""
    compressor = zlib.compressobj(wbits=16 + zlib.MAX_WBITS)
    yield compressor.flush(zlib.Z_FULL_FLUSH)
    block = compressor.compress(bytes(1 << 20)) + compressor.flush(zlib.Z_FULL_FLUSH)
    yield from itertools.repeat(block, zeros >> 20)


# Pages


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(whole(), id="with-its-length"),
        pytest.param(header("Transfer-Encoding: chunked") + chunked(PAGE[:9], PAGE[9:]), id="chunked"),
        pytest.param(
            header("Transfer-Encoding: chunked") + chunked(PAGE, end=b"0\r\nX-Trailer: 1\r\n\r\n"), id="with-a-trailer"
        ),
        pytest.param(header() + PAGE, id="ended-by-closing"),
        pytest.param(whole(gzip.compress(PAGE), "Content-Encoding: gzip"), id="gzip"),
        pytest.param(whole(gzip.compress(PAGE), "Content-Encoding: X-GZIP"), id="x-gzip"),
        pytest.param(header("Content-Encoding: gzip") + gzip.compress(PAGE), id="gzip-ended-by-closing"),
        pytest.param(
            header("Transfer-Encoding: chunked", "Content-Encoding: gzip")
            + chunked(*map(bytes, zip(gzip.compress(PAGE)))),
            id="gzip-in-chunks-of-a-byte",
        ),
        pytest.param(header(status="100 Continue") + whole(), id="after-a-100-continue"),
        pytest.param(whole(PAGE, f"Content-Length: {len(PAGE)}"), id="with-its-length-twice"),
    ],
)
def test_a_page_comes_whole(serve: Serve, answer: bytes) -> None:
    page = fetch(serve(sends(answer)))
    assert (page.body, page.status, page.wire_bytes) == (PAGE, 200, len(answer))
    assert page.duration_seconds > 0


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(whole(b""), id="length-0"),
        pytest.param(header("Transfer-Encoding: chunked") + chunked(), id="no-chunks"),
        pytest.param(header(), id="closed-after-the-header"),
        pytest.param(whole(b"", "Content-Encoding: gzip"), id="called-gzip"),
        pytest.param(whole(gzip.compress(b""), "Content-Encoding: gzip"), id="gzip"),
    ],
)
def test_an_empty_page_is_a_page(serve: Serve, answer: bytes) -> None:
    assert fetch(serve(sends(answer))).body == b""


def test_an_html_page_is_for_the_parser_to_refuse(serve: Serve) -> None:
    page = fetch(serve(sends(header("Content-Type: text/html", "Content-Length: 15") + b"<h1>Log in</h1>")))
    assert (page.body, page.content_type) == (b"<h1>Log in</h1>", "text/html")


def test_the_server_sees_who_asks_for_what(serve: Serve) -> None:
    server = serve(sends(whole()))
    fetch(server, "/metrics?x=1", host="gpu-1.internal")
    line, *fields = server.requests[0].decode().splitlines()
    assert line == "GET /metrics?x=1 HTTP/1.1"
    assert set(filter(None, fields)) == {
        f"Host: gpu-1.internal:{server.port}",
        f"User-Agent: {USER_AGENT}",
        "Accept: text/plain;version=0.0.4",
        "Accept-Encoding: gzip",
    }


def test_the_user_agent_has_our_version() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    assert f"{project['name']}/{project['version']}" == USER_AGENT


def test_an_ipv6_address_is_fetched_and_named_in_brackets(serve: Serve) -> None:
    try:
        server = serve(sends(whole()), address="::1")
    except OSError:
        pytest.skip("no IPv6 loopback here")
    assert fetch(server).body == PAGE
    assert f"Host: [::1]:{server.port}\r\n" in server.requests[0].decode()


def test_the_next_address_is_tried_when_one_takes_no_connection(serve: Serve) -> None:
    server = serve(sends(whole()))
    assert fetch(server, host="gpu.test", addresses=("127.0.0.2", "127.0.0.1")).body == PAGE


def test_the_first_of_several_failures_is_reported(serve: Serve) -> None:
    server = serve(sends(whole()))
    with pytest.raises(RefusedError, match=rf"gpu\.test:{server.port} \(127\.0\.0\.2\): "):
        fetch(server, host="gpu.test", addresses=("127.0.0.2", "127.0.0.3"))


def test_many_threads_scrape_at_once(serve: Serve) -> None:
    server = serve(keeps_alive(whole()))
    with concurrent.futures.ThreadPoolExecutor(16) as threads:
        pages = list(threads.map(lambda _: fetch(server, seconds=30), range(64)))
    assert {page.body for page in pages} == {PAGE}
    opened = server.connections
    fetch(server)
    assert server.connections == opened <= 64


# Answers that are no page

ELSEWHERE = "http://user:secret@elsewhere.test/login?token=secret"


@pytest.mark.parametrize(
    ("answer", "error", "code", "message"),
    [
        pytest.param(
            whole(b"", f"Location: {ELSEWHERE}", status="302 Found"),
            *(RedirectError, "redirect", "answered 302 and points to another host; it is not followed"),
            id="302",
        ),
        pytest.param(
            whole(b"", "Location: /login", status="307 Moved"),
            *(RedirectError, "redirect", "answered 307 and points to another path of the same server"),
            id="307-to-a-path",
        ),
        pytest.param(
            whole(b"", "Location: https://127.0.0.1:8443/login", status="308 Moved"),
            *(RedirectError, "redirect", "answered 308 and points to another address of the same host"),
            id="308-to-https",
        ),
        pytest.param(
            whole(b"", "Location: http://[", status="301 Moved"),
            *(RedirectError, "redirect", "answered 301 and points to nowhere"),
            id="301-to-nonsense",
        ),
        pytest.param(
            whole(b"", status="304 Not Modified"),
            *(RedirectError, "redirect", "answered 304 and points to nowhere"),
            id="304",
        ),
        pytest.param(
            whole(b'{"detail":"Not Found"}', status="404 Not Found"),
            *(MetricsNotEnabled, "metrics_not_enabled", "404 for /metrics: was SGLang started with --enable-metrics"),
            id="404-json",
        ),
        pytest.param(
            whole(b"<h1>Not Found</h1>", status="404 Not Found"),
            *(StatusError, "http_status", "answered 404 instead of 200"),
            id="404-html",
        ),
        pytest.param(
            whole(b'["detail"]', status="404 Not Found"),
            StatusError,
            "http_status",
            "answered 404",
            id="404-other-json",
        ),
        pytest.param(
            whole(b"[" * 5000, status="404 Not Found"), StatusError, "http_status", "answered 404", id="404-deep-json"
        ),
        pytest.param(
            header("Content-Length: 99", status="404 Not Found") + b"{",
            *(StatusError, "http_status", "answered 404"),
            id="404-cut",
        ),
        pytest.param(
            whole(b"Traceback", status="500 Oops"), StatusError, "http_status", "answered 500 instead of 200", id="500"
        ),
        pytest.param(header(status="204 No Content"), StatusError, "http_status", "answered 204", id="204"),
    ],
)
def test_an_answer_that_is_no_page_has_its_code(
    serve: Serve, answer: bytes, error: type[ScrapeError], code: str, message: str
) -> None:
    server = serve(sends(answer))
    with pytest.raises(error, match=rf"^127\.0\.0\.1:{server.port}: .*{re.escape(message)}") as caught:
        fetch(server)
    assert type(caught.value) is error
    assert caught.value.code == code
    assert not re.search("sglang:|up 1|h1|Traceback|secret|elsewhere|login", str(caught.value))
    assert server.connections == 1


def test_a_status_error_carries_the_status(serve: Serve) -> None:
    with pytest.raises(StatusError) as caught:
        fetch(serve(sends(whole(b"", status="503 Busy"))))
    assert caught.value.status == 503


def test_where_nothing_listens_the_connection_is_refused(serve: Serve) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(RefusedError, match=f"127.0.0.1:{port}: connection refused"):
        scrape(Destination("http", "127.0.0.1", port, "/metrics", ("127.0.0.1",)), time.monotonic() + 5)


def test_where_no_route_leads_the_connection_fails() -> None:
    # Connecting a stream to the broadcast address is refused by the system itself
    destination = Destination("http", "gpu.test", 30000, "/metrics", ("255.255.255.255",))
    with pytest.raises(ConnectionFailed, match=r"gpu\.test:30000 \(255\.255\.255\.255\): no connection: \w+"):
        scrape(destination, time.monotonic() + 5)


# Time


def silent(visit: Visit) -> None:
    visit.wait()


def drips_its_header(visit: Visit) -> None:
    visit.drip(itertools.chain([b"HTTP/1.1 200 OK\r\nX: "], itertools.repeat(b"x")))


def drips_its_page(visit: Visit) -> None:
    visit.request()
    visit.drip(itertools.chain([header("Content-Length: 9999")], itertools.repeat(b"x")))


def drips_its_chunks(visit: Visit) -> None:
    visit.request()
    visit.drip(itertools.chain([header("Transfer-Encoding: chunked")], itertools.repeat(b"1\r\nx\r\n")))


def drips_its_gzip(visit: Visit) -> None:
    visit.request()
    bomb = b"".join(gzipped_without_end(100 << 20))
    visit.drip(itertools.chain([header("Content-Encoding: gzip")], (bomb[at : at + 1] for at in range(9999))))


def answers_and_then_drips(visit: Visit) -> None:
    visit.request()
    visit.send(whole())
    drips_its_page(visit)


SLOW = [
    pytest.param(silent, r"an answer did not come within 0\.[45] s", id="silent"),
    pytest.param(drips_its_header, r"an answer did not come within 0\.[45] s", id="drips-its-header"),
    pytest.param(
        drips_its_page,
        r"the whole page did not come within 0\.[45] s, its timeout, \d+ bytes came",
        id="drips-its-page",
    ),
    pytest.param(drips_its_chunks, r"the whole page did not come within", id="drips-its-chunks"),
    pytest.param(drips_its_gzip, r"the whole page did not come within", id="drips-its-gzip"),
]


def cut_at_the_deadline(message: str, fetching: Callable[[], Page]) -> None:
    started = time.monotonic()
    with pytest.raises(DeadlineError, match=message):
        fetching()
    assert time.monotonic() - started < 3


@pytest.mark.parametrize(("script", "message"), SLOW)
def test_a_slow_server_is_cut_at_the_deadline(serve: Serve, script: Script, message: str) -> None:
    server = serve(script)
    cut_at_the_deadline(message, lambda: fetch(server, seconds=0.5))


@pytest.mark.parametrize(("script", "message"), SLOW)
def test_a_slow_server_is_cut_at_the_deadline_inside_tls(
    serve: Serve, trusted: Authority, script: Script, message: str
) -> None:
    server = serve(script, tls=trusted.certify("gpu.test"))
    cut_at_the_deadline(message, lambda: over_tls(server, seconds=0.5))


def test_a_server_that_is_fast_and_says_nothing_is_cut(serve: Serve) -> None:
    compressor = zlib.compressobj(wbits=16 + zlib.MAX_WBITS)
    first = header("Content-Encoding: gzip") + compressor.flush(zlib.Z_SYNC_FLUSH)
    empty_blocks = b"\x00\x00\x00\xff\xff" * 10_000  # they decompress to nothing, and no read ever waits
    server = serve(sends_without_end(first, empty_blocks))
    limits = Limits.model_construct(**DEFAULT.model_dump() | {"wire_bytes": 1 << 40})
    cut_at_the_deadline("the whole page did not come", lambda: fetch(server, seconds=0.5, limits=limits))


def test_a_kept_connection_has_its_own_deadline(serve: Serve) -> None:
    server = serve(answers_and_then_drips)
    assert fetch(server).body == PAGE
    cut_at_the_deadline("the whole page did not come", lambda: fetch(server, seconds=0.5))
    assert server.connections == 1


@contextlib.contextmanager
def accepting_nothing(address: tuple[str, int]) -> Iterator[int]:
    """A listener whose queue is full, so that the system answers no further connection; gives its port."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(address, backlog=0))
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


def test_a_connection_that_is_not_accepted_is_cut() -> None:
    with accepting_nothing(("127.0.0.1", 0)) as port:
        destination = Destination("http", "127.0.0.1", port, "/metrics", ("127.0.0.1",))
        cut_at_the_deadline(r"no TCP connection within 0\.5 s", lambda: scrape(destination, time.monotonic() + 0.5))


def test_an_address_that_does_not_answer_leaves_time_for_the_next(serve: Serve) -> None:
    server = serve(sends(whole()))
    with accepting_nothing(("127.0.0.2", server.port)):
        assert fetch(server, host="gpu.test", addresses=("127.0.0.2", "127.0.0.1"), seconds=2).body == PAGE


def test_a_handshake_that_is_not_answered_is_cut(serve: Serve, trusted: Authority) -> None:
    server = serve(silent)
    cut_at_the_deadline(r"no TLS handshake within 0\.5 s", lambda: over_tls(server, seconds=0.5))


@pytest.mark.parametrize("seconds", [-1.0, 0.0, 0.000001])
def test_no_connection_is_made_when_no_time_is_left(serve: Serve, seconds: float) -> None:
    server = serve(sends(whole()))
    cut_at_the_deadline("no time was left to connect|no TCP connection", lambda: fetch(server, seconds=seconds))
    assert server.requests == []


# Size


def sends_without_end(first: bytes, piece: bytes) -> Script:
    def script(visit: Visit) -> None:
        visit.request()
        visit.send(first)
        while True:
            visit.send(piece)

    return script


LINES = b"sglang:num_running_reqs 3.0\n" * 1000


@pytest.mark.parametrize(
    ("script", "message"),
    [
        pytest.param(
            sends(header("Content-Length: 200001")), "larger than the limit page_bytes, 200000", id="declared"
        ),
        pytest.param(sends_without_end(header(), LINES), "larger than the limit page_bytes, 200000", id="endless"),
        pytest.param(
            sends_without_end(header("Transfer-Encoding: chunked"), chunked(LINES, end=b"")),
            "larger than the limit page_bytes, 200000",
            id="endless-chunks",
        ),
        pytest.param(
            sends_without_end(header("Transfer-Encoding: chunked"), b"1;" + b"x" * 9999 + b"\r\nx\r\n"),
            "more on the wire than the limit wire_bytes, 400000",
            id="endless-chunk-extensions",
        ),
        pytest.param(
            sends(header("Content-Encoding: gzip") + gzip.compress(bytes(200_001))),
            "larger than the limit page_bytes, 200000",
            id="gzip",
        ),
    ],
)
def test_a_page_over_the_cap_is_cut(serve: Serve, script: Script, message: str) -> None:
    with pytest.raises(TooLargeError, match=message) as caught:
        fetch(serve(script), limits=DEFAULT.set_by("page_bytes=200000,wire_bytes=400000"))
    assert caught.value.code == "page_too_large"


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(whole(LINES), id="plain"),
        pytest.param(whole(gzip.compress(LINES), "Content-Encoding: gzip"), id="gzip"),
        pytest.param(header("Transfer-Encoding: chunked") + chunked(LINES), id="chunked"),
    ],
)
def test_a_page_of_just_the_cap_is_taken(serve: Serve, answer: bytes) -> None:
    limits = Limits.model_construct(**DEFAULT.model_dump() | {"page_bytes": len(LINES)})
    assert fetch(serve(sends(answer)), limits=limits).body == LINES


def test_a_gzip_bomb_takes_no_more_memory_than_the_cap(serve: Serve) -> None:
    bomb = b"".join(gzipped_without_end(10 << 30))
    assert len(bomb) > 10_000_000
    server = serve(sends(header("Content-Encoding: gzip"), bomb))
    tracemalloc.start()
    try:
        with pytest.raises(TooLargeError):
            fetch(server, seconds=60)
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak_bytes < 20 << 20  # of 10 GB: the cap of 16 MiB, an eighth to grow in, and the buffers


# Kept connections


def test_a_connection_is_kept_for_the_next_scrape(serve: Serve) -> None:
    server = serve(keeps_alive(whole()))
    assert [fetch(server).body for _ in range(3)] == [PAGE] * 3
    assert (server.connections, len(server.requests)) == (1, 3)


def test_a_connection_is_not_shared_between_names(serve: Serve) -> None:
    server = serve(keeps_alive(whole()))
    fetch(server, host="one.test")
    fetch(server, host="two.test")
    assert server.connections == 2


def test_a_connection_that_was_closed_meanwhile_is_replaced(serve: Serve) -> None:
    server = serve(sends(whole()))
    fetch(server)
    time.sleep(0.2)  # long enough to see it closed, which needs no retry
    assert fetch(server).body == PAGE
    assert (server.connections, len(server.requests)) == (2, 2)


def test_a_connection_that_was_idle_for_long_is_replaced(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    server = serve(keeps_alive(whole()))
    fetch(server)
    monkeypatch.setattr(connections, "MAX_IDLE_SECONDS", 0.0)
    fetch(server)
    assert server.connections == 2


def drops_the_second(how: Callable[[Visit], None], *, then: bytes = whole()) -> Script:
    """Answers once on the first connection and drops what is asked next; on later ones it sends `then`."""

    def script(visit: Visit) -> None:
        visit.request()
        visit.send(whole() if visit.number == 1 else then)
        if visit.number == 1:
            visit.request()
            how(visit)

    return script


DROPS = [pytest.param(lambda visit: None, id="closed"), pytest.param(Visit.reset, id="reset")]


@pytest.mark.parametrize("how", DROPS)
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_kept_connection_closed_while_we_ask_is_replaced(
    serve: Serve, trusted: Authority, how: Callable[[Visit], None], scheme: str
) -> None:
    server = serve(drops_the_second(how), tls=trusted.certify("gpu.test") if scheme == "https" else None)
    assert [fetch(server, scheme=scheme, host="gpu.test").body for _ in range(2)] == [PAGE] * 2
    assert (server.connections, len(server.requests)) == (2, 3)


def test_a_request_is_repeated_once_only(serve: Serve) -> None:
    server = serve(drops_the_second(lambda visit: None, then=b""))
    fetch(server)
    with pytest.raises(ConnectionLost):
        fetch(server)
    assert (server.connections, len(server.requests)) == (2, 3)


def half_a_header(visit: Visit) -> None:
    visit.send(b"HTTP/1.1 200 OK\r\n")


def half_a_header_and_reset(visit: Visit) -> None:
    half_a_header(visit)
    visit.wait(0.2)  # a reset overtakes what was sent and not yet read
    visit.reset()


@pytest.mark.parametrize(
    ("how", "error"),
    [
        pytest.param(half_a_header, TruncatedError, id="closed"),
        pytest.param(half_a_header_and_reset, ConnectionLost, id="reset"),
    ],
)
def test_a_request_is_not_repeated_once_something_came(
    serve: Serve, how: Callable[[Visit], None], error: type[ScrapeError]
) -> None:
    server = serve(drops_the_second(how))
    fetch(server)
    with pytest.raises(error):
        fetch(server)
    assert (server.connections, len(server.requests)) == (1, 2)


def test_a_request_is_not_repeated_when_it_timed_out(serve: Serve) -> None:
    server = serve(drops_the_second(Visit.wait))
    fetch(server)
    cut_at_the_deadline("an answer did not come", lambda: fetch(server, seconds=0.5))
    time.sleep(0.2)
    assert server.connections == 1


def test_a_second_answer_in_the_pipe_is_nobodys(serve: Serve) -> None:
    def script(visit: Visit) -> None:
        visit.request()
        visit.send(whole())
        visit.wait(0.1)
        visit.send(whole(b"stolen 1\n"))
        visit.request()

    server = serve(script)
    fetch(server)
    time.sleep(0.5)
    assert fetch(server).body == PAGE
    assert server.connections == 2


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(header("Content-Encoding: br") + PAGE, id="unread"),
        pytest.param(header("Transfer-Encoding: chunked") + b"zz\r\n", id="wrong-chunk"),
        pytest.param(header("Content-Length: 99999999") + PAGE, id="too-large"),
        pytest.param(whole(b"x", status="500 Oops"), id="500"),
        pytest.param(whole(b"x", "Location: /", status="302 Found"), id="302"),
        pytest.param(b"garbage\r\n", id="garbage"),
    ],
)
def test_the_connection_is_closed_after_a_failure(serve: Serve, answer: bytes) -> None:
    closed = threading.Event()

    def script(visit: Visit) -> None:
        visit.request()
        visit.send(answer)
        with contextlib.suppress(ConnectionResetError):  # closed with something unread
            visit.request()
        closed.set()

    with pytest.raises(ScrapeError):
        fetch(serve(script))
    assert closed.wait(5)


def test_no_socket_is_left_open(serve: Serve) -> None:
    before = len([*Path("/proc/self/fd").iterdir()])
    with Server(keeps_alive(whole())) as good, Server(sends(header("Content-Length: 99"))) as bad:
        for _ in range(20):
            fetch(good)
            with pytest.raises(TruncatedError):
                fetch(bad)
    connections.POOLS.clear()
    assert len([*Path("/proc/self/fd").iterdir()]) <= before


# TLS


def over_tls(server: Server, host: str = "gpu.test", *, seconds: float = 10.0) -> Page:
    return fetch(server, scheme="https", host=host, seconds=seconds)


@pytest.mark.parametrize("host", ["gpu.test", "127.0.0.1"])
def test_a_page_comes_over_tls_from_the_name_that_was_checked(serve: Serve, trusted: Authority, host: str) -> None:
    server = serve(keeps_alive(whole()), tls=trusted.certify(host))
    assert [over_tls(server, host).body for _ in range(2)] == [PAGE] * 2
    assert server.connections == 1


@pytest.mark.parametrize(
    ("certificate", "reason"),
    [
        pytest.param({"host": "other.test"}, "the certificate is for another name", id="wrong-name"),
        pytest.param({"host": "gpu.test", "days": (-3, -1)}, "the certificate has expired", id="expired"),
        pytest.param({"host": "gpu.test", "days": (1, 3)}, "the certificate is not valid yet", id="too-early"),
        pytest.param({"host": "gpu.test", "by_itself": True}, "the certificate is signed by itself", id="self-signed"),
    ],
)
def test_a_certificate_that_proves_nothing_is_refused(
    serve: Serve, trusted: Authority, certificate: dict[str, Any], reason: str
) -> None:
    server = serve(sends(whole()), tls=trusted.certify(**certificate))
    with pytest.raises(
        TlsError, match=rf"gpu\.test:{server.port} \(127\.0\.0\.1\): no TLS session: {reason}"
    ) as caught:
        over_tls(server)
    assert "other.test" not in str(caught.value)
    assert server.requests == []


def test_a_certificate_for_another_address_is_refused(serve: Serve, trusted: Authority) -> None:
    server = serve(sends(whole()), tls=trusted.certify("127.0.0.2"))
    with pytest.raises(TlsError, match="the certificate is for another address"):
        over_tls(server, "127.0.0.1")


def test_an_authority_that_is_not_known_is_refused(serve: Serve, authority: Authority) -> None:
    server = serve(sends(whole()), tls=authority.certify("gpu.test"))
    with pytest.raises(TlsError, match="the certificate's authority is not a known one"):
        over_tls(server)


def resets_when_greeted(visit: Visit) -> None:
    visit.connection.recv(1)
    visit.reset()


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        pytest.param(lambda visit: visit.send(whole()), "what listens there does not speak TLS", id="plain-HTTP"),
        pytest.param(lambda visit: None, "the connection was closed", id="closed"),
        pytest.param(resets_when_greeted, "the connection was closed", id="reset"),
    ],
)
def test_a_server_without_tls_is_told_from_one_with_a_bad_certificate(
    serve: Serve, trusted: Authority, script: Script, reason: str
) -> None:
    with pytest.raises(TlsError, match=f"no TLS session: {reason}"):
        over_tls(serve(script))


def test_a_version_of_tls_that_is_too_old_is_named(serve: Serve, trusted: Authority) -> None:
    tls = trusted.certify("gpu.test")
    tls.set_ciphers("ECDHE-ECDSA-AES256-GCM-SHA384")
    tls.maximum_version = ssl.TLSVersion.TLSv1_2
    connections.tls_context().minimum_version = ssl.TLSVersion.TLSv1_3
    with pytest.raises(TlsError, match="no TLS session: tlsv1 alert protocol version"):
        over_tls(serve(sends(whole()), tls=tls))


def test_a_session_that_breaks_in_the_page_is_a_tls_error(serve: Serve, trusted: Authority) -> None:
    def script(visit: Visit) -> None:
        visit.request()
        visit.send(header("Content-Length: 9999") + PAGE)
        visit.wait(0.2)
        os.write(visit.connection.fileno(), b"\x17\x03\x03\x00\x20" + bytes(32))  # a record that nobody encrypted

    with pytest.raises(TlsError, match=r"the TLS session broke before the whole page, \d+ bytes came: "):
        over_tls(serve(script, tls=trusted.certify("gpu.test")))


def test_half_a_page_inside_tls_is_truncated(serve: Serve, trusted: Authority) -> None:
    server = serve(sends(header("Content-Length: 99") + PAGE), tls=trusted.certify("gpu.test"))
    with pytest.raises(TruncatedError, match="closed before the whole page"):
        over_tls(server)
