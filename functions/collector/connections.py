"""HTTP connections for servers that are not trusted: urllib3's, kept alive while the process is warm.

Three things are ours: a connection goes to a literal address and looks nothing up; its reads end by one deadline, where
a timeout alone would begin anew with every byte; and they end at a byte count.
"""

import functools
import logging
import socket
import ssl
import threading
import time
from typing import Any, cast

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection

from collector.framing import MAX_HEADER_BYTES, Exchange, OverLimitError, Response

# A router on the way forgets an idle connection without telling, and what is then sent over it gets no answer at all
MAX_IDLE_SECONDS = 30.0
TIMEOUT_SLACK_SECONDS = 0.01
TLS_HANDSHAKE = "TLS handshake"


class StaleConnectionError(Exception):
    """A kept connection turned out to be closed before anything came over it."""


class NotConnectedError(Exception):
    """No connection; the cause is an OSError. Not one itself, because urllib3 forgives some of those."""

    def __init__(self, step: str) -> None:
        super().__init__(step)
        self.step = step


def is_cut(fault: BaseException | None) -> bool:
    """Whether a TLS connection was closed without TLS' own goodbye. Python 3.11.2 has no class for it."""
    return isinstance(fault, ssl.SSLEOFError) or getattr(fault, "reason", None) == "UNEXPECTED_EOF_WHILE_READING"


class _Socket(socket.socket):
    """Ends reading at the exchange's deadline and byte limit. A timeout alone would begin anew with every byte."""

    exchange: Exchange

    def recv_into(self, *args: Any, **kwargs: Any) -> int:
        exchange = self.exchange
        if exchange.over or exchange.received_bytes >= exchange.max_bytes:
            raise OverLimitError
        left = _left(exchange.deadline)
        # Each setting is a system call, at which threads take turns: a page that comes at once needs one.
        if abs((self.gettimeout() or 0.0) - left) > TIMEOUT_SLACK_SECONDS:
            self.settimeout(left)
        try:
            count = super().recv_into(*args, **kwargs)
        except ssl.SSLError as exc:
            if not is_cut(exc):
                raise
            count, exchange.ragged = 0, True
        exchange.received_bytes += count
        exchange.ended = not count
        return count


class _TlsSocket(_Socket, ssl.SSLSocket):
    """The same, in bytes after decryption."""


class Connection(HTTPConnection):
    """Goes to a literal address without a look-up; tells a kept connection that is closed from a server that fails."""

    response_class = Response
    exchange: Exchange
    _kept = False
    _last_used = 0.0

    def connect(self) -> None:
        self._kept = False
        deadline = time.monotonic() + cast(float, self.timeout)
        try:
            sock = _Socket(socket.AF_INET6 if ":" in self.host else socket.AF_INET, socket.SOCK_STREAM)
            self.sock = sock  # from here on it is closed with the connection
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.settimeout(_left(deadline))
            sock.connect((self.host, self.port))
        except OSError as exc:
            raise NotConnectedError("TCP connection") from exc
        self._secure(sock, deadline)

    def _secure(self, sock: _Socket, deadline: float) -> None:
        """Nothing to do in plain HTTP."""

    def getresponse(self) -> urllib3.HTTPResponse:  # type: ignore[override]
        # urllib3 has just set the timeout to what the request has left of its total
        deadline = time.monotonic() + cast(float, self.timeout)
        self.exchange = cast(_Socket, self.sock).exchange = Exchange(deadline, MAX_HEADER_BYTES)
        try:
            response = super().getresponse()
        except OSError as exc:
            if self._kept and not self.exchange.received_bytes and not isinstance(exc, TimeoutError):
                raise StaleConnectionError from exc
            raise
        self._kept = True
        self._last_used = time.time()
        return response

    @property
    def is_connected(self) -> bool:
        # By the wall clock: the other one may stand still while Lambda has the process frozen
        return time.time() - self._last_used < MAX_IDLE_SECONDS and super().is_connected


class TlsConnection(Connection, HTTPSConnection):
    """The same over TLS; the certificate is for the name that was checked."""

    def _secure(self, sock: _Socket, deadline: float) -> None:
        # Not urllib3's way, which sets up the context again for each connection, while other threads use it
        try:
            sock.settimeout(_left(deadline))
            self.sock = cast(ssl.SSLContext, self.ssl_context).wrap_socket(
                sock, server_hostname=self.server_hostname, suppress_ragged_eofs=False
            )
        except OSError as exc:
            raise NotConnectedError(TLS_HANDSHAKE) from exc
        self.is_verified = True

    @property
    def is_connected(self) -> bool:
        # What OpenSSL has decrypted ahead is not seen at the socket
        return super().is_connected and not cast(ssl.SSLSocket, self.sock).pending()


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


class _Pool(urllib3.HTTPConnectionPool):
    ConnectionCls = Connection


class _TlsPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = TlsConnection


# A pool is for one server and keeps one connection: urllib3 fills a pool's places one by one, whether they are used or
# not. Who asks a server twice at once opens another, and that it is not kept is no news.
logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)
POOLS = urllib3.PoolManager(num_pools=256, maxsize=1)
POOLS.pool_classes_by_scheme = {"http": _Pool, "https": _TlsPool}
_ONE_AT_A_TIME = threading.Lock()


def tls_context() -> ssl.SSLContext:
    """The process's one context: Python's defaults, and the authorities of the system or of SSL_CERT_FILE."""
    with _ONE_AT_A_TIME:  # threads begin together, and each would read all authorities
        return new_tls_context()


def private_context(authorities: str) -> ssl.SSLContext | None:
    """A context that trusts these authorities alone, in PEM, the same for the same; None where there is none in them.

    It is in the pool's key, so connections that were made with others are not used.
    """
    with _ONE_AT_A_TIME:
        try:
            return new_tls_context(authorities)
        except (ssl.SSLError, ValueError):
            return None


@functools.lru_cache(maxsize=64)
def new_tls_context(authorities: str | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context(cadata=authorities)
    context.sslsocket_class = _TlsSocket
    context.set_alpn_protocols(["http/1.1"])
    # Else OpenSSL 3 takes a connection that somebody cut for one that has ended.
    context.options &= ~getattr(ssl, "OP_IGNORE_UNEXPECTED_EOF", 0)
    context.options |= ssl.OP_NO_RENEGOTIATION  # a handshake costs a client as much as a server likes
    return context
