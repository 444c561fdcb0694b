"""`make bench`: every bench, one table each.

Each in a process of its own: what one has set up, read or remembered is nothing to the next.
"""

import subprocess
import sys

BENCHES = ("exposition", "quantiles", "sizes", "comparison", "history", "fleet", "schedule")

if __name__ == "__main__":
    for name in BENCHES:
        done = subprocess.run([sys.executable, "-m", f"tests.bench.{name}"], check=False)
        if done.returncode:
            sys.exit(f"tests.bench.{name} ended with {done.returncode}")
        print(flush=True)  # noqa: T201
