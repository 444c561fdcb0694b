"""`make e2e`: three ticks of the real schedule for a fleet of simulated servers, then what came of it is checked."""

import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial

from collector import slots
from local.aws import EmbeddedAwsError
from local.deployment import Deployment, DeploymentError
from local.loopback import exit_when_told
from local.simulator.fleet import MANY_RANKS
from local.stack import Stack, clock, stack
from local.table import say

from . import check

SERVERS = 50
TICKS = 3
GLANCE_SECONDS = 1
# The schedule is looked at every ten seconds; what follows the last slot is a scrape's timeout and a few cold starts.
TICK_PATIENCE_SECONDS = slots.TICK_MS / 1000 + 30
END_PATIENCE_SECONDS = 60


class StillWaitingError(Exception):
    """What has to come did not come."""


def main() -> None:
    exit_when_told()
    began = time.monotonic()
    try:
        with stack(int(os.environ.get("SERVERS") or SERVERS)) as running:
            try:
                misses = list(account(running))
            except StillWaitingError as exc:
                misses = [str(exc)]
            misses += running.deployment.troubles()
    except (EmbeddedAwsError, DeploymentError) as exc:
        sys.exit(f"make e2e: {exc}")
    say(f"{time.monotonic() - began:.0f} s")
    if misses:
        sys.exit("\n".join(["make e2e:", *misses]))


def account(running: Stack) -> Iterator[str]:
    """Let the schedule tick, let the queue drain, and say what is not as it has to be."""
    deployment = running.deployment
    for number in range(1, TICKS + 1):
        wait_for("a tick", partial(has_ticked, deployment, number), TICK_PATIENCE_SECONDS)
        say(f"{clock(deployment.ticks()[-1])}  tick {number} of {TICKS}")
    deployment.switch_schedule("DISABLED")
    ticks_ms = deployment.ticks()

    end_ms = slots.window(ticks_ms[-1])[1]
    left_seconds = max(0, end_ms / 1000 - time.time())
    say(f"{clock(end_ms)}  the last slots are over, {left_seconds:.0f} s from now")
    wait_for("an empty queue", partial(is_drained, deployment), left_seconds + END_PATIENCE_SECONDS)

    outcomes = deployment.outcomes()
    codes = Counter(outcome.code or "scraped" for outcome in outcomes)
    say(f"{len(outcomes)} outcomes: " + ", ".join(f"{count} {code}" for code, count in codes.most_common()))
    yield from check.misses(running.members, ticks_ms, outcomes)
    if dead := deployment.messages("DeadLettersUrl"):
        yield f"{dead} messages in the dead-letter queue"
    yield from read_back(running)
    yield from glance(running)


def glance(running: Stack) -> Iterator[str]:
    """What the fleet view says: everybody's line, with what the newest slot came to."""
    view = running.deployment.ask("GET", "/api/v1/fleet?limit=1000")
    codes = {row["instance_id"]: row["error_code"] for row in view["targets"] if row["scraped_at"]}
    say(
        f"{len(codes)} lines in the fleet view: "
        + ", ".join(f"{count} {status}" for status, count in view["totals"]["by_status"].items())
    )
    for member in running.members:
        name = f"{member.instance_id} ({member.kind})"
        if member.instance_id not in codes:
            yield f"{name}: no line in the fleet view"
        elif codes.pop(member.instance_id) != member.code:
            yield f"{name}: another code in the fleet view than {member.code or 'scraped'}"
    for instance_id in codes:
        yield f"{instance_id}: a line in the fleet view, and nobody registered it"


def read_back(running: Stack) -> Iterator[str]:
    """What the API says of a server with several ranks: the worker's outcome, read by another function."""
    for member in running.members:
        if member.kind == "many-ranks":
            newest = running.deployment.ask("GET", f"/api/v1/metrics/sglang/{member.instance_id}")
            ranks = len(newest["metrics"]["ranks"]) if newest["success"] else 0
            if ranks != MANY_RANKS:
                yield f"{member.instance_id}: read back with {ranks} ranks instead of {MANY_RANKS}"


def has_ticked(deployment: Deployment, times: int) -> bool:
    return len(deployment.ticks()) >= times


def is_drained(deployment: Deployment) -> bool:
    return deployment.messages("QueueUrl") == 0


def wait_for(what: str, condition: Callable[[], bool], patience_seconds: float) -> None:
    """Raises StillWaitingError when it has waited long enough."""
    deadline = time.monotonic() + patience_seconds
    while not condition():
        if time.monotonic() > deadline:
            raise StillWaitingError(f"waited {patience_seconds:.0f} s for {what}")
        time.sleep(GLANCE_SECONDS)


if __name__ == "__main__":
    main()
