"""Where an HTTP/1 answer begins and ends, by the letter of RFC 9112.

http.client and urllib3 forgive much, each in its own way: a number with a sign or an underscore, two bytes of anything
after a chunk, a lone CR as the end of a line. Where two readers see different ends, one takes a server's second answer
for that to its next question. So what is not spelled as it must be is refused.
"""

import http.client
import io
import re
import socket
from dataclasses import dataclass
from typing import Any, Never, cast

MAX_HEADER_BYTES = 64 * 1024
# As much as a header may be, and most of a page: after each read a thread waits for its turn again.
READ_AHEAD_BYTES = MAX_HEADER_BYTES
MAX_LINE_BYTES = 64 * 1024
MAX_TRAILER_LINES = 100

PROTOCOL = b"HTTP/1."
STATUS_LINE = re.compile(rb"(HTTP/1\.[0-9]) ([1-9][0-9]{2})(?: [^\r\n]*)?\r?\n")
FIELD_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
CONTROL = re.compile(rb"[\0-\x08\x0b\x0c\x0e-\x1f\x7f]|\r(?!\n|\Z)")
LENGTH = re.compile(r"[0-9]{1,18}")
CHUNK = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\r\n]*)?\r?\n")


@dataclass(slots=True)
class Exchange:
    """What one answer may take, in time and bytes, and what it has taken."""

    deadline: float
    max_bytes: int
    received_bytes: int = 0
    ended: bool = False
    """Nothing more comes: the server has closed."""
    ragged: bool = False
    """It has closed without TLS' own goodbye, so anybody on the way may have done it."""
    over: bool = False
    """The answer has been read to its end."""


class OverLimitError(Exception):
    """An answer has reached its `max_bytes`, or a header its lines."""


class CutShort(http.client.HTTPException):
    """The connection was closed inside the header."""


class Misframed(http.client.HTTPException):
    """The answer does not say, or says twice and differently, where its page ends. The words are ours alone."""


class _Lines(io.BufferedReader):
    """Of an answer all but its page is read in lines, and a line holds no control characters."""

    def readline(self, size: int | None = -1, /) -> bytes:
        line = super().readline(size)
        if CONTROL.search(line):
            raise Misframed("a line holds a control character")
        return line


class Response(http.client.HTTPResponse):
    """An answer that is whole and well-formed, or an error.

    Chunks are undone here, so what takes it over from here sees a page that ends, and no Transfer-Encoding.
    """

    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self._exchange = cast(Exchange, sock.exchange)  # type: ignore[attr-defined]
        self._surplus = False
        self.fp = _Lines(self.fp.detach(), READ_AHEAD_BYTES)

    def begin(self) -> None:
        try:
            super().begin()
        except Misframed as exc:
            raise http.client.HTTPException(*exc.args) from exc
        except http.client.LineTooLong as exc:
            raise OverLimitError from exc
        except http.client.HTTPException as exc:
            if type(exc) is http.client.HTTPException:  # its only one here: too many lines
                raise OverLimitError from exc
            raise
        if self._exchange.ended:
            raise CutShort
        if self.msg.defects or self.msg.get_payload() or not all(map(FIELD_NAME.fullmatch, self.msg)):
            raise http.client.HTTPException("a line of the header has no name or no colon")
        if self.status == http.client.OK:
            self._check_framing()
        del self.msg["Transfer-Encoding"]

    def _check_framing(self) -> None:
        codings = self.msg.get_all("Transfer-Encoding", [])
        lengths = self.msg.get_all("Content-Length", [])
        if codings and (len(codings) > 1 or not self.chunked):
            raise Misframed("it has a Transfer-Encoding other than chunked")
        if codings and lengths:
            raise Misframed("it has both a Transfer-Encoding and a Content-Length")
        if not all(map(LENGTH.fullmatch, lengths)):
            raise Misframed("its Content-Length is not a number")
        if len({int(length) for length in lengths}) > 1:
            raise Misframed("it has several Content-Lengths that differ")
        # "MUST … close the connection after processing the message": RFC 9112, 6.1
        self.will_close = self.will_close or (bool(codings) and self.version == 10)

    def _read_status(self) -> tuple[str, int, str]:
        begins = self.fp.peek(1)[: len(PROTOCOL)]
        if not PROTOCOL.startswith(begins):  # at once: a server of another protocol sends no line, and waits
            raise http.client.BadStatusLine("")
        line = self.fp.readline(MAX_LINE_BYTES + 1)
        if not line:
            raise http.client.RemoteDisconnected("")
        if len(line) > MAX_LINE_BYTES:
            raise http.client.LineTooLong("status line")
        parts = STATUS_LINE.fullmatch(line)
        if not parts:
            raise http.client.BadStatusLine("") if line.endswith(b"\n") else CutShort
        status = int(parts[2])
        # Interim answers are all passed over, of which http.client knows one. 101 is not interim: nothing follows it.
        interim = 100 <= status < 200 and status != http.client.SWITCHING_PROTOCOLS
        return parts[1].decode(), http.client.CONTINUE if interim else status, ""

    # The page

    def read(self, amt: int | None = None) -> bytes:
        piece = super().read(amt)
        if self._surplus:
            raise Misframed("more came after its end")
        return piece

    def _close_conn(self) -> None:
        self._exchange.over = True  # so that what is seen of the next answer is what was read ahead
        try:
            self._surplus = bool(self.fp.peek(1))
        except (OverLimitError, OSError, ValueError):  # nothing; or it timed out, or is closed
            self._surplus = False
        super()._close_conn()  # type: ignore[misc]

    def _read_chunked(self, amt: int) -> bytes:
        """As http.client's, which keeps chunks apart until it has enough: small ones take fifty times their size."""
        piece = bytearray()
        while len(piece) < amt and (left := self._get_chunk_left()):
            part = self._safe_read(min(left, amt - len(piece)))  # type: ignore[attr-defined]
            self.chunk_left = left - len(part)
            piece += part
        return bytes(piece)

    def _get_chunk_left(self) -> int | None:
        """As http.client's, which lets pass what is not a chunk."""
        if not self.chunk_left:
            if self.chunk_left is not None and self._safe_read(2) != b"\r\n":  # type: ignore[attr-defined]
                raise Misframed("a chunk is longer than it says")
            self.chunk_left = self._read_next_chunk_size()
            if not self.chunk_left:
                self._read_and_discard_trailer()
                self._close_conn()
                self.chunk_left = None
        return self.chunk_left

    def _read_next_chunk_size(self) -> int:
        line = self.fp.readline(MAX_LINE_BYTES)
        size = CHUNK.fullmatch(line)
        if not size:
            self._refuse_line(line, "a chunk does not begin with its length")
        return int(size[1], 16)

    def _read_and_discard_trailer(self) -> None:
        for _ in range(MAX_TRAILER_LINES):
            line = self.fp.readline(MAX_LINE_BYTES)
            if line in (b"\r\n", b"\n"):
                return
            if not line.endswith(b"\n"):
                self._refuse_line(line, "a line of its trailer is too long")
        raise Misframed(f"its trailer has more than {MAX_TRAILER_LINES} lines")

    def _refuse_line(self, line: bytes, reason: str) -> Never:
        if self._exchange.ended and not line.endswith(b"\n"):
            raise http.client.IncompleteRead(b"")
        raise Misframed(reason)
