"""The way of a target: policy, scrape, exposition, engine, snapshot, compare, health, store.

The only module that knows the order. Its ends touch the network, in batches; between them each step is a function of
values. Servers are waited for in threads; all else is done in the calling one.
"""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import chain

from collector import asking, backoff, batches, deployment, health, store
from collector.asking import Answer
from collector.backoff import State
from collector.errors import CollectorError, LateError, NotAskedError
from collector.item import HEADLINES, NOTHING_BEFORE, Before, milliseconds
from collector.outcome import Outcome, OutOfTimeError, Unfinished
from collector.policy import Rules
from collector.reading import WHOLE, Detail, Received, read
from collector.room import SMALL_PAGE_BYTES, Room
from collector.targets import Key, Target

Result = Outcome | Unfinished

# What verdicts and headlines rest on. All else can be read from the stored page, and takes as long as that.
BRIEF = Detail.of({*health.FIELDS, *HEADLINES})
SAMPLES_AT_ONCE = 200_000  # read and not yet kept: more than 25 pages of eight ranks have
# `collect` needs it after its deadline, to write what came last, also where DynamoDB has to be asked again.
WRITE_SECONDS = batches.PATIENCE_SECONDS + batches.CONNECT_SECONDS + batches.ANSWER_SECONDS


def collect(targets: Iterable[Target], deadline: float, allowed: Rules | None = None) -> Iterator[Result]:
    """Scrape every target once; give what came of it, success or failure, as soon as it is kept.

    `allowed` says where they may be; by default it is what any caller may ask for. No scrape begins that could outlast
    `deadline` (`time.monotonic()`), and all is over WRITE_SECONDS after it.
    Raises what `store.read_befores` raises.
    """
    wanted = list({target.key: target for target in targets}.values())
    until = deadline + batches.PATIENCE_SECONDS
    befores = store.read_befores(wanted, until)
    results = observe_all(wanted, befores, deadline, allowed)
    for batch in _batches(results):
        refused = store.write([result for result in batch if isinstance(result, Outcome)], until)
        while batch:  # nothing but the caller holds what has been given
            yield _kept(batch.pop(0), refused)


def _kept(result: Result, refused: Mapping[Key, Exception]) -> Result:
    reason = refused.get(result.target.key)
    return Unfinished(result.target, reason) if reason else result


def _batches(results: Iterable[Result]) -> Iterator[list[Result]]:
    """As many as are written at once, or fewer: a large page is kept without delay."""
    batch: list[Result] = []
    samples = 0
    for result in results:
        batch.append(result)
        is_large = isinstance(result, Outcome) and len(result.page) > SMALL_PAGE_BYTES
        samples += len(result.lines.values) if isinstance(result, Outcome) and result.lines else 0
        if len(batch) == batches.WRITES_AT_ONCE or is_large or samples > SAMPLES_AT_ONCE:
            yield batch
            batch, samples = [], 0
    if batch:
        yield batch


def observe_all(
    targets: Sequence[Target], befores: Mapping[Key, Before], deadline: float, allowed: Rules | None = None
) -> Iterator[Result]:
    """What comes of each target, as it comes: first those that are not asked, while the others are."""
    now = asking.now()
    due: list[Target] = []
    passed_over: list[Outcome] = []
    for target in targets:
        before = befores.get(target.key, NOTHING_BEFORE)
        try:
            check_turn(target, before.state, now)
            due.append(target)
        except NotAskedError as error:
            passed_over.append(Outcome(target, now, error=error, state=before.state, memory=before.memory))
    # Those that failed before may take their whole timeout again: begun first, they end with the others.
    due.sort(key=lambda target: -befores.get(target.key, NOTHING_BEFORE).state.failures)
    room = Room()
    answers = asking.in_parallel(lambda target: asking.ask(target, deadline, allowed, room), due)
    return chain(passed_over, _observed(answers, befores, deadline))


def check_turn(target: Target, state: State, now: datetime) -> None:
    """Let a target be asked, or raise NotAskedError."""
    if target.interval_seconds and milliseconds(now) >= target.slot_ms + 1000 * target.interval_seconds:
        age = now - datetime.fromtimestamp(target.slot_ms / 1000, UTC)
        raise LateError(f"not asked: its turn came {age.total_seconds():.0f} s late")
    backoff.check(state, target)


def _observed(answers: Iterable[Answer], befores: Mapping[Key, Before], deadline: float) -> Iterator[Result]:
    for answer in answers:
        yield observe(answer, befores.get(answer.target.key, NOTHING_BEFORE), deadline)
        if answer.page:
            answer.page.place.give_back()


def observe(answer: Answer, before: Before, deadline: float) -> Result:
    """What an answer says: a snapshot with what has happened since, or what prevented it; and the verdict on either."""
    target, asked_at, page = answer.target, answer.asked_at, answer.page
    try:
        if page is None:
            raise answer.error or AssertionError("neither page nor error")
        if time.monotonic() > deadline:
            raise OutOfTimeError("its page came, and there was no time left to read it")
        told = before.told
        received = Received(page.body, round(page.duration_seconds, 3), page.wire_bytes)
        detail = BRIEF if target.interval_seconds else WHOLE  # a caller waits for the whole
        reading = read(
            target, asked_at, received, told and told.lines, before.scraped_at, detail, deployment.page_limits()
        )
        snapshot, interval, moves = reading.snapshot, reading.interval, reading.moves
        verdict, memory = health.judge(
            snapshot, interval, moves, before.memory, asked_at, deployment.thresholds_of(target)
        )
        lines = reading.exposition.lines(page.body)
    except CollectorError as error:
        failures = before.memory.failures + 1
        verdict, memory = health.judge_failure(
            error, before.memory, asked_at, failures, deployment.thresholds_of(target), target.engine
        )
        memory = replace(memory, failures=failures)
        state = backoff.after_scrape(before.state, target, None)
        return Outcome(target, asked_at, error=error, state=state, health=verdict, memory=memory)
    except Exception as fault:
        return Unfinished(target, fault)
    return Outcome(
        target,
        asked_at,
        reading.with_verdict(verdict),
        reading.exposition,
        page.body,
        lines,
        told and told.anchor,
        before.slot_ms,
        state=backoff.after_scrape(before.state, target, page.duration_seconds),
        health=verdict,
        memory=replace(memory, failures=0, last_good_slot_ms=target.slot_ms),
    )
