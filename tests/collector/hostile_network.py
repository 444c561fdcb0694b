"""Run in a network namespace of its own: every address in the world is this host, and DNS is ours.

Tries each spelling the whole way, with the system's resolver and real sockets, and prints what came of it as JSON. The
listener notes at which address it was reached.
"""

import json
import os
import socket
import subprocess
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from endpoint_spellings import SPELLINGS, ZONE

from name_server import NameServer
from servers import Script, Server, Visit, whole

ROUTES = ("ip link set lo up", "ip route add local 0.0.0.0/0 dev lo", "ip -6 route add local ::/0 dev lo")
FORBIDDEN = (
    *("127.0.0.1", "169.254.169.254", "169.254.170.2", "169.254.170.23", "192.0.2.1", "8.8.8.8", "::1"),
    *("fd00:ec2::254", "2002:7f00:1::1", "2001::1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1", "fd66::5efe:7f00:1"),
)
REBINDING = {"rebinding.test": [["10.66.0.1"], ["169.254.169.254"]]}
PORTS = (80, 443, 1900, 30000)


def main() -> None:
    for command in ROUTES:
        subprocess.run(command.split(), check=True)
    with tempfile.NamedTemporaryFile("w") as settings, ExitStack() as servers:
        settings.write("nameserver 127.0.0.1\noptions timeout:2 attempts:2\n")
        settings.flush()
        subprocess.run(["mount", "--bind", settings.name, str(Path("/etc/resolv.conf").resolve())], check=True)
        names = servers.enter_context(NameServer(ZONE | REBINDING, port=53))
        reached: set[str] = set()
        for port in PORTS:
            for address in ("0.0.0.0", "::"):  # noqa: S104
                servers.enter_context(Server(notes(reached), address=address, port=port))
        for address in FORBIDDEN:
            socket.create_connection((address, 80), timeout=5).close()
        control = wait_for(reached, len(FORBIDDEN))
        reached.clear()

        os.environ["ALLOWED_PORTS"] = "1-65535"
        outcomes = [attempt(spelling.endpoint.replace("PORT", "30000")) for spelling in SPELLINGS]
        rebinding = [attempt("http://rebinding.test:30000/") for _ in range(2)]
        told = {
            "control": control,
            "outcomes": outcomes,
            "rebinding": rebinding,
            "reached": sorted(reached),
            "queries": names.queries,
        }
    print(json.dumps(told))  # noqa: T201


def notes(reached: set[str]) -> Script:
    def script(visit: Visit) -> None:
        reached.add(visit.connection.getsockname()[0].removeprefix("::ffff:"))
        while visit.request():
            visit.send(whole())

    return script


def wait_for(reached: set[str], count: int) -> list[str]:
    for _ in range(500):
        if len(reached) == count:
            break
        time.sleep(0.01)
    return sorted(reached)


def attempt(endpoint: str) -> tuple[str | None, str]:
    """The code and the words of what came of it. Past the models, which refuse some of these before policy does."""
    from collector import asking
    from collector.errors import CollectorError
    from collector.targets import Target

    target = Target.model_construct(
        instance_id="a", engine="sglang", endpoint=endpoint, timeout_seconds=10.0, slot_ms=1, interval_seconds=None
    )
    answer = asking.ask(target, time.monotonic() + 60)
    if answer.error is None:
        return None, ""
    return getattr(answer.error, "code", None) if isinstance(answer.error, CollectorError) else "bug", str(answer.error)


if __name__ == "__main__":
    main()
