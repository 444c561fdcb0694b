"""`make stack`: the whole template on this machine, at work on a fleet of simulated servers until Ctrl-C."""

import argparse
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import NamedTuple

from local.aws import EmbeddedAws, EmbeddedAwsError
from local.deployment import SERVICES, Deployment, DeploymentError
from local.loopback import PortTakenError, exit_when_told
from local.serve import Front
from local.simulator.fleet import Member, fleet
from local.table import BOLD, DIM, say, styled

GLANCE_SECONDS = 2
SETTLED_SECONDS = 20  # after which what was due in a minute is stored, or in trouble


class Stack(NamedTuple):
    aws: EmbeddedAws
    deployment: Deployment
    members: Sequence[Member]


def main() -> None:
    parser = argparse.ArgumentParser(prog="make stack", description=__doc__)
    parser.add_argument("--port", type=int, default=os.environ.get("PORT") or "8002", help="PORT=")
    parser.add_argument("--servers", type=int, default=os.environ.get("SERVERS") or "12", help="SERVERS=")
    arguments = parser.parse_args()
    exit_when_told(0)
    try:
        front = Front(arguments.port)  # a taken port is known at once
        with stack(arguments.servers) as running, ExitStack() as servers:
            front.invoke = partial(running.deployment.invoke, "Api")
            servers.enter_context(front)
            say(*welcome(front.url, running))
            watch(running.deployment)
    except PortTakenError as exc:
        sys.exit(f"make stack: {exc}; PORT= chooses another")
    except (EmbeddedAwsError, DeploymentError) as exc:
        sys.exit(f"make stack: {exc}")


@contextmanager
def stack(servers: int) -> Iterator[Stack]:
    """The template deployed, the fleet registered and the schedule on, for as long as the `with` block lasts."""
    with fleet(servers) as members, EmbeddedAws(SERVICES) as aws:
        with timed("template.yaml deployed by sam"):
            deployment = Deployment(aws)
        with timed(f"{len(members)} servers registered"):
            deployment.register(members)
        deployment.switch_schedule("ENABLED")
        yield Stack(aws, deployment, members)


@contextmanager
def timed(what: str) -> Iterator[None]:
    began = time.monotonic()
    yield
    say(styled(f"{what} in {time.monotonic() - began:.1f} s", DIM))


def welcome(url: str, running: Stack) -> Iterator[str]:
    """What there is, and the first lines to try."""
    kinds = Counter(member.kind for member in running.members)
    one = next(member for member in running.members if member.kind == "many-ranks").instance_id
    yield f"sglang-collector  {styled(url, BOLD)}  (Ctrl-C stops it; what it stores lives as long)"
    yield f"simulated servers {', '.join(f'{count} {kind}' for kind, count in kinds.items())}"
    region = running.aws.client().meta.region_name
    yield f"AWS               {running.aws.endpoint_url}  (any credentials, region {region})"
    for name, value in running.deployment.outputs.items():
        if name.endswith(("Table", "Url")) and name != "ApiUrl":
            yield f"  {name:<16}{value}"
    yield ""
    yield f"curl {url}/api/v1/targets"
    yield f"curl {url}/api/v1/fleet"
    yield f"curl '{url}/api/v1/metrics/sglang/{one}?raw=false'   # once its first slot has come: in three minutes"
    yield ""


def watch(deployment: Deployment) -> None:
    """A line for every tick, and one for what came of each minute's slots, until the command is told to stop."""
    ticks_seen: set[int] = set()
    minutes_seen: set[int] = set()
    while True:
        for tick_ms in set(deployment.ticks()) - ticks_seen:
            ticks_seen.add(tick_ms)
            say(f"{clock(tick_ms)}  tick: {deployment.messages('QueueUrl')} messages wait for their slots")
        settled = (time.time() - SETTLED_SECONDS) // 60 * 60_000
        minutes: dict[int, Counter[str]] = {}
        for outcome in deployment.outcomes():
            minute = outcome.slot_ms // 60_000 * 60_000
            if minute < settled and minute not in minutes_seen:
                minutes.setdefault(minute, Counter())[outcome.code or "scraped"] += 1
        for minute, codes in sorted(minutes.items()):
            minutes_seen.add(minute)
            say(f"{clock(minute)}  outcomes: " + ", ".join(f"{count} {code}" for code, count in codes.most_common()))
        time.sleep(GLANCE_SECONDS)


def clock(time_ms: float) -> str:
    return time.strftime("%H:%M", time.localtime(time_ms / 1000))


if __name__ == "__main__":
    main()
