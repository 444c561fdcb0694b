"""Fetch one page from a checked destination, whatever the server does: in time, in bounds, once."""

import io
import ssl
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

import urllib3
from urllib3.exceptions import HTTPError

from collector.connections import (
    POOLS,
    Connection,
    NotConnectedError,
    StaleConnectionError,
    tls_context,
)
from collector.errors import (
    ConnectDeadlineError,
    ContentError,
    PageDeadlineError,
    ScrapeError,
    TooLargeError,
    TruncatedError,
)
from collector.faults import explain, explain_connection, not_a_page
from collector.framing import MAX_HEADER_BYTES, Exchange, OverLimitError
from collector.limits import DEFAULT, Limits
from collector.policy import Destination
from collector.room import NO_PLACE, SMALL_PAGE_BYTES, Place, Room
from collector.secrets import Header
from collector.spelling import SCHEME_PORTS

USER_AGENT = "sglang-collector/0.1.0"
PIECE_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class Page:
    """A whole answer with status 200."""

    body: bytes
    """Decompressed. Empty is legal: a fresh server has nothing to say yet."""
    wire_bytes: int
    """What came over the connection: header, framing, and the body as it was sent."""
    status: int
    content_type: str
    duration_seconds: float
    place: Place = NO_PLACE
    """To be given back when the body is no longer needed."""


def scrape(
    destination: Destination,
    deadline: float,
    limits: Limits = DEFAULT,
    room: Room | None = None,
    header: Header | None = None,
    tls: ssl.SSLContext | None = None,
) -> Page:
    """Fetch the page at a destination, over a kept connection if there is one, by `deadline` (`time.monotonic()`).

    `header` is said to this server alone, `tls` stands for the process's own context. A page that repeats the header's
    secret is refused: pages are kept and shown. A large page waits until there is `room`.

    No redirect is followed and nothing is asked for twice, unless a kept connection turns out to be closed.

    Raises the ScrapeErrors. They say which server, which step and what was seen; never what the page holds.
    """
    started = time.monotonic()
    place = Place(room or Room())
    where, response = _ask_first_to_connect(destination, deadline, limits.connect_seconds, header, tls)
    exchange = cast(Connection, response.connection).exchange
    exchange.max_bytes = MAX_HEADER_BYTES + limits.wire_bytes
    try:
        if response.status != 200:
            raise not_a_page(where, destination, response)
        body = _read(where, response, exchange, limits.page_bytes, place)
        if header and header.is_repeated_in(body):
            raise ContentError(f"{where}: the page repeats the secret that it was asked with")
    except Exception as exc:
        place.give_back()
        if isinstance(exc, HTTPError | OverLimitError):
            raise explain(exc, where, deadline - started, exchange, limits.wire_bytes) from exc
        raise
    finally:
        if response.connection:  # not given back, so not read to the end
            response.close()
    content_type = response.headers.get("content-type", "")
    return Page(body, exchange.received_bytes, response.status, content_type, time.monotonic() - started, place)


# Asking


def _ask_first_to_connect(
    destination: Destination,
    deadline: float,
    connect_seconds: float,
    header: Header | None,
    tls: ssl.SSLContext | None,
) -> tuple[str, urllib3.BaseHTTPResponse]:
    """What to call the server, and its answer up to the header, from the first address that takes a connection."""
    failures: list[ScrapeError] = []
    for number, address in enumerate(destination.addresses, start=1):
        where = _where(destination, address)
        left = deadline - time.monotonic()
        if left <= 0:
            failures.append(ConnectDeadlineError(f"{where}: no time was left to connect"))
            break
        seconds = min(connect_seconds, left if number == len(destination.addresses) else left / 2)
        try:
            return where, _ask(destination, address, deadline, seconds, header, tls)
        except NotConnectedError as exc:
            failures.append(explain_connection(exc, where, seconds, connect_seconds))
            failures[-1].__cause__ = exc.__cause__
        except (HTTPError, OverLimitError) as exc:
            raise explain(exc, where, left) from exc
    raise failures[0]


