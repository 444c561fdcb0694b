"""Many servers at once: they are asked before any answer is read, and those that hang hold up nobody."""

from concurrent.futures import ThreadPoolExecutor
from threading import Event

from collector import asking
from collector.asking import GATHERED_PAGE_BYTES, THREADS, Answer, in_parallel
from collector.scrape import Page
from support import ASKED_AT, target

TARGETS = [target(instance_id=f"sglang-{number:03}") for number in range(2 * THREADS)]


def test_no_answer_is_read_before_the_last_has_its_thread(monkeypatch):
    monkeypatch.setattr(asking, "THREADS", 2)
    monkeypatch.setattr(asking, "BEGINNING_SECONDS", 60)
    go_on, may_read = Event(), Event()

    def ask(one):
        assert one is TARGETS[2] or go_on.wait(30)
        return Answer(one, ASKED_AT)

    def read():
        answers = in_parallel(ask, TARGETS[:3])
        may_read.set()
        return [answer.target for answer in answers]

    with ThreadPoolExecutor() as reader:
        reading = reader.submit(read)
        assert not may_read.wait(0.2)
        go_on.set()
        assert sorted(one.instance_id for one in reading.result()) == [one.instance_id for one in TARGETS[:3]]


def test_large_pages_are_read_as_they_come(monkeypatch):
    monkeypatch.setattr(asking, "BEGINNING_SECONDS", 60)
    over = Event()
    body = bytes(GATHERED_PAGE_BYTES + 1)

    def ask(one):
        if one is TARGETS[0]:
            return Answer(one, ASKED_AT, Page(body, len(body), 200, "text/plain", 0.05))
        assert over.wait(30)
        return Answer(one, ASKED_AT)

    answers = in_parallel(ask, TARGETS)
    assert next(answers).target is TARGETS[0]
    over.set()
    assert len([*answers]) == len(TARGETS) - 1


def test_answers_are_read_while_others_have_not_been_asked_for_want_of_threads(monkeypatch):
    monkeypatch.setattr(asking, "BEGINNING_SECONDS", 0.05)
    over = Event()

    def ask(one):
        hangs = one is not TARGETS[0]
        assert not hangs or over.wait(60)
        return Answer(one, ASKED_AT)

    answers = in_parallel(ask, TARGETS)
    assert next(answers).target is TARGETS[0]
    over.set()
    assert len([*answers]) == len(TARGETS) - 1
