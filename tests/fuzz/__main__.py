"""`make fuzz SECONDS=600`: nine tenths of the time the parser, on two processors; before it the codec and the API.

Atheris mutates what hypothesis has made, led by the branches that an input takes; what breaks a property is printed and
kept in tests/fuzz/found/. Events are hypothesis' alone: their parts are values, not bytes.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOUND = Path(__file__).parent / "found"
SEEDS = 1_000
MOST_BYTES = 160
REPORTED_EVERY = 1_000


class Tally:
    """How many inputs were tried, how many of them were let in or compared, and the slowest by the byte."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.executions = self.positive = 0
        self.worst, self.worst_bytes = 0.0, 0

    def count(self, check: Callable[[bytes], bool], data: bytes) -> None:
        started = time.thread_time()
        positive = check(data)
        seconds = time.thread_time() - started
        self.executions += 1
        self.positive += positive
        if (each := seconds / max(len(data), 1)) > self.worst and len(data) > 20:
            self.worst, self.worst_bytes = each, len(data)
        if self.executions % REPORTED_EVERY == 0:
            self.write()

    def write(self) -> None:
        facts = {name: value for name, value in vars(self).items() if name != "path"}
        self.path.write_text(json.dumps(facts))


def mutate(target: str, seconds: int, tally: Tally) -> None:
    """Never returns: libFuzzer ends the process."""
    import atheris
    from hypothesis import HealthCheck, Phase, given, settings

    with atheris.instrument_imports(include=["collector"]):
        from tests.fuzz import blobs, pages
    inputs, check = {"pages": (pages.PAGES, pages.check), "blobs": (blobs.DAMAGED, blobs.check)}[target]
    corpus = Path(tempfile.mkdtemp(prefix="fuzz-"))

    @settings(
        max_examples=SEEDS, database=None, deadline=None, suppress_health_check=[*HealthCheck], phases=[Phase.generate]
    )
    @given(inputs)
    def seed(made: bytes) -> None:
        tally.count(check, made)
        (corpus / f"{tally.executions}").write_bytes(made)

    seed()
    FOUND.mkdir(exist_ok=True)
    options = [
        f"-max_total_time={seconds}",
        f"-max_len={MOST_BYTES}",
        "-rss_limit_mb=1024",
        "-timeout=10",
        "-verbosity=0",
        f"-artifact_prefix={FOUND}/{target}-",
    ]
    atheris.Setup([sys.argv[0], *options, str(corpus)], lambda data: tally.count(check, data))
    atheris.Fuzz()


def ask(seconds: int, tally: Tally) -> None:
    """Events, as long as there is time."""
    from hypothesis import HealthCheck, given, settings
    from tests.fuzz import requests

    ends = time.monotonic() + seconds

    @settings(max_examples=500, database=None, deadline=None, suppress_health_check=[*HealthCheck])
    @given(requests.events())
    def some(event: dict[str, object]) -> None:
        tally.count(lambda _: requests.check(event) < 400, json.dumps(event).encode())

    with requests.tables():
        while time.monotonic() < ends:
            some()
    tally.write()


def together(seconds: int, *targets: str) -> bool:
    """Both at once; say whether nothing was found."""
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{number}.json" for number in range(len(targets))]
        started = [
            subprocess.Popen(
                [sys.executable, "-m", "tests.fuzz", target, str(seconds), str(path)],
                cwd=ROOT,
                stdout=subprocess.DEVNULL,
            )
            for target, path in zip(targets, paths, strict=True)
        ]
        codes = [process.wait() for process in started]
        for target, path, code in zip(targets, paths, codes, strict=True):
            facts = json.loads(path.read_text()) if path.exists() else {}
            print(  # noqa: T201
                f"{target:9}{facts.get('executions', 0):>12,} inputs{facts.get('positive', 0):>12,} compared or let in"
                f"{facts.get('worst', 0) * 1e6:>9.1f} µs a byte at worst (of {facts.get('worst_bytes', 0)} bytes)"
                f"  {'nothing found' if code == 0 else f'FOUND, exit {code}'}",
                flush=True,
            )
    return not any(codes)


def main(arguments: list[str]) -> int:
    if len(arguments) == 3:
        target, seconds, path = arguments
        tally = Tally(Path(path))
        if target == "requests":
            ask(int(seconds), tally)
        else:
            mutate(target, int(seconds), tally)
        return 0
    os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT / "functions"), str(ROOT)])
    seconds = int(arguments[0])
    short = max(seconds // 10, 5)
    fine = together(short, "blobs", "requests")
    # Each page is parsed three times.
    return 0 if together(seconds - short, "pages", "pages") and fine else 1


sys.exit(main(sys.argv[1:]))
