"""`python -m local.simulator`: the simulated server alone, on SIMULATOR_PORT (30000), until it is told to stop."""

import os
import sys

from local.loopback import PortTakenError, exit_when_told, wait_until_told
from local.simulator.server import SimulatedServer
from local.table import say


def main() -> None:
    exit_when_told(0)
    try:
        with SimulatedServer(int(os.environ.get("SIMULATOR_PORT", "30000"))) as server:
            say(f"simulated SGLang server: {server.metrics_url}")
            wait_until_told()
    except PortTakenError as exc:
        sys.exit(f"{exc}; choose another with SIMULATOR_PORT=")


if __name__ == "__main__":
    main()
