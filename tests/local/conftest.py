"""The laptop's commands as a person runs them: processes of their own, told to stop at the end."""

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

FUNCTIONS = Path(__file__).parents[2] / "functions"
PATIENCE_SECONDS = 60

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start `python -m local.<name>` with arguments and environment variables."""
    with ExitStack() as processes:

        def begin(name: str, *arguments: str, **variables: str) -> subprocess.Popen[str]:
            process = subprocess.Popen(
                [sys.executable, "-m", f"local.{name}", *arguments],
                env=os.environ | {"PYTHONPATH": str(FUNCTIONS)} | variables,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            processes.callback(_end, process)
            return process

        yield begin


def _end(process: subprocess.Popen[str]) -> None:
    process.terminate()
    process.communicate(timeout=PATIENCE_SECONDS)


@pytest.fixture
def run(start: Start) -> Callable[..., tuple[int, str, str]]:
    """Run a command to its end: exit status, standard output, standard error."""

    def to_the_end(name: str, *arguments: str, **variables: str) -> tuple[int, str, str]:
        process = start(name, *arguments, **variables)
        output, errors = process.communicate(timeout=PATIENCE_SECONDS)
        return process.returncode, output, errors

    return to_the_end


@pytest.fixture
def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port
