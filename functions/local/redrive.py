"""`make redrive STACK=…`: the messages in a stack's dead-letter queue go back to where they came from.

Their targets are collected again, or noted as late. It uses the credentials and the region that the AWS CLI would use.
"""

import argparse
import sys
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from local.table import say

OUTPUT = "DeadLettersUrl"


def main() -> None:
    parser = argparse.ArgumentParser(prog="make redrive STACK=...", description=__doc__)
    parser.add_argument("stack", help="the name of the stack, as in sam deploy")
    stack = parser.parse_args().stack
    try:
        redrive(stack, boto3.client("cloudformation"), boto3.client("sqs"))
    except (BotoCoreError, ClientError) as exc:
        sys.exit(f"make redrive: {exc}")


def redrive(stack: str, cloudformation: Any, sqs: Any) -> None:
    """Start moving, and say how many. Leaves with a sentence where the stack has no such queue."""
    [description] = cloudformation.describe_stacks(StackName=stack)["Stacks"]
    outputs = {output["OutputKey"]: output["OutputValue"] for output in description.get("Outputs", [])}
    if OUTPUT not in outputs:
        sys.exit(f"make redrive: the stack {stack} has no output {OUTPUT}: is it of an older release?")
    attributes = sqs.get_queue_attributes(
        QueueUrl=outputs[OUTPUT], AttributeNames=["QueueArn", "ApproximateNumberOfMessages"]
    )["Attributes"]
    waiting = int(attributes["ApproximateNumberOfMessages"])
    if not waiting:
        say("The dead-letter queue is empty: there is nothing to send again.")
        return
    sqs.start_message_move_task(SourceArn=attributes["QueueArn"])
    say(f"About {waiting} message{'s go' if waiting > 1 else ' goes'} back to the queue.")


if __name__ == "__main__":
    main()
