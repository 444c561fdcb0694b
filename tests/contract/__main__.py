"""`make contract`: what the document allows and forbids is asked of `make serve`'s server, and each answer checked."""

import argparse
import io
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path

from local.aws import EmbeddedAwsError
from local.function import api_function
from local.loopback import exit_when_told
from local.serve import Front
from local.simulator.server import SimulatedServer
from local.table import say

# No address that schemathesis makes up is fetched, and no name so much as looked up: loopback alone is open, and the
# only names that may be are below one that nobody can have (RFC 6761, 6.4).
NETWORK = {
    "ALLOW_LOOPBACK": "true",
    "ALLOW_PUBLIC_ADDRESSES": "false",
    "ALLOWED_PORTS": "1-65535",
    "ALLOWED_CIDRS": "127.0.0.0/8",
    "ALLOWED_HOST_SUFFIXES": "nobody-has-this-name.invalid",
    "TRUST_REGISTERED_TARGETS": "false",
}
CONFIGURATION = Path(__file__).with_name("schemathesis.toml")


def main() -> None:
    parser = argparse.ArgumentParser(prog="make contract", description=__doc__)
    parser.add_argument("schemathesis", type=Path, help="the command, in an environment of its own")
    parser.add_argument("--examples", default=os.environ.get("EXAMPLES") or "50", help="EXAMPLES=, of each operation")
    parser.add_argument("--seed", default=os.environ.get("SEED") or "1", help="SEED=")
    arguments = parser.parse_args()
    exit_when_told()
    try:
        with SimulatedServer() as server, api_function(NETWORK) as (invoke, _), Front(0) as front:
            front.invoke = invoke
            with redirect_stdout(io.StringIO()) as log:  # a line for each request, and metrics between them
                status = run(arguments, front.url, server.metrics_url)
            say("", *answers(log.getvalue()))
    except EmbeddedAwsError as exc:
        sys.exit(f"make contract: {exc}")
    sys.exit(status)


def answers(log: str) -> Iterator[str]:
    """How many of each status there were, by method."""
    counts = Counter(re.findall(r"^(\d{3}) (GET|POST|PUT|DELETE) /api", log, re.MULTILINE))
    for method in ("GET", "POST", "PUT", "DELETE"):
        statuses = [f"{status} × {count}" for (status, of), count in sorted(counts.items()) if of == method]
        yield f"{method:8}{', '.join(statuses)}"


def run(arguments: argparse.Namespace, url: str, metrics_url: str) -> int:
    """Schemathesis' exit status: 0 where it found nothing."""
    command = [
        arguments.schemathesis,
        f"--config-file={CONFIGURATION}",
        "run",
        f"{url}/openapi.json",
        f"--max-examples={arguments.examples}",
        f"--seed={arguments.seed}",
        "--continue-on-failure",
        "--no-color",
    ]
    environment = os.environ | {"SCHEMATHESIS_HOOKS": "tests.contract.hooks", "SIMULATED_PAGE": metrics_url}
    return subprocess.run(command, env=environment).returncode


if __name__ == "__main__":
    main()
