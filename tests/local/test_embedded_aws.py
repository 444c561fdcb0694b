"""The embedded AWS: the template's tables in a process that ends with ours, however ours ends."""

import io
import json
import os
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from processes import PATIENCE_SECONDS, end, is_alive

from local.aws import EmbeddedAws, EmbeddedAwsError
from local.template import Template

FUNCTIONS = Path(__file__).parents[2] / "functions"
PARENT = """
import signal
import time
from local.aws import EmbeddedAws
signal.signal(signal.SIGINT, signal.default_int_handler)  # what runs in the background starts without
with EmbeddedAws() as aws:
    print(aws.process_id, flush=True)
    time.sleep(600)
"""
FUNCTION = """
import os, tempfile
def handler(event, context):
    return {"process_id": os.getpid(), "directory": tempfile.gettempdir(), "path": os.environ.get("PYTHONPATH")}
"""
needs_proc = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="no /proc to look into a process")


@pytest.fixture(scope="module")
def aws():
    with EmbeddedAws() as running:
        running.create_tables(Template())
        yield running


@pytest.fixture
def client(aws):
    client = aws.client()
    yield client
    client.close()


def test_it_has_the_tables_of_the_template_and_no_other(client):
    assert set(client.list_tables()["TableNames"]) == set(Template().tables())


@pytest.mark.parametrize("name", sorted(Template().tables()))
def test_a_table_is_as_the_template_says(client, name):
    wanted, table = Template().tables()[name], client.describe_table(TableName=name)["Table"]
    assert table["KeySchema"] == wanted["KeySchema"]
    assert table["AttributeDefinitions"] == wanted["AttributeDefinitions"]
    assert table["BillingModeSummary"]["BillingMode"] == wanted["BillingMode"]
    ttl = client.describe_time_to_live(TableName=name)["TimeToLiveDescription"]
    assert ttl["TimeToLiveStatus"] == ("ENABLED" if "TimeToLiveSpecification" in wanted else "DISABLED")
    assert ttl.get("AttributeName") == wanted.get("TimeToLiveSpecification", {}).get("AttributeName")


def test_it_keeps_what_is_put(client):
    item = {"instance_id": {"S": "a"}, "slot": {"N": "1"}, "blob": {"B": b"\x00\xff"}}
    client.put_item(TableName="Snapshots", Item=item)
    key = {"instance_id": {"S": "a"}, "slot": {"N": "1"}}
    assert client.get_item(TableName="Snapshots", Key=key)["Item"] == item


@needs_proc
def test_it_listens_on_loopback_alone(aws):
    sockets = {str(fd.readlink()) for fd in Path(f"/proc/{aws.process_id}/fd").iterdir() if fd.is_symlink()}
    listening = []
    for table in ("tcp", "tcp6", "udp", "udp6"):
        for line in Path(f"/proc/{aws.process_id}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if f"socket:[{fields[9]}]" in sockets and (fields[3] == "0A" or table.startswith("udp")):
                listening.append((table, fields[1].partition(":")[0]))
    assert listening == [("tcp", "0100007F")]


def test_it_ends_with_its_block():
    with EmbeddedAws() as aws:
        assert is_alive(aws.process_id)
    assert not is_alive(aws.process_id)


def test_it_ends_when_its_block_raises():
    with pytest.raises(KeyboardInterrupt), EmbeddedAws() as aws:
        raise KeyboardInterrupt
    assert not is_alive(aws.process_id)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
def test_it_ends_with_the_process_that_started_it(number):
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT],
        env=os.environ | {"PYTHONPATH": str(FUNCTIONS)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    process_id = int(parent.stdout.readline())
    assert is_alive(process_id)
    parent.send_signal(number)
    parent.communicate(timeout=PATIENCE_SECONDS)
    assert end([process_id])


def test_a_start_that_fails_is_said():
    with EmbeddedAws() as aws:
        os.kill(aws.process_id, signal.SIGKILL)
        with pytest.raises(EmbeddedAwsError, match="the embedded AWS did not start: "):
            aws.create_tables(Template())


@needs_proc
def test_nothing_of_the_users_own_set_up_goes_in():
    with EmbeddedAws() as aws:
        variables = Path(f"/proc/{aws.process_id}/environ").read_bytes()
        assert b"AWS_" not in variables
        assert set(aws.environment()) >= {"AWS_ENDPOINT_URL", "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"}


def test_it_names_itself_in_the_addresses_that_it_gives_out():
    with EmbeddedAws(["sqs"]) as aws:
        aws.wait()
        sqs = aws.client("sqs")
        url = sqs.create_queue(QueueName="here")["QueueUrl"]
        sqs.close()
    assert url.startswith(f"{aws.endpoint_url}/")


@pytest.fixture
def deployed():
    """A function, run once: what it says of its process, and the embedded AWS that ran it."""
    package = io.BytesIO()
    with zipfile.ZipFile(package, "w") as archive:
        archive.writestr("index.py", FUNCTION)
    with EmbeddedAws(["lambda"]) as aws:
        aws.wait()
        client = aws.client("lambda")
        client.create_function(
            FunctionName="function",
            Runtime="python3.13",
            Handler="index.handler",
            Role="arn:aws:iam::000000000000:role/function",
            Code={"ZipFile": package.getvalue()},
        )
        said = json.loads(client.invoke(FunctionName="function")["Payload"].read())
        client.close()
        yield said, aws


def test_a_functions_process_does_not_see_our_sources(deployed):
    said, _ = deployed
    assert said["path"] is None


def test_functions_end_with_it_and_leave_no_files(deployed):
    said, aws = deployed
    assert is_alive(said["process_id"])
    assert Path(said["directory"]).exists()
    aws.__exit__()
    assert end([said["process_id"]])
    assert not Path(said["directory"]).exists()
