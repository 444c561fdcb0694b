"""Whether processes live, and which belong to another (Linux)."""

import os
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

PATIENCE_SECONDS = 30


def is_alive(process_id: int) -> bool:
    """Whether it runs; one that has ended and waits to be collected does not."""
    try:
        os.kill(process_id, 0)
        stat = Path(f"/proc/{process_id}/stat")
        return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False


def end(process_ids: Iterable[int]) -> bool:
    """Whether all of them end, soon."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    left = set(process_ids)
    while left and time.monotonic() < deadline:
        left = {process_id for process_id in left if is_alive(process_id)}
        time.sleep(0.02)
    return not left


def children(process_id: int) -> list[int]:
    """The processes that a process has started."""
    found: list[int] = []
    for task in Path(f"/proc/{process_id}/task").glob("*/children"):
        with suppress(FileNotFoundError, ProcessLookupError):  # a thread that ends just now
            found += map(int, task.read_text().split())
    return found
