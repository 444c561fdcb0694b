"""A fleet of simulated servers: most are at work, a few are in the states that a fleet has to bear."""

import itertools
import socket
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from http import HTTPStatus
from typing import NamedTuple, Protocol, Self

from local.loopback import HOST, LoopbackHandler, LoopbackServer
from local.simulator.server import SimulatedServer
from local.simulator.simulation import Simulation

MANY_RANKS = 8
PAGES_PER_LIFE = 2
DRIP_SECONDS = 0.2
PROMISED_BYTES = 100_000
# Slots of 60 s, two in a minute, and one in every other; less than that leaves a laptop no time to be late.
INTERVALS_SECONDS = (60, 60, 30, 120)


class Server(Protocol):
    @property
    def port(self) -> int: ...

    @property
    def asked(self) -> int | None:
        """How often its page was asked for; None where nobody is there to count."""


class Kind(NamedTuple):
    """A state of a server. `code` is what its outcomes say, None where there is nothing to say."""

    server: Callable[[int], AbstractContextManager[Server]]
    """Made with a number of its own, so that no two are at the same work."""
    code: str | None
    timeout_seconds: int = 10


class Member(NamedTuple):
    """A server of the fleet as it is to be registered."""

    instance_id: str
    kind: str
    server: Server
    interval_seconds: int

    @property
    def code(self) -> str | None:
        return KINDS[self.kind].code

    @property
    def settings(self) -> dict[str, object]:
        return {
            "engine": "sglang",
            "endpoint": f"http://{HOST}:{self.server.port}/metrics",
            "interval_seconds": self.interval_seconds,
            "timeout_seconds": KINDS[self.kind].timeout_seconds,
            "labels": {"kind": self.kind},
        }


class AtWork(SimulatedServer):
    def __init__(self, number: int) -> None:
        super().__init__(simulation=Simulation(seed=number))

    @property
    def asked(self) -> int:
        return self.simulation.pages


class ManyRanks(AtWork):
    def __init__(self, number: int) -> None:
        SimulatedServer.__init__(self, simulation=Simulation(seed=number, ranks=MANY_RANKS))


class Restarting(AtWork):
    """A new process after every two pages."""

    def __init__(self, number: int) -> None:
        SimulatedServer.__init__(self, simulation=RestartingSimulation(seed=number))


class RestartingSimulation(Simulation):
    def page(self, accept: str = "") -> tuple[bytes, str]:
        if self.pages and self.pages % PAGES_PER_LIFE == 0:
            self.restart()
        return super().page(accept)


class Down:
    """A port that is kept, so that nobody else listens there, and on which nobody does."""

    asked = None

    def __init__(self, _: int) -> None:
        self._socket = socket.socket()

    def __enter__(self) -> Self:
        self._socket.bind((HOST, 0))
        self.port: int = self._socket.getsockname()[1]
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()


class Faulty(LoopbackServer):
    def __init__(self, handler: type["FaultyHandler"]) -> None:
        self.asked = 0
        super().__init__(0, handler)


class FaultyHandler(LoopbackHandler, ABC):
    server: Faulty
    timeout = 3600.0  # its clients give up, it does not

    def do_GET(self) -> None:  # noqa: N802 - the base class's name
        self.server.asked += 1
        self.close_connection = True
        self.misbehave()

    @abstractmethod
    def misbehave(self) -> None: ...


class HangingHandler(FaultyHandler):
    """Takes the request and says nothing for as long as the client stays."""

    def misbehave(self) -> None:
        self.rfile.read(1)


class DrippingHandler(FaultyHandler):
    """Answers at once, a line at a time, and does not come to an end: no single read waits for long."""

    def misbehave(self) -> None:
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.send_header("Content-Length", str(PROMISED_BYTES))
        self.end_headers()
        while True:  # until the client hangs up, or the server does: then the write raises
            self.wfile.write(b"# HELP up x\n")
            time.sleep(DRIP_SECONDS)


KINDS = {
    "at-work": Kind(AtWork, None),
    "many-ranks": Kind(ManyRanks, None),
    "restarting": Kind(Restarting, None),
    "down": Kind(Down, "connection_refused"),
    "hanging": Kind(lambda _: Faulty(HangingHandler), "timeout", timeout_seconds=3),
    "dripping": Kind(lambda _: Faulty(DrippingHandler), "page_timeout", timeout_seconds=3),
}
SPECIAL = ("down", "down", "hanging", "dripping", "restarting", "many-ranks")


@contextmanager
def fleet(size: int) -> Iterator[Sequence[Member]]:
    """`size` servers, the special ones among them, for as long as the `with` block lasts."""
    at_work = max(0, size - len(SPECIAL))
    with ExitStack() as servers:
        yield [
            Member(
                instance_id=f"sglang-{number:03d}",
                kind=kind,
                server=servers.enter_context(KINDS[kind].server(number)),
                interval_seconds=interval_seconds,
            )
            for number, (kind, interval_seconds) in enumerate(
                [
                    *((kind, 60) for kind in SPECIAL),
                    *zip(["at-work"] * at_work, itertools.cycle(INTERVALS_SECONDS), strict=False),
                ],
                start=1,
            )
        ]
