"""HTTP servers on loopback that live as long as a `with` block, and how a command ends when it is told to."""

import os
import signal
import socket
import sys
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import Any, Self

# Another one, such as the address of Docker's bridge, lets a container of this machine in; never one that others reach.
HOST = os.environ.get("BIND_HOST") or "127.0.0.1"
GRACE_SECONDS = 2.0
SIGNALS = (signal.SIGTERM, signal.SIGINT)


class PortTakenError(Exception):
    """The port that was asked for is not to be had, mostly because something else listens there."""


class LoopbackHandler(BaseHTTPRequestHandler):
    """HTTP/1.1 with keep-alive, silent; a connection that idles is closed."""

    protocol_version = "HTTP/1.1"
    timeout = 5.0
    disable_nagle_algorithm = True  # or each small write of an answer waits for the client's delayed acknowledgement

    def version_string(self) -> str:
        return self.server_version

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        pass


class LoopbackServer(ThreadingHTTPServer):
    """A thread per connection; port 0 takes a free one. Raises PortTakenError.

    The end of the `with` block closes what is still open, so that no client keeps the command alive.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, port: int, handler: type[BaseHTTPRequestHandler]) -> None:
        try:
            super().__init__((HOST, port), handler)
        except (OSError, OverflowError) as exc:
            raise PortTakenError(f"cannot listen on {HOST}:{port}: {exc}") from exc
        self._connections: dict[Any, threading.Thread] = {}
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    @property
    def port(self) -> int:
        return self.server_port

    def server_bind(self) -> None:
        TCPServer.server_bind(self)  # HTTPServer's own looks the host's name up, which can take seconds
        self.server_name, self.server_port = HOST, self.socket.getsockname()[1]

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        self._connections[request] = threading.current_thread()
        try:
            super().process_request_thread(request, client_address)
        finally:
            del self._connections[request]

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):  # the client's doing
            super().handle_error(request, client_address)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()
        for connection, thread in list(self._connections.items()):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            thread.join(GRACE_SECONDS)


def exit_when_told(status: int | None = None) -> None:
    """SIGTERM and Ctrl-C unwind the command's `with` blocks and end it with `status` (by default the signal's)."""

    def leave(number: int, _: object) -> None:
        for each in SIGNALS:
            signal.signal(each, signal.SIG_IGN)  # a second one must not interrupt the clearing up
        sys.exit(128 + number if status is None else status)

    for number in SIGNALS:
        signal.signal(number, leave)


def wait_until_told() -> None:
    """Wait for the signal that ends the command.

    Not `signal.pause`: a signal that another thread receives does not end that, and so the command ran on.
    """
    reader, writer = socket.socketpair()
    with reader, writer:
        writer.setblocking(False)
        signal.set_wakeup_fd(writer.fileno())
        try:
            while True:
                reader.recv(1)
        finally:
            signal.set_wakeup_fd(-1)
