"""`make export INSTANCE=sglang-001 START=-1d STACK=…`: a server's history as CSV, read from its stack's tables."""

import argparse
import os
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack
from typing import TextIO

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from collector import history, sheet, store
from collector.asked import Asked, WrongError
from collector.batches import UnprocessedError
from collector.fields import DEFAULT
from collector.history import Question
from collector.outcome import OutOfTimeError
from collector.rows import ROW_FIELDS
from collector.timespan import next_second_ms
from local.loopback import exit_when_told

OUTPUTS = {"SNAPSHOTS_TABLE": "SnapshotsTable", "SHAPES_TABLE": "ShapesTable"}
AWS_ERRORS = (BotoCoreError, ClientError, OutOfTimeError, UnprocessedError)


def main() -> None:
    parser = argparse.ArgumentParser(prog="make export INSTANCE=...", description=__doc__)
    parser.add_argument("instance", help="the server's name")
    for name, default, words in (
        ("stack", None, "STACK=, whose tables are meant"),
        ("table", None, "TABLE=, the table of snapshots itself"),
        ("shapes", None, "SHAPES=, with TABLE=: the table of shapes"),
        ("start", "-1h", "START=, as 2026-11-24T03:00:00Z, in seconds since 1970, or -6h"),
        ("end", "now", "END=, alike"),
        ("step", None, "STEP=, as 5m: a row for each"),
        ("fields", ",".join(DEFAULT), "FIELDS=, with commas between"),
        ("file", None, "FILE=, where to; else to standard output"),
    ):
        parser.add_argument(f"--{name}", default=os.environ.get(name.upper()) or default, help=words)
    arguments = parser.parse_args()
    if bool(arguments.stack) == bool(arguments.table):
        parser.error("say whose history: STACK= or TABLE=")
    if bool(arguments.table) != bool(arguments.shapes):
        parser.error("with TABLE= goes SHAPES=: a page cannot be read without the lines that are kept there")
    exit_when_told()
    try:
        os.environ |= (
            find(arguments.stack)
            if arguments.stack
            else {"SNAPSHOTS_TABLE": arguments.table, "SHAPES_TABLE": arguments.shapes}
        )
        engine = store.newest_engine(arguments.instance)
        if engine is None:
            raise LookupError(f"no scrape of {arguments.instance} is stored")
        now_ms = next_second_ms(time.time())
        asked = Asked(engine, arguments.instance, arguments.start, arguments.end, arguments.step, arguments.fields)
        question, _ = asked.read(None, now_ms)
        with ExitStack() as files:
            out = sys.stdout
            if arguments.file:
                out = files.enter_context(open(arguments.file, "w", newline=""))  # noqa: PTH123 - as it was written
            count = write(question, now_ms, out)
    except WrongError as wrong:
        sys.exit("\n".join(f"make export: {field.upper()}= {words}" for field, words in wrong.fields.items()))
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # whoever read it has read enough
        return
    except (OSError, LookupError, *AWS_ERRORS) as exc:
        sys.exit(f"make export: {exc}")
    print(f"{count} rows", file=sys.stderr)  # noqa: T201 - what is written goes to standard output


def find(stack: str) -> Mapping[str, str]:
    """A stack's tables. Raises LookupError for one that has none of them."""
    [found] = boto3.client("cloudformation").describe_stacks(StackName=stack)["Stacks"]
    outputs = {output["OutputKey"]: output["OutputValue"] for output in found.get("Outputs", [])}
    if missing := set(OUTPUTS.values()) - outputs.keys():
        raise LookupError(
            f"stack {stack} has no output {min(missing)}: it is of another template, or an older release's"
        )
    return {variable: outputs[output] for variable, output in OUTPUTS.items()}


def write(question: Question, now_ms: int, out: TextIO) -> int:
    """The whole history, row by row; how many there were."""
    out.write(sheet.line([*ROW_FIELDS, *question.fields.texts]))
    count = 0
    for row in history.whole(question, now_ms):
        out.write(sheet.line(row.values()))
        count += 1
    out.flush()
    return count


if __name__ == "__main__":
    main()
