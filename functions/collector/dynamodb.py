"""The client that the tables' modules share."""

import functools
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config

if TYPE_CHECKING:
    from botocore.client import BaseClient


@functools.cache
def client() -> "BaseClient":
    """Made on first use, kept while the Lambda is warm. A resource would cost twice the CPU per call."""
    return boto3.client(
        "dynamodb",
        config=Config(connect_timeout=1, read_timeout=2, retries={"mode": "standard", "total_max_attempts": 3}),
    )
