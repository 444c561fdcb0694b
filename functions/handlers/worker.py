"""The queue: collect the targets of its messages, all together, and say which messages have to come again.

A message is a list of targets, see `targets.MESSAGE`. It is done when each of its targets has an outcome in the table,
failed scrapes included. It comes again when something of ours prevented that, and after the third time goes to the
dead-letter queue. What has an outcome is not asked for again.
"""

import gc
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Self

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext
from pydantic import ValidationError

from collector import batches, deployment, fleet, pipeline, shards, store
from collector.errors import NotAskedError
from collector.outcome import EMPTY_PAGE, Outcome, OutOfTimeError, Unfinished
from collector.shards import Line, Shard
from collector.targets import MESSAGE, Key, Target
from collector.verdict import Status

# To report, and for what Lambda does around a function, beside what writing may take.
REPORT_SECONDS = 0.5

OK = "ok"
GOOD = {OK, EMPTY_PAGE}
ILL = {"unreachable", "stalled", "degraded", "saturated", "restarted", "unknown"}
PASSED_OVER = {error.code for error in NotAskedError.__subclasses__()}

# What a page becomes is many objects for a moment: looking for cycles among them takes a fifth of its time.
gc.freeze()
gc.set_threshold(20_000)

# What is wrong there stops the function when it starts, in words: not scrape by scrape.
deployment.base_thresholds()
deployment.page_limits()
deployment.rules()

logger = Logger()
metrics = Metrics()


class UnreadableError(Exception):
    """A message that is no list of targets."""


# Their words say it all; anything else is a bug, and where it arose is told too.
FORESEEN = (*batches.NO_ANSWER, batches.UnprocessedError, OutOfTimeError, UnreadableError)


@dataclass(frozen=True, slots=True)
class Message:
    """A record of the event. One that cannot be read has no targets, and the reason."""

    message_id: str
    came_before: bool
    targets: tuple[Target, ...] = ()
    fault: Exception | None = None

    @classmethod
    def read(cls, record: dict[str, Any]) -> Self:
        message_id, count = record["messageId"], int(record["attributes"]["ApproximateReceiveCount"])
        try:
            return cls(message_id, count > 1, MESSAGE.validate_json(record["body"]))
        except ValidationError as exc:
            wrong = exc.errors(include_url=False, include_input=False)[0]
            where = ".".join(map(str, wrong["loc"])) or "body"
            return cls(message_id, count > 1, fault=UnreadableError(f"{where}: {wrong['msg']}"))

    def why_again(self, unfinished: dict[Key, Exception]) -> Exception | None:
        """What prevented an outcome of one of its targets; None if all have one."""
        return self.fault or next((unfinished[target.key] for target in self.targets if target.key in unfinished), None)


@logger.inject_lambda_context
@metrics.log_metrics
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answer one SQS event with the messages that have to come again.

    Not through Powertools' batch processor, which takes one record after the other.
    https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html#services-sqs-batchfailurereporting
    """
    began = time.monotonic()
    seconds = context.get_remaining_time_in_millis() / 1000 - pipeline.WRITE_SECONDS - REPORT_SECONDS
    messages = [Message.read(record) for record in event["Records"]]
    collected = collect(messages, began + seconds)
    lost = show(collected.lines, min(began + seconds, time.monotonic()) + batches.PATIENCE_SECONDS)
    unfinished = collected.unfinished
    returned = {message.message_id: reason for message in messages if (reason := message.why_again(unfinished))}
    for message_id, reason in returned.items():
        words = f"{type(reason).__name__}: {reason}"
        trace = None if isinstance(reason, FORESEEN) else reason
        logger.error("message returned", message_id=message_id, reason=words, exc_info=trace)
    logger.info(
        "collected",
        messages=len(messages),
        returned=len(returned),
        targets=sum(len(message.targets) for message in messages),
        outcomes=collected.outcomes,
        unfinished=len(unfinished),
        seconds=round(time.monotonic() - began, 3),
    )
    _measure(collected, len(returned), lost)
    return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in returned]}


@dataclass(frozen=True, slots=True)
class Collected:
    """How many outcomes of each code, and of each status that their server did not have before; and what else follows.

    `lines` are theirs in the fleet view, `unfinished` is why targets have no outcome.
    """

    outcomes: Counter[str] = field(default_factory=Counter)
    turned: Counter[Status] = field(default_factory=Counter)
    lines: dict[Shard, list[Line]] = field(default_factory=dict)
    unfinished: dict[Key, Exception] = field(default_factory=dict)

    def add(self, outcome: Outcome) -> None:
        self.outcomes[outcome.code or OK] += 1
        if outcome.health and outcome.health.since == outcome.asked_at:
            self.turned[outcome.health.status] += 1
        if shard := Shard.of(outcome.target):
            self.lines.setdefault(shard, []).append(shards.line_of(outcome))


def collect(messages: list[Message], deadline: float) -> Collected:
    """Collect what is asked for and not there yet."""
    targets = {target.key: target for message in messages for target in message.targets}
    again = {target.key for message in messages if message.came_before for target in message.targets}
    collected = Collected()
    try:
        for key in store.existing(again, deadline):
            del targets[key]
        for result in pipeline.collect(list(targets.values()), deadline, deployment.rules().for_registered()):
            match result:
                case Outcome():
                    collected.add(result)
                case Unfinished():
                    collected.unfinished[result.target.key] = result.reason
            del targets[result.target.key]
            del result  # and its page, before the next are read
    except Exception as fault:  # also a bug of ours is told message by message
        collected.unfinished.update(dict.fromkeys(targets, fault))
    return collected


def show(lines: dict[Shard, list[Line]], until: float) -> int:
    """Put lines into the fleet view; how many are lost. That returns no message: the next slot's make it good."""
    try:
        refused = fleet.put_lines(lines, until)
    except Exception as fault:  # a bug of ours neither
        logger.exception("the fleet view was not written")
        refused = dict.fromkeys(lines, fault)
    reasons = Counter(f"{type(reason).__name__}: {reason}" for reason in refused.values())
    if refused:
        logger.error("lines of the fleet view are lost", shards=len(refused), reasons=reasons)
    return sum(len(lines[shard]) for shard in refused)


def _measure(collected: Collected, returned: int, lines_lost: int) -> None:
    outcomes = collected.outcomes
    passed_over = sum(outcomes[code] for code in PASSED_OVER)
    good = sum(outcomes[code] for code in GOOD)
    for name, value in {
        "Scrapes": outcomes.total() - passed_over,
        "FailedScrapes": outcomes.total() - passed_over - good,
        "SlotsPassedOver": passed_over,
        "MessagesReturned": returned,
        "FleetLinesLost": lines_lost,
        # CloudWatch bills a metric for the hours in which it is there.
        **{f"Turned{status.title()}": count for status, count in collected.turned.items() if status in ILL},
    }.items():
        metrics.add_metric(name=name, unit=MetricUnit.Count, value=value)
