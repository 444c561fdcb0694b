"""A DNS server on UDP that answers as a zone says, and may answer otherwise the next time."""

import ipaddress
import socket
import struct
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Self, cast

Answers = Sequence[str] | Sequence[Sequence[str]]
"""A name's addresses; or a list of them for each time that it is looked up, of which the last one stays."""

A, AAAA = 1, 28  # RFC 1035, 3.2.2; RFC 3596, 2.1
BYTES = {A: 4, AAAA: 16}
RECORD = struct.Struct("!HHHIH")  # the question's name, its type and class, no time to live, the length of what follows
FAMILIES = {A: socket.AF_INET, AAAA: socket.AF_INET6}
NO_ERROR, NO_SUCH_NAME = 0x8580, 0x8583  # an authoritative answer, where recursion is to be had


class NameServer:
    """Serves a zone while the `with` block lasts, by default on a free port. `queries` for A are counted by name."""

    def __init__(self, zone: Mapping[str, Answers], address: str = "127.0.0.1", port: int = 0) -> None:
        self._zone = zone
        self._asked: Counter[tuple[str, int]] = Counter()
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((address, port))
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._socket.sendto(b"", self.at)
        self._thread.join(10)
        self._socket.close()

    @property
    def at(self) -> tuple[str, int]:
        address: tuple[str, int] = self._socket.getsockname()
        return address

    @property
    def queries(self) -> dict[str, int]:
        return {name: count for (name, kind), count in self._asked.items() if kind == A}

    def _serve(self) -> None:
        while True:
            query, client = self._socket.recvfrom(4096)
            if not query:
                return
            self._socket.sendto(self._answer(query), client)

    def _answer(self, query: bytes) -> bytes:
        labels, at = [], 12
        while length := query[at]:
            labels.append(query[at + 1 : at + 1 + length].decode())
            at += 1 + length
        name = ".".join(labels).lower()
        [kind] = struct.unpack_from("!H", query, at + 1)
        self._asked[name, kind] += 1
        addresses = self._addresses(name, self._asked[name, kind])
        records = [ipaddress.ip_address(each).packed for each in addresses or ()]
        found = [record for record in records if len(record) == BYTES.get(kind)]
        flags = NO_SUCH_NAME if addresses is None else NO_ERROR
        return (
            query[:2]
            + struct.pack("!5H", flags, 1, len(found), 0, 0)
            + query[12 : at + 5]
            + b"".join(RECORD.pack(0xC00C, kind, 1, 0, len(record)) + record for record in found)
        )

    def _addresses(self, name: str, time: int) -> Sequence[str] | None:
        answers = self._zone.get(name)
        if answers is None or isinstance(answers[0], str):
            return cast(Sequence[str] | None, answers)
        return answers[min(time, len(answers)) - 1]

    def look_up(self, host: str, port: int, **_: Any) -> list[tuple[Any, ...]]:
        """What `socket.getaddrinfo` would give, had the system this name server. Raises gaierror."""
        found = [(kind, text) for kind in (A, AAAA) for text in self._ask(host, kind)]
        if not found:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(FAMILIES[kind], socket.SOCK_STREAM, 6, "", (text, port)) for kind, text in found]

    def _ask(self, host: str, kind: int) -> Iterator[str]:
        labels = b"".join(bytes([len(label)]) + label.encode() for label in host.split("."))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(5)
            client.sendto(struct.pack("!6H", 1, 0x0100, 1, 0, 0, 0) + labels + struct.pack("!BHH", 0, kind, 1), self.at)
            answer = client.recv(4096)
        [count] = struct.unpack_from("!H", answer, 6)
        size = RECORD.size + BYTES[kind]
        for at in range(len(answer) - count * size, len(answer), size):
            yield str(ipaddress.ip_address(answer[at : at + size][-BYTES[kind] :]))
