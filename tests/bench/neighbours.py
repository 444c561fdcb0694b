"""The processes around a bench of the fleet, cheap and apart, so that their CPU is not counted.

`python neighbours.py servers COUNT`: so many metrics servers, each a port of its own; each in twenty never answers.
`python neighbours.py dynamodb`: takes batches and gives back what was asked of them. Both print JSON and end with their
standard input.
"""

import asyncio
import json
import math
import os
import re
import resource
import socket
import sys
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path

RECORDED = Path(__file__).parents[1] / "expositions" / "sglang-0.5.23-load-later.prom"
LATENCY_SECONDS = 0.05
ONE_HANGS_IN = 20
PAGES = 16


def moved_pages() -> list[bytes]:
    """One server's page as it goes on: every counter moves, and every gauge but what tells when it was started."""
    lines = RECORDED.read_text().splitlines()

    def moved(line: str, turn: int) -> str:
        if line.startswith("#") or not line or "startup" in line:
            return line
        series, _, value = line.rpartition(" ")
        number = float(value)
        if not number or math.isnan(number):
            return line
        return f"{series} {number + turn * (1.0 if number.is_integer() else 0.137)}"

    return ["\n".join(moved(line, turn) for line in lines).encode() + b"\n" for turn in range(PAGES)]


class Http(asyncio.Protocol):
    """Just as much of a server as urllib3 and botocore need."""

    def __init__(self, answer: Callable[["Http", bytes, bytes], None]) -> None:
        self.answer = answer
        self.received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.received += data
        header, found, body = self.received.partition(b"\r\n\r\n")
        if not found:
            return
        length = re.search(rb"\r\ncontent-length: (\d+)", header, re.IGNORECASE)
        if len(body) >= (int(length[1]) if length else 0):
            self.received = b""
            self.answer(self, header, body)

    def send(self, content_type: str, body: bytes) -> None:
        if not self.transport.is_closing():
            header = f"HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\n\r\n"
            self.transport.write(header.encode() + body)


async def serve_pages(count: int) -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    loop = asyncio.get_running_loop()
    pages = moved_pages()
    asked: Counter[str] = Counter()

    def answer(http: Http, header: bytes, body: bytes) -> None:
        server = http.transport.get_extra_info("sockname")
        page = pages[asked[server] % PAGES]
        asked[server] += 1
        loop.call_later(LATENCY_SECONDS, http.send, "text/plain; version=0.0.4", page)

    def never(http: Http, header: bytes, body: bytes) -> None:
        pass

    ports = []
    for number in range(count):
        listener = socket.create_server(("127.0.0.1", 0))
        ports.append(listener.getsockname()[1])
        # Not every twentieth in the fleet's order: they stand where chance put them
        hangs = number * 7919 % count < count // ONE_HANGS_IN
        await loop.create_server(lambda hangs=hangs: Http(never if hangs else answer), sock=listener)
    print(json.dumps(ports), flush=True)  # noqa: T201
    await asyncio.Event().wait()


async def serve_dynamodb() -> None:
    stored: dict[tuple[str, str], dict[str, dict[str, str]]] = {}

    def key(item: dict[str, dict[str, str]]) -> tuple[str, str]:
        return ("", item["id"]["B"]) if "id" in item else (item["instance_id"]["S"], item["slot"]["N"])

    def answer(http: Http, header: bytes, body: bytes) -> None:
        operation = re.search(rb"x-amz-target: \w+\.(\w+)", header, re.IGNORECASE)
        assert operation
        request = json.loads(body)
        reply: dict[str, object] = {}
        if operation[1] == b"BatchGetItem":
            [(table, wanted)] = request["RequestItems"].items()
            names = wanted.get("ExpressionAttributeNames", {})
            asked = [names.get(name, name) for name in wanted.get("ProjectionExpression", "").split(", ")]
            items = [stored[of_item] for of_item in map(key, wanted["Keys"]) if of_item in stored]
            found = [{name: item[name] for name in asked if name in item} if any(asked) else item for item in items]
            reply = {"Responses": {table: found}, "UnprocessedKeys": {}}
        elif operation[1] == b"BatchWriteItem":
            [puts] = request["RequestItems"].values()
            stored.update((key(put["PutRequest"]["Item"]), put["PutRequest"]["Item"]) for put in puts)
            reply = {"UnprocessedItems": {}}
        elif operation[1] == b"PutItem":
            stored[key(request["Item"])] = request["Item"]
        elif operation[1] == b"Query":
            reply = {"Items": [], "Count": 0}
        elif operation[1] == b"Scan":
            reply = {"Count": len(stored)}
        http.send("application/x-amz-json-1.0", json.dumps(reply).encode())

    listener = socket.create_server(("127.0.0.1", 0))
    await asyncio.get_running_loop().create_server(lambda: Http(answer), sock=listener)
    print(json.dumps(listener.getsockname()[1]), flush=True)  # noqa: T201
    await asyncio.Event().wait()


def end_with_stdin() -> None:
    sys.stdin.buffer.read()
    os._exit(0)


if __name__ == "__main__":
    threading.Thread(target=end_with_stdin, daemon=True).start()
    asyncio.run(serve_pages(int(sys.argv[2])) if sys.argv[1] == "servers" else serve_dynamodb())
