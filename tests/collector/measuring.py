"""Run in a process of its own: scrape each server it is told, and say how large the process was at most meanwhile.

Reads `[[scheme, port], …]` and prints `[[code, bytes], …]`, both as JSON.
"""

import json
import sys
import time
from pathlib import Path

CLEAR_REFS = "/proc/self/clear_refs"
RESET_PEAK = "5"  # https://docs.kernel.org/filesystems/proc.html


def main() -> None:
    print(json.dumps([measure(scheme, port) for scheme, port in json.load(sys.stdin)]))  # noqa: T201


def measure(scheme: str, port: int) -> tuple[str | None, int]:
    from collector.errors import ScrapeError
    from collector.policy import Destination
    from collector.scrape import scrape

    Path(CLEAR_REFS).write_text(RESET_PEAK)
    code = None
    try:
        scrape(Destination(scheme, "127.0.0.1", port, "/metrics", ("127.0.0.1",)), time.monotonic() + 60)
    except ScrapeError as error:
        code = error.code
    return code, resident_peak_bytes()


def resident_peak_bytes() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) * 1024
    raise AssertionError("the system does not say how large a process was")


if __name__ == "__main__":
    main()
