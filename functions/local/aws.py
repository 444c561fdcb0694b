"""The embedded AWS: DynamoDB, SQS and what else is asked for, on loopback, in memory, while a `with` block lasts."""

import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from typing import Any, Self
from urllib.request import ProxyHandler, build_opener

from local.loopback import HOST
from local.template import ROOT, Template

REGION = "us-east-1"
ACCESS_KEY = "laptop"  # any will do; nothing of the user's own goes in
START_SECONDS = 60
END_SECONDS = 30  # the packages of a few functions to remove, on a busy machine
KEPT_VARIABLES = ("PATH", "HOME", "TMPDIR", "LD_LIBRARY_PATH", "PYTHONDONTWRITEBYTECODE")
SETTINGS = {
    "LOG_LEVEL": "ERROR",
    # It would listen for MQTT and SFTP on every address.
    "IOT_MTLS_ENABLED": "0",
    "SFTP_ENABLED": "0",
    # It would remove the containers of another ministack on this machine.
    "DOCKER_HOST": "unix:///nonexistent",
}
TABLE_PROPERTIES = (
    "AttributeDefinitions",
    "KeySchema",
    "BillingMode",
    "GlobalSecondaryIndexes",
    "LocalSecondaryIndexes",
)


class EmbeddedAwsError(Exception):
    """The embedded AWS does not answer."""


class EmbeddedAws:
    """AWS's services in a child process. It starts at once; `wait` is for its answer."""

    def __init__(self, services: Iterable[str] = ("dynamodb", "sqs")) -> None:
        self._services = services

    def __enter__(self) -> Self:
        # The socket listens before the child runs: no port to race for, and early requests wait instead of failing.
        with socket.create_server((HOST, 0)) as listener:
            port = listener.getsockname()[1]
            self.endpoint_url = f"http://{HOST}:{port}"
            self._log = tempfile.TemporaryFile()
            self._process = subprocess.Popen(  # noqa: S603 - our own command
                [sys.executable, "-m", "local.emulator", str(listener.fileno())],
                stdin=subprocess.PIPE,
                stdout=self._log,
                stderr=self._log,
                pass_fds=[listener.fileno()],
                env={
                    **{name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ},
                    **SETTINGS,
                    "SERVICES": ",".join(self._services),
                    # What it names itself in the addresses that it gives out: a queue's.
                    "MINISTACK_HOST": HOST,
                    "GATEWAY_PORT": str(port),
                    "PYTHONPATH": str(ROOT / "functions"),
                },
                start_new_session=True,  # Ctrl-C is for us; it ends when we do
            )
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin
        self._process.stdin.close()
        try:
            self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()

    @property
    def process_id(self) -> int:
        return self._process.pid

    def environment(self) -> dict[str, str]:
        """What makes boto3 talk to it and to nothing else."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint_url,
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": ACCESS_KEY,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_REGION": REGION,
            # A profile, a role or another endpoint of the user's would win over the above.
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "NO_PROXY": HOST,
            "no_proxy": HOST,
        }

    def create_tables(self, template: Template) -> None:
        """The template's tables, each under its own name. Raises EmbeddedAwsError."""
        self.wait()
        client = self.client()
        for name, properties in template.tables().items():
            client.create_table(
                TableName=name, **{key: properties[key] for key in TABLE_PROPERTIES if key in properties}
            )
            if ttl := properties.get("TimeToLiveSpecification"):
                client.update_time_to_live(TableName=name, TimeToLiveSpecification=ttl)

    def create_queues(self, template: Template) -> dict[str, str]:
        """The template's queues, each under its own name: their addresses. Raises EmbeddedAwsError."""
        self.wait()
        client = self.client("sqs")
        return {name: client.create_queue(QueueName=name)["QueueUrl"] for name in template.queues()}

    def client(self, service: str = "dynamodb") -> Any:
        """A boto3 client for it."""
        import boto3

        return boto3.client(
            service,
            endpoint_url=self.endpoint_url,
            region_name=REGION,
            aws_access_key_id=ACCESS_KEY,
            aws_secret_access_key=ACCESS_KEY,
        )

    def wait(self) -> None:
        """Until it answers. Raises EmbeddedAwsError."""
        try:
            with build_opener(ProxyHandler({})).open(
                f"{self.endpoint_url}/_ministack/health", timeout=START_SECONDS
            ) as answer:
                answer.read()
        except OSError as exc:
            self._log.seek(0)
            last_words = self._log.read().decode(errors="replace").strip().rpartition("\n")[2]
            raise EmbeddedAwsError(f"the embedded AWS did not start: {last_words or exc}") from exc
