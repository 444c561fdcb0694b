"""Ask servers for their pages, many at once: where each may be, what lets us in, and the fetch itself."""

import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from threading import Event

from collector import deployment, policy, secrets
from collector.errors import StatusError
from collector.outcome import OutOfTimeError
from collector.policy import Rules
from collector.room import Room
from collector.scrape import Page, scrape
from collector.targets import Target

# A server that hangs keeps one for its whole timeout, and the others go on with the rest: of 1,000 servers that take
# 50 ms, one in twenty of which hangs, the last is asked after 0.5 s; with 64 threads it would be after 1.5 s.
THREADS = 128
BEGINNING_SECONDS = 1.0  # of 1,000 servers that answer, the last is asked by then
GATHERED_PAGE_BYTES = 256 * 1024  # 1,000 such pages are a quarter of a worker's memory; four ranks' has 218 KB
NOT_LET_IN = {401, 403}  # what a gateway says to an old secret: the second, if it takes it for another's


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server answered, or why it did not."""

    target: Target
    asked_at: datetime
    page: Page | None = None
    error: Exception | None = None


def ask(target: Target, deadline: float, allowed: Rules | None = None, room: Room | None = None) -> Answer:
    """One scrape. Raises nothing: also what is our fault concerns this target alone."""
    asked_at, ends = now(), time.monotonic() + target.timeout_seconds
    try:
        if ends > deadline:
            raise OutOfTimeError("not begun: the time left was less than its timeout")
        rules = allowed or deployment.rules()
        destination = policy.check(target.endpoint, rules, ends)
        fetch = partial(scrape, destination, ends, deployment.page_limits(), room)
        page = _ask_with_secrets(target, rules, ends, fetch) if target.auth or target.ca else fetch()
        return Answer(target, asked_at, page)
    except Exception as error:
        _forget_values(error)
        return Answer(target, asked_at, error=error)


def _ask_with_secrets(target: Target, rules: Rules, ends: float, fetch: Callable[..., Page]) -> Page:
    """The page of a server that wants to know who asks. Refused, it is asked once more if the secret has changed."""
    policy.check_secrets(target.auth, target.ca, target.endpoint, rules)
    tls = secrets.authority(target.ca, ends) if target.ca else None
    if target.auth is None:
        return fetch(tls=tls)
    header = secrets.header(target.auth, ends)
    try:
        return fetch(header=header, tls=tls)
    except StatusError as refused:
        header_now = secrets.renewed(target.auth, header, ends) if refused.status in NOT_LET_IN else None
        if header_now is None:
            raise
    return fetch(header=header_now, tls=tls)


def _forget_values(error: BaseException | None) -> None:
    """An error is kept with its outcome, and its traceback would keep what was read of a page with it."""
    while error:
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__


def in_parallel(ask: Callable[[Target], Answer], targets: Sequence[Target]) -> Iterator[Answer]:
    """The answers as they arrive. All begin at once, as far as there are threads; one target alone needs none.

    Whoever reads an answer takes the processor from those who ask. So the first is given when the last target has its
    thread, or after BEGINNING_SECONDS: what hangs is waited for from the beginning on. Larger pages are not gathered.
    """
    if len(targets) < 2:
        return map(ask, targets)
    pool = ThreadPoolExecutor(min(THREADS, len(targets)))
    may_read = Event()

    def ask_one(target: Target) -> Answer:
        if target is targets[-1]:
            may_read.set()
        answer = ask(target)
        if answer.page and len(answer.page.body) > GATHERED_PAGE_BYTES:
            may_read.set()
        return answer

    arriving = as_completed([pool.submit(ask_one, target) for target in targets])
    pool.shutdown(wait=False)  # it takes nothing more; its threads end with their work
    may_read.wait(BEGINNING_SECONDS)
    return (future.result() for future in arriving)


def now() -> datetime:
    """In whole milliseconds, as it is stored: what is read back is what was answered."""
    now = datetime.now(UTC)
    return now.replace(microsecond=now.microsecond // 1000 * 1000)
