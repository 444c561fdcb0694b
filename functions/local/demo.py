"""`make demo`: the real handler collects a simulated server and stores it in an embedded DynamoDB, in one go."""

import json
import sys
import time
from typing import Any

from collector.item import item_bytes
from local.aws import EmbeddedAws, EmbeddedAwsError
from local.function import Invoke, api_function, collect_event
from local.loopback import exit_when_told
from local.simulator.server import SimulatedServer
from local.table import BOLD, DIM, describe, say, styled


def main() -> None:
    exit_when_told()
    began = time.monotonic()
    try:
        with SimulatedServer() as server, api_function() as (invoke, aws):
            show(invoke, aws, server)
    except EmbeddedAwsError as exc:
        sys.exit(f"make demo: {exc}")
    say(styled(f"Everything is stopped again, after {time.monotonic() - began:.1f} s.", DIM))


def show(invoke: Invoke, aws: EmbeddedAws, server: SimulatedServer) -> None:
    """Collect once and say what came of it. Leaves with a sentence where anything is not as it should be."""
    answer = invoke(collect_event(server.metrics_url))
    if answer["statusCode"] != 200:
        sys.exit(f"make demo: the handler answered {answer['statusCode']}: {answer['body']}")
    collected = json.loads(answer["body"])
    say(*describe(collected))
    if not collected["success"]:
        sys.exit("make demo: the simulated server could not be collected")

    truth = server.simulation.truth()
    running = collected["metrics"]["system_metrics"]["num_requests_running"]
    of_ranks = [rank["num_requests_running"] for rank in collected["metrics"]["ranks"]]
    if running != truth["running"] or of_ranks != [rank["running"] for rank in truth["ranks"]]:
        sys.exit(f"make demo: collected {running} running requests as {of_ranks}, but the simulated server had {truth}")
    summands = " + ".join(map(str, of_ranks))
    say("", f"Running requests: {running} = {summands}, which is what the simulated ranks were running.")

    item = stored_item(aws, collected["instance_id"])
    say(
        f"Stored in DynamoDB: table Snapshots, instance_id {item['instance_id']['S']}, slot {item['slot']['N']}, "
        f"{item_bytes(item):,} bytes.",
        "",
        f"Your own server:  {styled('make collect URL=http://your-host:30000/metrics', BOLD)}",
        f"The HTTP API:     {styled('make serve', BOLD)}",
    )


def stored_item(aws: EmbeddedAws, instance_id: str) -> dict[str, dict[str, Any]]:
    """The newest item of a server, as DynamoDB has it."""
    answer = aws.client().query(
        TableName="Snapshots",
        KeyConditionExpression="instance_id = :id",
        ExpressionAttributeValues={":id": {"S": instance_id}},
        ScanIndexForward=False,
        Limit=1,
    )
    if not answer["Items"]:
        sys.exit("make demo: the item is not in the table")
    item: dict[str, dict[str, Any]] = answer["Items"][0]
    return item


if __name__ == "__main__":
    main()
