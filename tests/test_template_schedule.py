"""What the template says of the schedule and its queues, beside the code that relies on it."""

import json
import re
from pathlib import Path

import pytest

from collector import members, messages, registry, slots, ticks
from handlers import schedule
from test_template import RESOURCES, ROOT, TEMPLATE

SCHEDULE = RESOURCES["Schedule"]
TICK = SCHEDULE["Events"]["Tick"]["Properties"]


def statements(role):
    return [statement for entry in RESOURCES[role]["Policies"] for statement in entry["PolicyDocument"]["Statement"]]


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


def test_the_role_may_do_what_the_code_calls_on_the_keys_that_it_uses():
    [log, read, claim, send] = statements("ScheduleRole")
    assert (log["Action"], log["Resource"]) == (
        ["logs:CreateLogStream", "logs:PutLogEvents"],
        {"!GetAtt": "ScheduleLogs.Arn"},
    )
    assert (read["Action"], read["Resource"]) == ("dynamodb:Query", {"!GetAtt": "Targets.Arn"})
    assert read["Condition"] == {"ForAllValues:StringEquals": {"dynamodb:LeadingKeys": [registry.PARTITION]}}
    assert (claim["Action"], claim["Resource"]) == ("dynamodb:PutItem", {"!GetAtt": "Targets.Arn"})
    assert claim["Condition"] == {
        "ForAllValues:StringEquals": {"dynamodb:LeadingKeys": [members.PARTITION, ticks.PARTITION]}
    }
    assert send == {"Effect": "Allow", "Action": "sqs:SendMessage", "Resource": {"!GetAtt": "Queue.Arn"}}
    calls = [
        re.findall(r"client\(\)\.(\w+)\(", Path(module.__file__).read_text()) for module in (ticks, members, messages)
    ]
    assert calls == [["put_item"], ["put_item"], ["send_message_batch"]]


def test_only_this_accounts_schedules_may_call_the_function_and_nothing_else():
    [trust] = RESOURCES["SchedulerRole"]["AssumeRolePolicyDocument"]["Statement"]
    assert trust["Condition"] == {"StringEquals": {"aws:SourceAccount": {"!Ref": "AWS::AccountId"}}}
    assert [(each["Action"], each["Resource"]) for each in statements("SchedulerRole")] == [
        ("lambda:InvokeFunction", {"!GetAtt": "Schedule.Arn"})
    ]


@pytest.mark.parametrize("name", ["Queue", "DeadLetters"])
def test_a_queue_is_encrypted_at_rest_and_in_transit(name):
    assert RESOURCES[name]["SqsManagedSseEnabled"] is True
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
