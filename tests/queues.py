"""An SQS that misbehaves as it is told: it takes SendMessageBatch over HTTP, keeps what it took, refuses the rest."""

import json
import threading
from collections.abc import Callable, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

Entry = dict[str, Any]
# Of one call, counted from 1, and its entries: a status, and which entries are refused, by id.
Script = Callable[[int, Sequence[Entry]], tuple[int, dict[str, Entry]]]


def takes_all(_call: int, _entries: Sequence[Entry]) -> tuple[int, dict[str, Entry]]:
    return 200, {}


def refusal(code: str = "InternalError", *, sender_fault: bool = False) -> Entry:
    return {"Code": code, "SenderFault": sender_fault, "Message": "refused by the script"}


class Queue:
    """`calls` are the entries of each call as it came, `taken` the entries that are in the queue."""

    def __init__(self, script: Script = takes_all) -> None:
        self.calls: list[list[Entry]] = []
        self.taken: list[Entry] = []
        lock = threading.Lock()
        queue = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                assert self.headers["X-Amz-Target"] == "AmazonSQS.SendMessageBatch"
                entries = asked["Entries"]
                with lock:
                    queue.calls.append(entries)
                    status, failed = script(len(queue.calls), entries)
                    taken = [entry for entry in entries if status == 200 and entry["Id"] not in failed]
                    queue.taken += taken
                answer = {
                    "Successful": [{"Id": entry["Id"], "MessageId": "m", "MD5OfMessageBody": "0"} for entry in taken],
                    "Failed": [{"Id": number, **reason} for number, reason in failed.items()],
                }
                if status != 200:
                    answer = {"__type": "com.amazonaws.sqs#InternalFailure", "message": "down"}
                body = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/x-amz-json-1.0")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            request_queue_size = 128  # of connections at once; with its 5, some wait a second to try again

        self._server = Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)
