"""`make collect URL=…`: one's own server by the same road as in AWS, without an account."""

import argparse
import json
import os
import re
import sys
from urllib.parse import urlsplit

from local.aws import EmbeddedAwsError
from local.function import api_function, collect_event
from local.loopback import exit_when_told
from local.table import describe, say


def main() -> None:
    parser = argparse.ArgumentParser(prog="make collect URL=...", description=__doc__)
    parser.add_argument("url", help="the server's page, as in http://host:30000/metrics")
    parser.add_argument("--engine", default=os.environ.get("ENGINE") or "sglang", help="ENGINE=")
    parser.add_argument("--json", action="store_true", default=os.environ.get("JSON") == "1", help="JSON=1")
    arguments = parser.parse_args()
    exit_when_told()

    try:
        with api_function() as (invoke, _):
            answer = invoke(collect_event(arguments.url, instance_id(arguments.url), arguments.engine))
    except EmbeddedAwsError as exc:
        sys.exit(f"make collect: {exc}")
    collected = json.loads(answer["body"])
    if arguments.json:
        say(answer["body"])
    elif collected.get("success"):
        say(*describe(collected))
    else:
        sys.stderr.write(f"{collected['error_code']}: {collected['error']}\n")
    if not collected.get("success"):
        sys.exit(1)


def instance_id(url: str) -> str:
    """The server's host and port, in the letters that an id may have."""
    return re.sub(r"[^A-Za-z0-9._:-]", "-", urlsplit(url).netloc)[:128] or "my-server"


if __name__ == "__main__":
    main()
