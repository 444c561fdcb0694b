"""Servers that misbehave, one a row: what each does, and the code and the words that come of it.

The word `canary` is planted in whatever a server may say, so that a test can see that none of it comes back.
"""

import gzip
import itertools
import os
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from servers import PAGE, Script, Visit, chunked, header, sends, whole

CANARY = b"canary"
LINE = b'canary{tenant="canary"} 1\n'
LINES = LINE * 1000
CHUNKED = header("Transfer-Encoding: chunked", "X-Canary: canary")
MAX_PAGE_BYTES = 1 << 20
SECONDS = 1.0
"""What those are given that have to be cut at the deadline."""


@dataclass(frozen=True)
class Server:
    """What a server does, and what is to come of it: a page where `code` is None."""

    name: str
    script: Script
    code: str | None
    words: str = ""
    """From the message: the step, and what was seen."""
    scheme: str = "http"
    certificate: dict[str, Any] | None = field(default=None)
    """The server speaks TLS, with this; otherwise the script has the plain connection."""

    @property
    def seconds(self) -> float:
        """On a busy machine a handshake that succeeds takes a second too."""
        if self.code in ("timeout", "page_timeout") and self.scheme == "https":
            return 3.0
        return SECONDS if self.code in ("timeout", "connect_timeout", "page_timeout") else 20.0


# What a script is made of


def without_end(first: bytes, piece: bytes) -> Script:
    def script(visit: Visit) -> None:
        visit.request()
        visit.send(first)
        while True:
            visit.send(piece)

    return script


def and_holds(*answer: bytes) -> Script:
    """Sends this and keeps the connection open, saying nothing more."""

    def script(visit: Visit) -> None:
        visit.request()
        visit.send(*answer)
        visit.wait()

    return script


def and_resets(*answer: bytes) -> Script:
    def script(visit: Visit) -> None:
        visit.request()
        visit.send(*answer)
        visit.wait(0.2)  # a reset overtakes what was sent and not yet read
        visit.reset()

    return script


def drips(*first: bytes, piece: bytes = b"x") -> Script:
    def script(visit: Visit) -> None:
        visit.request()
        visit.drip(itertools.chain(first, itertools.repeat(piece)))

    return script


def drips_its_handshake(visit: Visit) -> None:
    visit.drip(HELLO_OF_TLS_1_0[at : at + 1] for at in range(40))
    visit.wait()


def raw(how: Callable[[Visit], None]) -> Script:
    """Under TLS: what the server does instead of a handshake, once it was greeted."""

    def script(visit: Visit) -> None:
        visit.connection.recv(4096)
        how(visit)

    return script


def behind_tls(visit: Visit, data: bytes) -> None:
    """Bytes that nobody encrypted, in the midst of a session."""
    visit.wait(0.2)
    os.write(visit.connection.fileno(), data)
    visit.wait()


def zeros_in_gzip(mebibytes: int) -> Iterator[bytes]:
    """A gzip stream that is all zeros and not over at the end, made of one block compressed once."""
    compressor = zlib.compressobj(wbits=16 + zlib.MAX_WBITS)
    yield compressor.flush(zlib.Z_FULL_FLUSH)
    block = compressor.compress(bytes(1 << 20)) + compressor.flush(zlib.Z_FULL_FLUSH)
    yield from itertools.repeat(block, mebibytes)


def handshake_without_end(visit: Visit) -> None:
    visit.connection.recv(4096)
    visit.send(HELLO_OF_TLS_1_2, CERTIFICATE_WITHOUT_END)
    while True:
        visit.send(RECORD)


def answers_unasked(visit: Visit) -> None:
    visit.send(whole())
    visit.request()


def resets_at_once(visit: Visit) -> None:
    visit.reset()


def breaks_the_session(visit: Visit) -> None:
    visit.request()
    visit.send(header("Content-Length: 9999") + LINE)
    behind_tls(visit, b"\x17\x03\x03\x00\x20" + bytes(32))


def breaks_before_the_answer(visit: Visit) -> None:
    visit.request()
    behind_tls(visit, b"canary canary canary")


def ends_without_goodbye(*answer: bytes) -> Script:
    """Closes the connection and not the session, as anybody on the way could."""
    return sends(*answer)  # Python's sockets do just that when they are closed


