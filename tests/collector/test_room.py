"""However many servers send large pages at once, few are held; and a page that comes to nothing holds no place."""

import time
import tracemalloc

import pytest

from collector import pipeline
from collector.errors import PageDeadlineError, ScrapeError
from collector.policy import Destination
from collector.room import LARGE_PAGES_AT_ONCE, SMALL_PAGE_BYTES, Place, Room
from collector.scrape import PIECE_BYTES, scrape
from servers import header, keeps_alive, sends, whole
from support import target

LINE = b"# " + b"c" * 1000 + b"\n"
LARGE = LINE * (8 * SMALL_PAGE_BYTES // len(LINE)) + b"up 1\n"
SMALL = b"up 1\n"


def free(room):
    """How many places there are."""
    taken = [place for place in (Place(room) for _ in range(LARGE_PAGES_AT_ONCE + 1)) if place.take(time.monotonic())]
    for place in taken:
        place.give_back()
    return len(taken)


def fetch(server, room, seconds=5.0):
    destination = Destination("http", "127.0.0.1", server.port, "/metrics", ("127.0.0.1",))
    return scrape(destination, time.monotonic() + seconds, room=room)


@pytest.mark.parametrize(("body", "places"), [(LARGE, 1), (SMALL, 0)], ids=["large", "small"])
def test_a_large_page_holds_a_place_until_it_is_given_back(serve, body, places):
    own = Room()
    page = fetch(serve(keeps_alive(whole(body))), own)
    assert free(own) == LARGE_PAGES_AT_ONCE - places
    page.place.give_back()
    page.place.give_back()
    assert free(own) == LARGE_PAGES_AT_ONCE


@pytest.mark.parametrize(
    "script",
    [
        pytest.param(sends(header("Content-Length: 99999999") + LARGE), id="too-large"),
        pytest.param(sends(header("Content-Length: 9999999") + LARGE), id="half"),
        pytest.param(sends(header() + LARGE + b"half a line"), id="half-a-line"),
    ],
)
def test_a_large_page_that_fails_holds_none(serve, script):
    own = Room()
    with pytest.raises(ScrapeError):
        fetch(serve(script), own)
    assert free(own) == LARGE_PAGES_AT_ONCE


def test_a_large_page_without_room_fails_in_time_and_a_small_one_needs_none(serve):
    own = Room()
    for _ in range(LARGE_PAGES_AT_ONCE):
        assert Place(own).take(time.monotonic())
    with pytest.raises(PageDeadlineError, match="its page is large, and others as large left no room for it in time"):
        fetch(serve(keeps_alive(whole(LARGE))), own, seconds=0.5)
    assert fetch(serve(keeps_alive(whole(SMALL))), own).body == SMALL


def test_a_collection_of_large_pages_keeps_them_all_and_holds_few(serve, table, on_a_laptop):
    servers = [serve(keeps_alive(whole(LARGE))) for _ in range(16)]
    now_ms = time.time_ns() // 1_000_000
    targets = [
        target(
            instance_id=f"server-{number}",
            endpoint=f"http://127.0.0.1:{server.port}/metrics",
            slot_ms=now_ms,
            interval_seconds=300,
            timeout_seconds=20,
        )
        for number, server in enumerate(servers)
    ]
    codes = []
    tracemalloc.start()
    try:
        for result in pipeline.collect(targets, time.monotonic() + 60):
            codes.append(result.code)
            del result
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert codes == [None] * 16
    # Those that have a place, and what the last two are made into, as text and as lines; of the others the beginning.
    beginnings = len(servers) * (SMALL_PAGE_BYTES + PIECE_BYTES)
    assert peak_bytes < beginnings + (LARGE_PAGES_AT_ONCE + 6) * len(LARGE)
