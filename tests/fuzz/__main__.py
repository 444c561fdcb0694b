"""`make fuzz SECONDS=600 SEED=1`: the parser on two processors, before it for a twentieth of the time codec and API.

Pages are made in two ways: atheris leads its changes by the branches that a page takes, at three times the cost; the
mutator knows what a line is made of. What breaks a property is printed and kept in tests/fuzz/found/. Events are
hypothesis' alone: their parts are values, not bytes.
"""

import json
import os
import platform
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).parents[2]
FOUND = Path(__file__).parent / "found"
PARSER = ["exposition", "shape", "columns", "grammar", "lines", "limits"]
CODEC = ["codec", "frames", "packing", "lines"]
SEEDS = 1_000
MOST_BYTES = 1_000
REPORTED_EVERY = 1_000
LARGE_EVERY = 5_000
# Past so many a run goes on to count, and writes none down.
FOUND_AT_MOST = 20
GRACE_SECONDS = 120


class Tally:
    """What was done, added up; a file has it while the process is at work."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._worst = 0.0
        self._facts: Counter[str] = Counter()
        self._started = time.process_time()

    def add(self, facts: Counter[str]) -> None:
        self._facts.update(facts)
        if facts["bytes"] > 20:
            self._worst = max(self._worst, facts["nanoseconds"] / 1000 / facts["bytes"] / max(facts["parses"], 1))
        if self._facts["inputs"] % REPORTED_EVERY == 0:
            self.write()

    def attempt(self, check: Callable[..., Counter[str]], *inputs: object) -> None:
        """Check it and add what was done. What it breaks is written down, and the run goes on."""
        try:
            facts = check(*inputs)
        except Exception:
            facts = Counter(inputs=1, found=1)
            if self._facts["found"] < FOUND_AT_MOST:
                traceback.print_exc()
                print(f"{self._path.name}, input {self._facts['inputs']}: {inputs!r:.3000}", file=sys.stderr)  # noqa: T201
                FOUND.mkdir(exist_ok=True)
                (FOUND / f"{self._path.name}-{self._facts['inputs']}").write_text(repr(inputs))
        self.add(facts)

    def write(self) -> None:
        seconds = time.process_time() - self._started
        self._path.write_text(json.dumps({**self._facts, "processor seconds": seconds, "worst": self._worst}))


def by_atheris(target: str, seconds: int, seed: int, tally: Tally) -> NoReturn:
    """LibFuzzer ends the process."""
    import atheris
    from hypothesis import HealthCheck, Phase, given, settings
    from hypothesis import seed as seeded

    # All the collector's modules, and pydantic behind them, would be counted for no other branches of the parser.
    modules = PARSER if target == "pages" else CODEC
    with atheris.instrument_imports(include=[f"collector.{module}" for module in modules]):
        from tests.fuzz import blobs, pages
    from tests.fuzz.mutator import Mutator

    mutator = Mutator(seed)
    inputs, check = {"pages": (pages.PAGES, pages.check), "blobs": (blobs.DAMAGED, counted(blobs.check))}[target]
    corpus = Path(tempfile.mkdtemp(prefix="fuzz-"))

    @seeded(seed)
    @settings(
        max_examples=SEEDS, database=None, deadline=None, suppress_health_check=[*HealthCheck], phases=[Phase.generate]
    )
    @given(inputs)
    def try_made(made: bytes) -> None:
        tally.attempt(check, made)
        (corpus / str(hash(made))).write_bytes(made)

    try_made()
    for number in range(SEEDS if target == "pages" else 0):
        (corpus / f"mutator-{number}").write_bytes(mutator.next()[1])

    def changed(page: bytes, at_most: int, seed: int) -> bytes:
        if seed % 2:
            return atheris.Mutate(page, at_most)
        mutator.seed(seed)
        return mutator.mutated(page)[:at_most]

    FOUND.mkdir(exist_ok=True)
    options = [
        f"-max_total_time={max(seconds, 1)}",
        f"-seed={seed}",
        f"-max_len={MOST_BYTES}",
        "-rss_limit_mb=1024",
        "-timeout=10",
        "-verbosity=0",
        f"-artifact_prefix={FOUND}/{target}-",
    ]
    arguments = [sys.argv[0], *options, str(corpus)]
    mutating = {"custom_mutator": changed} if target == "pages" else {}
    atheris.Setup(arguments, lambda data: tally.attempt(check, data), **mutating)
    atheris.Fuzz()
    raise AssertionError("it never returns")


def by_mutator(seconds: int, seed: int, tally: Tally) -> None:
    from tests.fuzz import pages
    from tests.fuzz.mutator import Mutator

    mutator = Mutator(seed)
    ends = time.monotonic() + seconds
    number = 0
    while time.monotonic() < ends:
        number += 1
        before, page = mutator.next()
        tally.attempt(pages.check, page, before)
        if number % LARGE_EVERY == 0:
            tally.attempt(pages.check_large, mutator.large(page, pages.LARGE_BYTES))
    tally.write()


def by_hypothesis(seconds: int, seed: int, tally: Tally) -> None:
    """Events, as long as there is time."""
    from hypothesis import HealthCheck, given, settings
    from hypothesis import seed as seeded
    from tests.fuzz import requests

    ends = time.monotonic() + seconds
    check = counted(lambda event: requests.check(event) < 400)
    with requests.tables():
        while time.monotonic() < ends:

            @seeded(seed)
            @settings(max_examples=500, database=None, deadline=None, suppress_health_check=[*HealthCheck])
            @given(requests.events())
            def some(event: dict[str, object]) -> None:
                tally.attempt(check, event)

            some()
            seed += 1
    tally.write()


def counted(check: Callable[[object], bool]) -> Callable[[object], Counter[str]]:
    """A check that says what it did."""

    def run(tried: object) -> Counter[str]:
        started = time.thread_time()
        is_read = check(tried)
        nanoseconds = int((time.thread_time() - started) * 1e9)
        size = len(tried) if isinstance(tried, bytes) else len(json.dumps(tried))
        return Counter({"inputs": 1, "read": int(is_read), "nanoseconds": nanoseconds, "bytes": size})

    return run


Job = Callable[[int, int, Tally], None]
JOBS: dict[str, Job] = {
    "blobs by atheris": lambda *given: by_atheris("blobs", *given),
    "events by hypothesis": by_hypothesis,
    "pages by atheris": lambda *given: by_atheris("pages", *given),
    "pages by the mutator": by_mutator,
}


def together(seconds: int, seed: int, *jobs: str) -> Counter[str]:
    """Do them at once, print what each did, and return the sum of it; `found` are those that ended otherwise."""
    total: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        started = [
            (
                job,
                path,
                subprocess.Popen(
                    [sys.executable, "-m", "tests.fuzz", job, str(seconds), str(seed), str(path)],
                    cwd=ROOT,
                    stdout=subprocess.DEVNULL,
                ),
            )
            for job in jobs
            for path in [Path(folder) / job]
        ]
        ends = time.monotonic() + seconds + GRACE_SECONDS
        for job, path, process in started:
            try:
                code = process.wait(max(ends - time.monotonic(), 1))
            except subprocess.TimeoutExpired:
                process.kill()
                code = process.wait()
            facts = json.loads(path.read_text()) if path.exists() else {}
            found = facts.get("found", 0) + (code != 0)
            outcome = f"FOUND {found:,} TIMES, exit {code}" if found else "nothing found"
            say(f"{job}: {outcome}; {told(facts)}")
            total.update({name: count for name, count in facts.items() if isinstance(count, int)})
            total["found"] += code != 0
    return total


def told(facts: dict[str, float]) -> str:
    count = Counter(facts)
    parts = [f"{count['inputs']:,} inputs in {count['processor seconds']:.0f} s of a processor"]
    if count["parses"]:
        parts += [
            f"{count['parses']:,} calls of parse, {count['samples']:,} samples read",
            f"{compared(count)}, in them {count['samples compared']:,} samples",
            f"{count['large']:,} large pages",
        ]
    else:
        parts.append(f"{count['read']:,} read or let in")
    return "; ".join([*parts, f"at worst {count['worst']:.1f} µs a byte"])


def compared(count: Counter[str]) -> str:
    share = count["compared"] / max(count["accepted"], 1)
    return f"{count['compared']:,} of {count['accepted']:,} pages that prometheus_client takes compared ({share:.1%})"


def say(text: str) -> None:
    print(text, flush=True)  # noqa: T201


def main(arguments: list[str]) -> int:
    if arguments[0] in JOBS:
        job, seconds, seed, path = arguments
        JOBS[job](int(seconds), int(seed), Tally(Path(path)))
        return 0
    os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT / "functions"), str(ROOT)])
    # A hash that is the same each time: what is found can be made again from its seed.
    os.environ["PYTHONHASHSEED"] = "0"
    seconds = int(arguments[0])
    seed = int(arguments[1]) if arguments[1:] else int(time.time())
    libraries = ", ".join(f"{name} {version(name)}" for name in ("atheris", "hypothesis", "prometheus_client"))
    say(f"{time.strftime('%Y-%m-%d')}, seed {seed}, {seconds} s, Python {platform.python_version()}, {libraries}")
    short = max(seconds // 20, 5)
    others = together(short, seed, "blobs by atheris", "events by hypothesis")
    parser = together(seconds - short, seed, "pages by atheris", "pages by the mutator")
    for name, number in sorted(parser.items()):
        if name.startswith(("known: ", "apart: ")):
            say(f"  {name:<40}{number:>12,}")
    say(f"In all {parser['parses']:,} calls of parse; {compared(parser)}.")
    return 1 if others["found"] or parser["found"] else 0


sys.exit(main(sys.argv[1:]))