BOMB = b"".join(zeros_in_gzip(1024))
HELLO_OF_TLS_1_0 = b"\x16\x03\x01\x00\x2a\x02\x00\x00\x26\x03\x01" + b"\x07" * 32 + b"\x00\xc0\x13\x00"
ALERT_OF_TLS_1_0 = b"\x15\x03\x01\x00\x02\x02\x46"
# A hello of TLS 1.2, and a certificate message of 16 MB, begun and never ended
HELLO_OF_TLS_1_2 = b"\x16\x03\x03\x00\x2a\x02\x00\x00\x26\x03\x03" + b"\x07" * 32 + b"\x00\xc0\x2f\x00"
CERTIFICATE_WITHOUT_END = b"\x16\x03\x03\x40\x00\x0b\xff\xff\xff" + bytes(16_380)
RECORD = b"\x16\x03\x03\x40\x00" + bytes(16_384)
HTTP_2 = b"\x00\x00\x06\x04\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x64"  # a SETTINGS frame: RFC 9113, 6.5


def rows(code: str | None, words: str, cases: Iterable[tuple[str, Script]], **fields: Any) -> list[Server]:
    return [Server(name, script, code, words, **fields) for name, script in cases]


def page_in_chunks(body: bytes) -> Script:
    return sends(CHUNKED + body)


NOT_CONNECTED_OR_LOST = [
    *rows(
        "connection_lost",
        "closed or reset before an answer",
        [
            ("closes-when-asked", sends()),
            ("resets-when-connected", resets_at_once),
            ("resets-when-asked", and_resets()),
            ("resets-in-its-status-line", and_resets(b"HTTP/1.1 20")),
            ("resets-in-its-header", and_resets(b"HTTP/1.1 200 canary\r\nX-Canary: can")),
        ],
    ),
    *rows(
        "connection_lost",
        "closed or reset before the whole page",
        [
            ("resets-in-its-page", and_resets(header("Content-Length: 9999") + LINE)),
            ("resets-in-a-chunk", and_resets(CHUNKED + b"fff\r\n" + LINE)),
            ("resets-between-chunks", and_resets(CHUNKED + chunked(LINE, end=b""))),
            ("resets-in-its-gzip", and_resets(header("Content-Encoding: gzip") + gzip.compress(LINES)[:50])),
        ],
    ),
]

TOO_SLOW = [
    *rows(
        "timeout",
        "an answer did not come within",
        [
            ("says-nothing", and_holds()),
            ("does-not-read", Visit.wait),
            ("drips-its-status-line", drips(b"HTTP/1.1 200 ")),
            ("drips-its-header", drips(b"HTTP/1.1 200 canary\r\nX: ")),
            ("drips-header-lines", drips(b"HTTP/1.1 200 canary\r\n", piece=b"X: y\r\n")),
            ("drips-interim-answers", drips(piece=header(status="102 Canary"))),
            ("promises-an-answer", and_holds(header(status="100 Continue"))),
        ],
    ),
    *rows(
        "page_timeout",
        "the whole page did not come within",
        [
            ("drips-its-page", drips(header("Content-Length: 9999"))),
            ("drips-a-page-without-length", drips(header(), piece=LINE)),
            ("drips-its-chunks", drips(CHUNKED, piece=b"1\r\nx\r\n")),
            ("drips-a-chunk-length", drips(CHUNKED, piece=b"0")),
            ("drips-a-trailer", drips(CHUNKED + b"0\r\n")),
            ("drips-its-gzip", drips(header("Content-Encoding: gzip"), *(BOMB[at : at + 1] for at in range(99)))),
            ("stops-in-its-page", and_holds(header("Content-Length: 9999") + LINE)),
            ("stops-after-the-header", and_holds(header("Content-Length: 5"))),
            ("has-no-last-chunk", and_holds(CHUNKED + chunked(LINE, end=b""))),
            ("has-no-last-line-in-its-trailer", and_holds(CHUNKED + chunked(LINE, end=b"0\r\n"))),
        ],
    ),
]

