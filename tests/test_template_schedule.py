"""What the template says of the schedule and its queues, beside the code that relies on it."""

import json

import pytest

from collector import messages, slots
from handlers import schedule
from test_template import KEY_OR_NONE, RESOURCES, ROOT, TEMPLATE

SCHEDULE = RESOURCES["Schedule"]
TICK = SCHEDULE["Events"]["Tick"]["Properties"]


def test_the_schedule_ticks_at_each_full_minute_and_says_which():
    assert TICK["ScheduleExpression"] == "cron(* * * * ? *)"
    assert slots.TICK_MS == 60_000
    assert json.loads(TICK["Input"]) == {"scheduled_time": schedule.UNFILLED}
    assert json.loads(TICK["Input"]) == json.loads((ROOT / "events/schedule.json").read_text())
    assert TICK["State"] == {"!Ref": "ScheduleState"}


def test_a_tick_is_tried_once_and_dropped_when_the_next_one_is_there():
    once = {"MaximumRetryAttempts": 0, "MaximumEventAgeInSeconds": 60}
    assert TICK["RetryPolicy"] == SCHEDULE["EventInvokeConfig"] == once


def test_the_function_has_until_its_first_slot_and_no_vpc():
    assert SCHEDULE["Timeout"] * 1000 == slots.LEAD_MS
    assert "VpcConfig" not in SCHEDULE


def test_only_this_accounts_schedules_may_call_the_function():
    [trust] = RESOURCES["SchedulerRole"]["AssumeRolePolicyDocument"]["Statement"]
    assert trust["Condition"] == {"StringEquals": {"aws:SourceAccount": {"!Ref": "AWS::AccountId"}}}


@pytest.mark.parametrize("name", ["Queue", "DeadLetters"])
def test_a_queue_is_encrypted_at_rest_and_in_transit(name):
    assert RESOURCES[name]["SqsManagedSseEnabled"] == {"!If": ["HasKey", False, True]}
    assert RESOURCES[name]["KmsMasterKeyId"] == KEY_OR_NONE
    [policy] = [made for made in RESOURCES.values() if made.get("Queues") == [{"!Ref": name}]]
    [statement] = policy["PolicyDocument"]["Statement"]
    assert (statement["Effect"], statement["Principal"], statement["Action"]) == ("Deny", "*", "sqs:*")
    assert statement["Resource"] == {"!GetAtt": f"{name}.Arn"}
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


def test_a_message_outlives_its_delay_and_its_tries_and_then_waits_for_people():
    queue, dead = RESOURCES["Queue"], RESOURCES["DeadLetters"]
    assert queue["RedrivePolicy"] == {"deadLetterTargetArn": {"!GetAtt": "DeadLetters.Arn"}, "maxReceiveCount": 3}
    tries_seconds = messages.DELAY_SECONDS_AT_MOST + 3 * queue["VisibilityTimeout"]
    assert tries_seconds < queue["MessageRetentionPeriod"] < dead["MessageRetentionPeriod"] == 14 * 86_400


def test_dead_letters_raise_an_alarm():
    alarm = RESOURCES["DeadLettersAlarm"]
    assert alarm["Dimensions"] == [{"Name": "QueueName", "Value": {"!GetAtt": "DeadLetters.QueueName"}}]
    assert (alarm["ComparisonOperator"], alarm["Threshold"]) == ("GreaterThanThreshold", 0)


def test_every_check_that_is_skipped_is_skipped_for_a_reason():
    skipped = [
        skip
        for resource in TEMPLATE["Resources"].values()
        for skip in resource.get("Metadata", {}).get("checkov", {}).get("skip", ())
    ]
    assert skipped
    assert all(skip.keys() == {"id", "comment"} and len(skip["comment"].split()) > 4 for skip in skipped)
