"""Small HTTP servers on loopback that answer as a script says, byte by byte, so that they can misbehave."""

import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterable
from typing import Self

PAGE = b"# TYPE sglang:num_running_reqs gauge\nsglang:num_running_reqs 3.0\n"


class Visit:
    """One connection, as the script sees it. `number` counts from 1."""

    def __init__(self, server: "Server", connection: socket.socket, number: int) -> None:
        self.server, self.connection, self.number = server, connection, number

    def request(self) -> bytes:
        """The next request's header, or nothing when the client has closed."""
        header = b""
        while not header.endswith(b"\r\n\r\n"):
            piece = self.connection.recv(4096)
            if not piece:
                return b""
            header += piece
        self.server.requests.append(header)
        return header

    def send(self, *pieces: bytes) -> None:
        for piece in pieces:
            self.connection.sendall(piece)

    def wait(self, seconds: float = 60) -> None:
        """Sleep, but no longer than the server lives."""
        self.server.stopping.wait(seconds)
        if self.server.stopping.is_set():
            raise ConnectionAbortedError

    def drip(self, data: Iterable[bytes], seconds: float = 0.05) -> None:
        for piece in data:
            self.send(piece)
            self.wait(seconds)

    def reset(self) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()


Script = Callable[[Visit], None]


class Server:
    """Runs a script for each connection. Keeps what was asked in `requests` and counts `connections`."""

    def __init__(
        self, script: Script, *, address: str = "127.0.0.1", port: int = 0, tls: ssl.SSLContext | None = None
    ) -> None:
        self.script, self.tls, self.address = script, tls, address
        self.requests: list[bytes] = []
        self.connections = 0
        self.stopping = threading.Event()
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(
            (address, port), family=socket.AF_INET6 if ":" in address else socket.AF_INET, backlog=128
        )
        self.port: int = self._listener.getsockname()[1]

    def __enter__(self) -> Self:
        self._threads.append(threading.Thread(target=self._accept, daemon=True))
        self._threads[0].start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.stopping.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        for connection in [*self._open]:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._open.add(connection)
            self._threads.append(threading.Thread(target=self._serve, args=(connection, self.connections), daemon=True))
            self._threads[-1].start()

    def _serve(self, plain: socket.socket, number: int) -> None:
        connection = plain
        try:
            if self.tls:
                connection = self.tls.wrap_socket(plain, server_side=True)
                self._open.add(connection)
            self.script(Visit(self, connection, number))
        except OSError:
            pass  # the client is gone, or the server is to stop
        finally:
            self._open -= {plain, connection}
            connection.close()
            plain.close()


def header(*lines: str, status: str = "200 OK") -> bytes:
    return "".join(f"{line}\r\n" for line in (f"HTTP/1.1 {status}", *lines, "")).encode()


def whole(body: bytes = PAGE, *lines: str, status: str = "200 OK") -> bytes:
    """An answer with its length declared."""
    return (
        header(f"Content-Length: {len(body)}", "Content-Type: text/plain; version=0.0.4", *lines, status=status) + body
    )


def chunked(*pieces: bytes, end: bytes = b"0\r\n\r\n") -> bytes:
    """A body in the chunked coding."""
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + end


def sends(*answer: bytes) -> Script:
    """Reads one request, sends this, and closes."""

    def script(visit: Visit) -> None:
        visit.request()
        visit.send(*answer)

    return script


def keeps_alive(answer: bytes) -> Script:
    """Sends the same to every request on a connection."""

    def script(visit: Visit) -> None:
        while visit.request():
            visit.send(answer)

    return script