NOT_HTTP = rows(
    "not_http",
    "the answer is not HTTP/1",
    [
        ("HTTP/0.9", sends(PAGE + LINE)),
        ("another-protocol-that-waits", and_holds(b"\x4a\x00\x00\x00\x0acanary")),
        ("ssh", and_holds(b"SSH-2.0-canary\r\n")),
        ("a-TLS-alert", sends(b"\x15\x03\x01\x00\x02\x02\x16")),
        ("HTTP/2", and_holds(HTTP_2)),
        ("HTTP/2-preface", sends(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")),
        ("HTTP/2-in-words", sends(b"HTTP/2.0 200 canary\r\n\r\n")),
        ("no-status", sends(b"HTTP/1.1 canary\r\n\r\n")),
        ("status-with-underscores", sends(b"HTTP/1.1 2_0_0 canary\r\n\r\n")),
        ("status-with-a-sign", sends(b"HTTP/1.1 +200 canary\r\n\r\n")),
        ("status-of-two-digits", sends(b"HTTP/1.1 20 canary\r\n\r\n")),
        ("NUL-in-its-status-line", sends(b"HTTP/1.1 200 can\0ary\r\n\r\n")),
        ("NUL-in-its-header", sends(header("X: can\0ary", f"Content-Length: {len(PAGE)}") + PAGE)),
        ("lone-CR-in-its-header", sends(header("X: canary\rContent-Length: 5") + PAGE)),
        ("line-without-colon", sends(header("canary", "Content-Length: 0"))),
        ("line-without-name", sends(header(": canary", "Content-Length: 0"))),
        ("blank-before-the-colon", sends(header("Content-Length : 5", "X: canary") + PAGE)),
        ("folded-first-line", sends(header(" X: canary", "Content-Length: 0"))),
    ],
)

HEADER_TOO_LARGE = rows(
    "header_too_large",
    "the answer's header is larger than 65536 bytes or has over 100 lines",
    [
        ("100-kB-header", sends(header("X: " + "canary" * 17_000))),
        ("header-without-end", without_end(b"HTTP/1.1 200 OK\r\n", b"X-Canary: canary\r\n")),
        ("header-line-without-end", without_end(b"HTTP/1.1 200 OK\r\nX: ", CANARY * 1000)),
        ("status-line-of-64-KiB", sends(header(status="200 " + "x" * 65_536))),
        ("status-line-without-end", without_end(b"HTTP/1.1 200 ", CANARY * 1000)),
        ("1000-lines", sends(header(*["X: canary"] * 1000))),
        ("continues-without-end", without_end(b"", header(status="100 Continue"))),
        ("early-hints-without-end", without_end(b"", header("Link: canary", status="103 Early Hints"))),
    ],
)

HOW_FRAMED = {
    "both a Transfer-Encoding and a Content-Length": [
        ("length-and-chunks", sends(header("Content-Length: 5", "Transfer-Encoding: chunked") + chunked(LINE))),
    ],
    "its Content-Length is not a number": [
        ("length-in-words", sends(header("Content-Length: canary") + PAGE)),
        ("length-below-zero", sends(header("Content-Length: -5") + PAGE)),
        ("length-with-a-sign", sends(header("Content-Length: +5") + PAGE)),
        ("length-with-an-underscore", sends(header("Content-Length: 1_0") + PAGE)),
        ("length-in-hex", sends(header("Content-Length: 0x41") + PAGE)),
        ("length-of-nothing", sends(header("Content-Length:") + PAGE)),
        ("length-of-5000-digits", sends(header("Content-Length: " + "9" * 5000) + PAGE)),
        ("length-as-a-list", and_holds(header("Content-Length: 65, 65") + PAGE)),
        ("length-on-a-folded-line", and_holds(header("Content-Length:", " 65") + PAGE)),
    ],
    "several Content-Lengths that differ": [
        ("two-lengths", sends(header("Content-Length: 5", "Content-Length: 6") + PAGE)),
        ("a-length-too-many", sends(header("Content-Length: 65", "X: canary", "content-length: 0") + PAGE)),
    ],
    "a Transfer-Encoding other than chunked": [
        ("gzip-and-chunked", sends(header("Transfer-Encoding: gzip, chunked") + chunked(gzip.compress(PAGE)))),
        ("chunked-twice", sends(header("Transfer-Encoding: chunked", "Transfer-Encoding: chunked") + chunked(PAGE))),
        ("xchunked", sends(header("Transfer-Encoding: xchunked") + chunked(PAGE))),
        ("chunked-on-a-folded-line", and_holds(header("Transfer-Encoding:", " chunked") + chunked(PAGE))),
        ("chunked-in-quotes", sends(header('Transfer-Encoding: "chunked"') + chunked(PAGE))),
        ("identity", sends(header("Transfer-Encoding: identity", "X: canary") + PAGE)),
        ("chunked-with-a-parameter", sends(header("Transfer-Encoding: chunked;canary") + chunked(PAGE))),
    ],
    "a chunk does not begin with its length": [
        ("chunk-without-length", page_in_chunks(b"canary\r\nup 1\n\r\n")),
        ("chunk-below-zero", page_in_chunks(b"-5\r\nup 1\n\r\n")),
        ("chunk-with-a-sign", page_in_chunks(b"+5\r\nup 1\n\r\n0\r\n\r\n")),
        ("chunk-with-0x", page_in_chunks(b"0x5\r\nup 1\n\r\n0\r\n\r\n")),
        ("chunk-with-an-underscore", page_in_chunks(b"0_5\r\nup 1\n\r\n0\r\n\r\n")),
        ("chunk-after-a-blank", page_in_chunks(b" 5\r\nup 1\n\r\n0\r\n\r\n")),
        ("chunk-length-of-nothing", page_in_chunks(b"\r\n\r\n")),
        ("chunk-length-that-overflows", page_in_chunks(b"f" * 16 + b"\r\n" + LINE)),
        ("chunk-length-without-end", without_end(CHUNKED, b"1" * 4096)),
        ("chunk-extension-of-70-kB", page_in_chunks(b"5;" + b"canary" * 12_000 + b"\r\nup 1\n\r\n0\r\n\r\n")),
    ],
    "a chunk is longer than it says": [
        ("chunk-longer-than-it-says", page_in_chunks(b"5\r\nup 1\ncanary\r\n")),
        ("chunk-ended-by-anything", page_in_chunks(b"5\r\nup 1\nXX0\r\n\r\n")),
        ("chunks-with-bare-LF", page_in_chunks(b"5\nup 1\n\n0\n\n")),
    ],
    "a line holds a control character": [
        ("NUL-in-a-chunk-length", page_in_chunks(b"5\0canary\r\nup 1\n\r\n0\r\n\r\n")),
        ("lone-CR-in-a-chunk-length", page_in_chunks(b"5;\rcanary\r\nup 1\n\r\n0\r\n\r\n")),
        ("NUL-in-a-trailer", page_in_chunks(chunked(LINE, end=b"0\r\nX: can\0ary\r\n\r\n"))),
    ],
    "its trailer has more than 100 lines": [
        ("trailer-without-end", without_end(CHUNKED + b"0\r\n", b"X-Canary: canary\r\n")),
    ],
    "a line of its trailer is too long": [
        ("trailer-line-without-end", without_end(CHUNKED + b"0\r\nX: ", CANARY * 1000)),
    ],
    "more came after its end": [
        ("second-answer-in-the-pipe", and_holds(whole() + whole(LINE))),
        ("second-answer-after-chunks", and_holds(CHUNKED + chunked(PAGE) + whole(LINE))),
        ("second-answer-after-an-empty-one", and_holds(whole(b"") + whole(LINE))),
        ("length-too-small", and_holds(header("Content-Length: 30") + PAGE + LINE)),
    ],
}
BADLY_FRAMED = [
    row
    for words, cases in HOW_FRAMED.items()
    for row in rows("bad_framing", f"where the page ends is not clear: .*{words}", cases)
]

TRUNCATED = [
    Server(
        "closes-in-its-status-line", sends(b"HTTP/1.1 20"), "page_truncated", "in the middle of the answer's header"
    ),
    Server(
        "closes-in-its-header",
        sends(b"HTTP/1.1 200 canary\r\nX-Can"),
        "page_truncated",
        "in the middle of the answer's header",
    ),
    Server(
        "closes-before-the-empty-line",
        sends(b"HTTP/1.1 200 canary\r\nX: y\r\n"),
        "page_truncated",
        "middle of the answer's header",
    ),
    Server(
        "closes-in-a-line",
        sends(header() + LINE[:-1]),
        "page_truncated",
        "closed in the middle of a line, after 25 bytes",
    ),
    Server(
        "half-a-gzip",
        sends(whole(gzip.compress(LINES)[:-9], "Content-Encoding: gzip")),
        "page_truncated",
        "before its gzip does",
    ),
    *rows(
        "page_truncated",
        "closed before the whole page, ",
        [
            ("length-too-large", sends(header("Content-Length: 9999") + LINE)),
            ("closes-in-its-large-page", sends(header("Content-Length: 999999"), LINES * 30)),
            ("length-and-no-page", sends(header("Content-Length: 5"))),
            ("closes-in-a-chunk", page_in_chunks(b"fff\r\n" + LINE)),
            ("closes-in-a-chunk-length", page_in_chunks(chunked(LINE, end=b"ff"))),
            ("closes-between-chunks", page_in_chunks(chunked(LINE, end=b""))),
        ],
    ),
]

TOO_LARGE = [
    *rows(
        "page_too_large",
        f"larger than the limit page_bytes, {MAX_PAGE_BYTES}",
        [
            ("says-it-is-too-large", and_holds(header(f"Content-Length: {MAX_PAGE_BYTES + 1}"))),
            ("says-it-is-an-exabyte", and_holds(header("Content-Length: " + "9" * 18))),
            ("page-without-end", without_end(header(), LINES)),
            ("line-without-end", without_end(header(), CANARY * 1000)),
            ("NULs-without-end", without_end(header(), bytes(10_000))),
            ("chunks-without-end", without_end(CHUNKED, chunked(LINES, end=b""))),
            ("chunk-without-end", without_end(CHUNKED + b"f" * 15 + b"\r\n", LINES)),
            ("gzip-bomb", without_end(header("Content-Encoding: gzip") + BOMB, b"")),
            (
                "gzip-bomb-in-chunks",
                sends(header("Transfer-Encoding: chunked", "Content-Encoding: gzip") + chunked(BOMB)),
            ),
        ],
    ),
    *rows(
        "page_too_large",
        "on the wire than the limit wire_bytes",
        [
            ("small-chunks-without-end", without_end(CHUNKED, b"2\r\nx\n\r\n" * 1000)),
            ("chunk-extensions-without-end", without_end(CHUNKED, b"1;" + b"canary" * 1000 + b"\r\nx\r\n")),
            (
                "gzip-of-nothing-without-end",
                without_end(header("Content-Encoding: gzip") + gzip.compress(b"")[:10], b"\0\0\0\xff\xff" * 1000),
            ),
        ],
    ),
]

BAD_CONTENT = [
    Server(
        "brotli", sends(whole(LINE, "Content-Encoding: br")), "bad_content", "a Content-Encoding that was not asked for"
    ),
    Server("gzip-in-name-only", sends(whole(LINE, "Content-Encoding: gzip")), "bad_content", "is not the gzip that"),
    Server(
        "gzip-twice",
        sends(whole(gzip.compress(gzip.compress(LINES)), "Content-Encoding: gzip, gzip")),
        "bad_content",
        "a Content-Encoding that was not asked for",
    ),
    Server(
        "gzip-and-more",
        sends(whole(gzip.compress(LINES) + CANARY, "Content-Encoding: gzip")),
        "bad_content",
        "goes on after the end of its gzip",
    ),
    Server(
        "gzip-with-a-wrong-checksum",
        sends(whole(gzip.compress(LINES)[:-8] + bytes(8), "Content-Encoding: gzip")),
        "bad_content",
        "is not the gzip that",
    ),
]

STATUSES = [
    Server(
        f"answers-{status}",
        sends(whole(b"" if status in (204, 304) else LINE, status=f"{status} canary")),
        "redirect" if status == 304 else "http_status",
        f"answered {status}",
    )
    for status in (101, 204, 205, 206, 304, 416, 999)
]

PAGES = [
    Server(name, script, None)
    for name, script in [
        ("bare-LF-in-its-header", sends(f"HTTP/1.1 200 OK\nContent-Length: {len(PAGE)}\n\n".encode() + PAGE)),
        ("folded-line-in-its-header", sends(whole(PAGE, "X: canary", " canary"))),
        ("two-lengths-that-agree", sends(whole(PAGE, f"Content-Length: {len(PAGE)}"))),
        ("early-hints-first", sends(header("Link: canary", status="103 Early Hints") + whole())),
        ("interim-answers-first", sends(header(status="100 Continue") * 3 + header(status="102 canary") + whole())),
        ("no-reason", sends(f"HTTP/1.1 200\r\nContent-Length: {len(PAGE)}\r\n\r\n".encode() + PAGE)),
        ("a-trailer", page_in_chunks(chunked(PAGE, end=b"0\r\nX: canary\r\n\r\n"))),
        ("chunk-extensions", page_in_chunks(b"41;canary=canary\r\n" + PAGE + b"\r\n0;canary\r\n\r\n")),
        ("closes-in-its-trailer-of-nothing", and_holds(CHUNKED + chunked(PAGE))),
        ("answers-unasked", answers_unasked),
        ("keeps-the-connection", and_holds(whole())),
        ("closes-the-connection", sends(whole())),
    ]
]

GOOD = {"host": "127.0.0.1"}
UNDER_TLS = [
    *rows(
        "tls_failed",
        "no TLS session: what listens there does not speak TLS",
        [
            ("plain-HTTP", raw(lambda visit: visit.send(whole(LINE)))),
            ("noise", raw(lambda visit: visit.send(b"\xff" * 99))),
        ],
        scheme="https",
    ),
    *rows(
        "tls_failed",
        "no TLS session: the connection was closed",
        [
            ("closes-when-greeted", raw(lambda visit: None)),
            ("resets-when-greeted", raw(Visit.reset)),
            ("closes-in-its-hello", raw(lambda visit: visit.send(HELLO_OF_TLS_1_0[:20]))),
        ],
        scheme="https",
    ),
    Server(
        "TLS-1.0-says-so",
        raw(lambda visit: visit.send(ALERT_OF_TLS_1_0)),
        "tls_failed",
        "alert protocol version",
        "https",
    ),
    Server(
        "TLS-1.0", raw(lambda visit: visit.send(HELLO_OF_TLS_1_0)), "tls_failed", "unsupported protocol|legacy", "https"
    ),
    Server("handshake-without-end", handshake_without_end, "tls_failed", "no TLS session", "https"),
    *rows(
        "connect_timeout",
        "no TLS handshake within",
        [
            ("hangs-in-the-handshake", Visit.wait),
            ("drips-its-handshake", drips_its_handshake),
        ],
        scheme="https",
    ),
    Server(
        "expired", sends(), "certificate_expired", "the certificate has expired", "https", GOOD | {"days": (-3, -1)}
    ),
    Server("too-early", sends(), "certificate_expired", "not valid yet", "https", GOOD | {"days": (1, 3)}),
    Server("another-address", sends(), "certificate_wrong_name", "for another address", "https", {"host": "127.0.0.2"}),
    Server("another-name", sends(), "certificate_wrong_name", "for another address", "https", {"host": "canary.test"}),
    Server(
        "signed-by-itself", sends(), "certificate_untrusted", "signed by itself", "https", GOOD | {"by_itself": True}
    ),
    *(
        Server(name, script, code, words, "https", GOOD)
        for name, script, code, words in [
            ("breaks-before-the-answer", breaks_before_the_answer, "tls_failed", "session broke before an answer"),
            ("breaks-in-the-page", breaks_the_session, "tls_failed", "session broke before the whole page"),
            (
                "closes-in-the-page",
                sends(header("Content-Length: 99") + LINE),
                "page_truncated",
                "before the whole page",
            ),
            ("no-goodbye", ends_without_goodbye(header() + PAGE), "page_truncated", "without ending the TLS session"),
            ("no-goodbye-and-a-length", ends_without_goodbye(whole()), None, ""),
            ("no-answer", sends(), "connection_lost", "closed or reset before an answer"),
            ("second-answer", and_holds(whole() + whole(LINE)), "bad_framing", "more came after its end"),
            ("drips", drips(header("Content-Length: 9999")), "page_timeout", "the whole page did not come"),
            ("bomb", without_end(header("Content-Encoding: gzip") + BOMB, b""), "page_too_large", "page_bytes"),
            ("silent", and_holds(), "timeout", "an answer did not come within"),
        ]
    ),
]
UNDER_TLS = [
    Server(f"TLS-{row.name}", row.script, row.code, row.words, row.scheme, row.certificate) for row in UNDER_TLS
]

SERVERS = [
    *NOT_CONNECTED_OR_LOST,
    *TOO_SLOW,
    *NOT_HTTP,
    *HEADER_TOO_LARGE,
    *BADLY_FRAMED,
    *TRUNCATED,
    *TOO_LARGE,
    *BAD_CONTENT,
    *STATUSES,
    *PAGES,
    *UNDER_TLS,
]
