"""The simulated server's HTTP side: `/metrics` as SGLang answers it, `/truth` to check it against, 404 for the rest."""

import gzip
import json
from http import HTTPStatus

from local.loopback import HOST, LoopbackHandler, LoopbackServer
from local.simulator.simulation import Simulation

CHUNK_BYTES = 16_384


class SimulatedServer(LoopbackServer):
    """An SGLang server on loopback with no model behind it."""

    def __init__(self, port: int = 0, simulation: Simulation | None = None) -> None:
        self.simulation = simulation or Simulation()
        super().__init__(port, SimulatorHandler)

    @property
    def metrics_url(self) -> str:
        return f"http://{HOST}:{self.port}/metrics"


class SimulatorHandler(LoopbackHandler):
    server: SimulatedServer
    server_version = "simulated-sglang"

    def do_GET(self) -> None:  # noqa: N802 - the base class's name
        path = self.path.partition("?")[0]
        if path.startswith("/metrics"):  # as SGLang routes it: /metrics/ and /metricsfoo too
            body, content_type = self.server.simulation.page(self.headers.get("Accept", ""))
            self._answer(HTTPStatus.OK, content_type, body)
        elif path == "/truth":
            self._answer(HTTPStatus.OK, "application/json", json.dumps(self.server.simulation.truth()).encode())
        else:
            self._answer(HTTPStatus.NOT_FOUND, "application/json", b'{"detail":"Not Found"}')

    do_HEAD = do_GET  # noqa: N815

    def _answer(self, status: HTTPStatus, content_type: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        if "gzip" in self.headers.get("Accept-Encoding", ""):
            body = gzip.compress(body, compresslevel=6)
            self.send_header("Content-Encoding", "gzip")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        if self.command == "HEAD":
            return
        for start in range(0, len(body), CHUNK_BYTES):
            chunk = body[start : start + CHUNK_BYTES]
            self.wfile.write(b"%x\r\n%b\r\n" % (len(chunk), chunk))
        self.wfile.write(b"0\r\n\r\n")