def _ask(
    destination: Destination,
    address: str,
    deadline: float,
    connect_seconds: float,
    header: Header | None,
    tls: ssl.SSLContext | None,
) -> urllib3.BaseHTTPResponse:
    scheme, host, port = destination.scheme, _bracketed(destination.host), destination.port
    context = {"ssl_context": tls or tls_context()} if scheme == "https" else {}
    # The name is in the pool's key: a kept connection is for the address and the name that were checked together
    pool = POOLS.connection_from_host(address, port, scheme, {"server_hostname": destination.host, **context})
    headers = {
        "Host": host if port == SCHEME_PORTS[scheme] else f"{host}:{port}",
        "User-Agent": USER_AGENT,
        "Accept": "text/plain;version=0.0.4",  # asked for OpenMetrics, SGLang may write its names with underscores
        "Accept-Encoding": "gzip",
    }
    if header:
        headers[header.name] = header.value
    while True:
        left = max(0.001, deadline - time.monotonic())
        try:
            return pool.urlopen(
                "GET",
                destination.path,
                headers=headers,
                timeout=urllib3.Timeout(connect=connect_seconds, total=left),
                retries=False,
                redirect=False,
                preload_content=False,
                decode_content=False,
            )
        except StaleConnectionError:
            continue  # each turn uses up a kept connection, and a new one is never stale


def _where(destination: Destination, address: str) -> str:
    where = f"{_bracketed(destination.host)}:{destination.port}"
    return where if address == destination.host else f"{where} ({address})"


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


# Reading


def _read(
    where: str, response: urllib3.BaseHTTPResponse, exchange: Exchange, max_page_bytes: int, place: Place
) -> bytes:
    """The body, decompressed; more than the cap and a piece of it is never held."""
    length = response.length_remaining
    encoding = response.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("identity", "gzip", "x-gzip"):
        raise ContentError(f"{where}: the page has a Content-Encoding that was not asked for")
    too_large = f"{where}: the page is larger than the limit page_bytes, {max_page_bytes}"
    if length is not None and length > max_page_bytes:
        raise TooLargeError(too_large)

    pieces: Iterator[bytes] = response.stream(PIECE_BYTES, decode_content=False)
    if encoding != "identity":
        pieces = _unzip(where, pieces)
    with io.BytesIO() as page:  # gives its bytes away without a copy; closed, a traceback keeps none of them
        for piece in pieces:
            if page.tell() + len(piece) > max_page_bytes:
                raise TooLargeError(too_large)
            page.write(piece)
            if page.tell() > SMALL_PAGE_BYTES and not place.take(exchange.deadline):
                raise PageDeadlineError(f"{where}: its page is large, and others as large left no room for it in time")
        body = page.getvalue()
    if exchange.ended and exchange.ragged:
        raise TruncatedError(f"{where}: closed without ending the TLS session, after {len(body)} bytes of the page")
    if exchange.ended and encoding == "identity" and body and not body.endswith(b"\n"):
        raise TruncatedError(f"{where}: closed in the middle of a line, after {len(body)} bytes of the page")
    return body


def _unzip(where: str, pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Undo gzip, in pieces that are bounded whatever the ratio. Of one member: nobody sends metrics in several."""
    decoder = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
    compressed = b""
    try:
        for compressed in pieces:
            piece = compressed
            while piece:
                yield decoder.decompress(piece, PIECE_BYTES)
                piece = decoder.unconsumed_tail
            if decoder.unused_data:
                raise ContentError(f"{where}: the page goes on after the end of its gzip")
    except zlib.error as exc:
        raise ContentError(f"{where}: the page is not the gzip that its Content-Encoding promises") from exc
    if compressed and not decoder.eof:
        raise TruncatedError(f"{where}: the page ends before its gzip does")
