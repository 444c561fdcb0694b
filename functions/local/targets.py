"""`make targets FILE=fleet.yaml`: show what a fleet's file would change in a stack's registry, ask, and do it."""

import argparse
import os
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import boto3
from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from collector import policy, registry
from collector.registry import VersionConflict
from collector.targets import Registered, Settings
from local.fleet import Difference, FleetError, compare, read_fleet
from local.loopback import exit_when_told
from local.table import BOLD, RED, say, styled

AWS_ERRORS = (BotoCoreError, ClientError, ResponseParserError)
AT_ONCE = 8
PAGE = 1000
# Where only a table is named, nobody says what its stack may scrape.
OPEN = policy.Rules(
    allow_loopback=True, trust_registered_targets=True, secrets_prefix="", allow_secrets_over_http=True
).for_registered()

Step = Callable[[], object]


def main() -> None:
    parser = argparse.ArgumentParser(prog="make targets FILE=...", description=__doc__)
    parser.add_argument("file", type=Path, help="the fleet's YAML file")
    parser.add_argument("--stack", default=os.environ.get("STACK"), help="STACK=, whose table is meant")
    parser.add_argument("--table", default=os.environ.get("TABLE"), help="TABLE=, the table itself")
    parser.add_argument("--yes", action="store_true", default=os.environ.get("YES") == "1", help="YES=1 does not ask")
    parser.add_argument(
        "--prune", action="store_true", default=os.environ.get("PRUNE") == "1", help="PRUNE=1 removes what is not there"
    )
    arguments = parser.parse_args()
    if bool(arguments.stack) == bool(arguments.table):
        parser.error("say whose registry: STACK= or TABLE=")
    exit_when_told()
    try:
        table, rules = find(arguments.stack) if arguments.stack else (arguments.table, OPEN)
        wanted = read_fleet(arguments.file, rules)
        os.environ["TARGETS_TABLE"] = table
        difference = compare(wanted, read_registered(), arguments.prune)
        say(*describe(difference))
        if len(difference) == 0:
            return
        if not (arguments.yes or agreed(len(difference))):
            sys.exit("make targets: nothing was changed")
        conflicts = apply(difference)
    except FleetError as exc:
        sys.exit("\n".join(f"make targets: {arguments.file}: {line}" for line in exc.lines))
    except (OSError, LookupError, *AWS_ERRORS) as exc:
        sys.exit(f"make targets: {exc}")
    say(f"{len(difference) - len(conflicts)} of {len(difference)} changes made in {table}")
    if conflicts:
        sys.exit("\n".join(f"make targets: left as it is, because it changed meanwhile: {line}" for line in conflicts))


def find(stack: str) -> tuple[str, policy.Rules]:
    """A stack's table of targets, and what its functions may scrape. Raises LookupError for an older stack."""
    [found] = boto3.client("cloudformation").describe_stacks(StackName=stack)["Stacks"]
    outputs = {output["OutputKey"]: output["OutputValue"] for output in found.get("Outputs", [])}
    parameters = {each["ParameterKey"]: each["ParameterValue"] for each in found.get("Parameters", [])}
    if "TargetsTable" not in outputs:
        raise LookupError(f"stack {stack} has no output TargetsTable: it is of another template, or an older release's")
    rules = policy.Rules.from_environment(
        {
            "ALLOW_LOOPBACK": "true" if os.environ.get("AWS_ENDPOINT_URL") else "",  # an AWS on this machine
            "ALLOW_PUBLIC_ADDRESSES": parameters.get("AllowPublicAddresses", ""),
            "ALLOWED_PORTS": parameters.get("AllowedPorts", ""),
            "ALLOWED_CIDRS": parameters.get("AllowedCidrs", ""),
            "ALLOWED_HOST_SUFFIXES": parameters.get("AllowedHostSuffixes", ""),
            "TRUST_REGISTERED_TARGETS": parameters.get("TrustRegisteredTargets", ""),
            "SECRETS_PREFIX": parameters.get("SecretsPrefix", ""),
            "ALLOW_SECRETS_OVER_HTTP": parameters.get("AllowSecretsOverHttp", ""),
        }
    )
    return outputs["TargetsTable"], rules.for_registered()


def read_registered() -> Iterator[Registered]:
    after = None
    while True:
        found, after = registry.read_page(PAGE, after)
        yield from found
        if after is None:
            return


def describe(difference: Difference) -> Iterator[str]:
    """The difference for a person, field by field."""
    for registration in difference.added:
        yield f"{styled('+ ' + registration.instance_id, BOLD)}  {registration.endpoint}"
    for current, registration in difference.changed:
        yield styled(f"~ {registration.instance_id}", BOLD)
        for field in Settings.model_fields:
            old, new = getattr(current, field), getattr(registration, field)
            if old != new:
                yield f"    {field}: {plain(old)} → {plain(new)}"
    for current in difference.removed:
        yield f"{styled('- ' + current.instance_id, RED)}  {current.endpoint}"
    for current in difference.left:
        yield f"  {current.instance_id}  {current.endpoint}  (not in the file; PRUNE=1 removes it)"
    yield (
        f"{len(difference.added)} to add, {len(difference.changed)} to change, {len(difference.removed)} to remove, "
        f"{len(difference.left)} not in the file, {difference.unchanged} unchanged"
    )


def plain(value: object) -> str:
    match value:
        case None:
            return "none"
        case bool():
            return str(value).lower()
        case float():
            return f"{value:g}"
        case dict():
            return ", ".join(f"{name}={plain(word)}" for name, word in sorted(value.items())) or "none"
    return str(value)


def agreed(changes: int) -> bool:
    try:
        return input(f"Make {changes} change{'s' if changes != 1 else ''}? [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        say("")
        return False


def apply(difference: Difference) -> list[str]:
    """Write it, several at once. Gives a line for each that changed since it was compared: it is left as it is.

    The first error of AWS's own stops the rest and is raised; what is done stays, and is unchanged the next time.
    """
    by, at = caller(), datetime.now(UTC)
    steps: list[Step] = [
        *(partial(registry.put, each, None, by, at) for each in difference.added),
        *(partial(registry.put, each, current.version, by, at) for current, each in difference.changed),
        *(partial(registry.delete, each.instance_id, each.version) for each in difference.removed),
    ]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return [conflict for conflict in pool.map(attempt, steps) if conflict]


def attempt(step: Step) -> str | None:
    try:
        step()
    except VersionConflict as conflict:
        return str(conflict)
    return None


def caller() -> str | None:
    """Who is signed in, as IAM names it; None where nobody says, as on a laptop's AWS."""
    try:
        arn: str = boto3.client("sts").get_caller_identity()["Arn"]
    except AWS_ERRORS:
        return None
    return arn


if __name__ == "__main__":
    main()
