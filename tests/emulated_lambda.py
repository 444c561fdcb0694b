"""A function behind AWS's own runtime client and runtime emulator. It takes one event at a time: two crash it."""

import os
import platform
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import urllib3

from local.template import Template

ROOT = Path(__file__).parent.parent
PROCESSOR = {"x86_64": "x86_64", "aarch64": "arm64"}.get(platform.machine())
EMULATOR = Path(sys.prefix) / f"emulator/samcli/local/rapid/aws-lambda-rie-{PROCESSOR}"
START_SECONDS = 30

needs_emulator = [
    pytest.mark.skipif(platform.system() != "Linux", reason="the Lambda runtime is for Linux"),
    pytest.mark.skipif(not EMULATOR.exists(), reason="no runtime emulator here: `make test` installs it"),
]


@dataclass(frozen=True)
class Emulated:
    url: str
    log: Path
    process_id: int

    def invoke(self, event: dict[str, Any]) -> Any:
        """What the function answers to an event."""
        return urllib3.request("POST", self.url, json=event, timeout=60, retries=False).json()

    def kill(self) -> None:
        """As the machine under it might: no word to anyone. The runtime has a process group of its own."""
        runtimes = [int(child) for child in _children(self.process_id)]
        for process_id in (*runtimes, self.process_id):
            with suppress(ProcessLookupError):
                os.kill(process_id, signal.SIGKILL)


def _children(process_id: int) -> list[str]:
    tasks = Path(f"/proc/{process_id}/task").glob("*/children")
    return [child for task in tasks for child in task.read_text().split()]


@contextmanager
def emulated(name: str, folder: Path, **variables: str) -> Iterator[Emulated]:
    """A function of the template, with the variables that it declares and others, as long as a `with` block lasts."""
    function = Template().function(name)
    declared = {key: str(value) for key, value in function["Environment"]["Variables"].items()}
    port, runtime_port = free_port(), free_port()
    command = [
        *(EMULATOR, f"--runtime-interface-emulator-address=127.0.0.1:{port}"),
        f"--runtime-api-address=127.0.0.1:{runtime_port}",
        *(sys.executable, "-m", "awslambdaric", function["Handler"]),
    ]
    log = folder / f"{name}-{port}.log"
    with log.open("wb") as file:
        emulator = subprocess.Popen(
            command,
            env=declared
            | variables
            | {
                "AWS_LAMBDA_FUNCTION_TIMEOUT": str(function["Timeout"]),
                "PATH": os.environ["PATH"],
                "PYTHONPATH": str(ROOT / "functions"),
            },
            cwd=folder,
            stdout=file,
            stderr=file,
        )
    function_on_loopback = Emulated(
        f"http://127.0.0.1:{port}/2015-03-31/functions/function/invocations", log, emulator.pid
    )
    try:
        await_listener(port, emulator)
        yield function_on_loopback
    finally:
        if emulator.poll() is None:
            function_on_loopback.kill()
        emulator.wait()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def await_listener(port: int, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < until:
        try:
            return socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
    return pytest.fail("the runtime emulator did not start")
