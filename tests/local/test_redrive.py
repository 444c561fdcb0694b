"""The dead-letter queue is emptied into the queue that it stands behind. The SDK's model checks each call."""

import boto3
import pytest
from botocore.stub import Stubber

from local import redrive

URL = "https://sqs.eu-west-1.amazonaws.com/123456789012/a-stack-DeadLetters-1"
ARN = "arn:aws:sqs:eu-west-1:123456789012:a-stack-DeadLetters-1"
NOW = "2026-11-24T03:00:00Z"


@pytest.fixture
def aws(monkeypatch):
    """A CloudFormation and an SQS that answer what they are told to, to the calls that they are told of."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    clients = [boto3.client(name, region_name="eu-west-1") for name in ("cloudformation", "sqs")]
    stubs = [Stubber(client) for client in clients]
    for stub in stubs:
        stub.activate()
    yield *clients, *stubs
    for stub in stubs:
        stub.assert_no_pending_responses()


def stack(*outputs):
    described = [{"OutputKey": key, "OutputValue": value} for key, value in outputs]
    return {
        "Stacks": [
            {"StackName": "a-stack", "CreationTime": NOW, "StackStatus": "CREATE_COMPLETE", "Outputs": described}
        ]
    }


def count(waiting):
    return {"Attributes": {"QueueArn": ARN, "ApproximateNumberOfMessages": str(waiting)}}


@pytest.mark.parametrize(
    ("waiting", "words"),
    [pytest.param(1, "About 1 message goes back", id="one"), pytest.param(12, "About 12 messages go back", id="some")],
)
def test_what_waits_goes_back_to_the_queue(aws, capsys, waiting, words):
    cloudformation, sqs, stacks, queues = aws
    stacks.add_response("describe_stacks", stack(("DeadLettersUrl", URL)), {"StackName": "a-stack"})
    asked = {"QueueUrl": URL, "AttributeNames": ["QueueArn", "ApproximateNumberOfMessages"]}
    queues.add_response("get_queue_attributes", count(waiting), asked)
    queues.add_response("start_message_move_task", {"TaskHandle": "task"}, {"SourceArn": ARN})
    redrive.redrive("a-stack", cloudformation, sqs)
    assert words in capsys.readouterr().out


def test_an_empty_queue_is_left_alone(aws, capsys):
    cloudformation, sqs, stacks, queues = aws
    stacks.add_response("describe_stacks", stack(("DeadLettersUrl", URL)))
    queues.add_response("get_queue_attributes", count(0))
    redrive.redrive("a-stack", cloudformation, sqs)
    assert "empty" in capsys.readouterr().out


def test_a_stack_without_such_a_queue_is_told(aws):
    cloudformation, sqs, stacks, _ = aws
    stacks.add_response("describe_stacks", stack(("ApiUrl", "https://a")))
    with pytest.raises(SystemExit, match="no output DeadLettersUrl"):
        redrive.redrive("a-stack", cloudformation, sqs)
