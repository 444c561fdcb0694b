"""`make serve`: the API on 127.0.0.1 with the real handler behind it, and a simulated server to collect."""

import argparse
import json
import os
import socket
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from http import HTTPStatus

from local.aws import EmbeddedAwsError
from local.function import Invoke, api_function
from local.gateway import Answer, Request, answer_of, event_of
from local.loopback import HOST, LoopbackHandler, LoopbackServer, PortTakenError, exit_when_told, wait_until_told
from local.simulator.server import SimulatedServer
from local.table import BOLD, say, styled
from local.template import Template

# API Gateway's own: https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-quotas.html
HEAD_BYTES_AT_MOST = 10_240
BODY_BYTES_AT_MOST = 10 * 1024 * 1024
# Under any other name it is a web page that asks, through a name of its own that leads here.
HOSTS = (HOST, "localhost")
DRAINED_BLOCK_BYTES = 65_536
DRAINED_BLOCKS_AT_MOST = 1024


def main() -> None:
    parser = argparse.ArgumentParser(prog="make serve", description=__doc__)
    parser.add_argument("--port", type=int, default=os.environ.get("PORT") or "8002", help="PORT=")
    parser.add_argument(
        "--simulator-port",
        type=int,
        default=os.environ.get("SIMULATOR_PORT") or "30000",
        help="SIMULATOR_PORT=; 0 leaves the simulated server out",
    )
    arguments = parser.parse_args()
    exit_when_told(0)
    try:
        front = Front(arguments.port)  # a taken port is known at once; requests wait until the handler is there
        with ExitStack() as stack:
            simulator = None
            if arguments.simulator_port:
                simulator = stack.enter_context(SimulatedServer(arguments.simulator_port))
            front.invoke, aws = stack.enter_context(api_function())
            stack.enter_context(front)
            queue_url = aws.create_queues(Template())["Queue"]
            say(*welcome(front.url, aws.endpoint_url, queue_url, simulator.metrics_url if simulator else None))
            wait_until_told()
    except PortTakenError as exc:
        sys.exit(f"make serve: {exc}; PORT= and SIMULATOR_PORT= choose others")
    except EmbeddedAwsError as exc:
        sys.exit(f"make serve: {exc}")


def welcome(url: str, aws_url: str, queue_url: str, metrics_url: str | None) -> Iterator[str]:
    """What there is, and the first lines to try."""
    page = metrics_url or "http://your-host:30000/metrics"
    body = json.dumps({"instance_id": "sglang-001", "endpoint": page, "timeout": 10})
    yield f"sglang-collector  {styled(url, BOLD)}  (Ctrl-C stops it; what it stores lives as long)"
    if metrics_url:
        yield f"simulated server  {metrics_url}"
    yield f"DynamoDB, SQS     {aws_url}"
    yield f"queue             {queue_url}"
    yield ""
    yield f"curl -X POST {url}/api/v1/collect/sglang -H 'Content-Type: application/json' -d '{body}'"
    yield f"curl {url}/api/v1/metrics/sglang/sglang-001"
    yield f"{url}/docs in a browser"
    yield ""


class Front(LoopbackServer):
    """API Gateway's part: HTTP in, events to the function, its answers out."""

    invoke: Invoke

    def __init__(self, port: int) -> None:
        super().__init__(port, FrontHandler)

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"


class FrontHandler(LoopbackHandler):
    server: Front
    server_version = "sglang-collector"
    raw_requestline: bytes

    def do_GET(self) -> None:  # noqa: N802 - the base class's name
        began = time.monotonic()
        answer = self._answer()
        self.send_response(answer.status)
        for name, value in answer.headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)
        if self.close_connection:
            self._drain()
        say(f"{answer.status} {self.command} {self.path}  {(time.monotonic() - began) * 1000:.0f} ms")

    def __getattr__(self, name: str) -> Callable[[], None]:
        """Every method is the function's to answer; the base class would say 501, API Gateway never does."""
        if name.startswith("do_"):
            return self.do_GET
        raise AttributeError(name)

    def _answer(self) -> Answer:
        """The function's answer, or the refusal that API Gateway gives before the function is asked."""
        headers = self.headers.items()
        if len(self.raw_requestline) + sum(len(name) + len(value) + 4 for name, value in headers) > HEAD_BYTES_AT_MOST:
            return self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        if "Transfer-Encoding" in self.headers:
            return self._refuse(HTTPStatus.LENGTH_REQUIRED)
        length = self.headers.get("Content-Length", "0")
        if not (length.isascii() and length.isdigit()):
            return self._refuse(HTTPStatus.BAD_REQUEST)
        if len(length) > 9 or int(length) > BODY_BYTES_AT_MOST:
            return self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        if self.headers.get("Host", "").partition(":")[0] not in HOSTS:
            return self._refuse(HTTPStatus.MISDIRECTED_REQUEST)
        body = self.rfile.read(int(length))
        if len(body) < int(length):
            return self._refuse(HTTPStatus.BAD_REQUEST)
        try:
            request = Request(self.command, self.path, self.request_version, headers, body, self.client_address[0])
            return answer_of(self.server.invoke(event_of(request)))
        except Exception:  # whatever a function raises, its caller gets a 500 and its log the rest
            traceback.print_exc()
            return message(HTTPStatus.INTERNAL_SERVER_ERROR)

    def _drain(self) -> None:
        """Read on for a while: a client that is still sending would see a reset before the answer."""
        self.connection.shutdown(socket.SHUT_WR)
        with suppress(OSError):
            for _ in range(DRAINED_BLOCKS_AT_MOST):
                if not self.rfile.read1(DRAINED_BLOCK_BYTES):
                    break

    def _refuse(self, status: HTTPStatus) -> Answer:
        self.close_connection = True  # what is left of the request is not read
        return message(status)


def message(status: HTTPStatus) -> Answer:
    """A refusal in API Gateway's own words."""
    return Answer(status, [("Content-Type", "application/json")], json.dumps({"message": status.phrase}).encode())


if __name__ == "__main__":
    main()
