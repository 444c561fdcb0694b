"""A page is told from the anchor that it was told from, whatever stands in that slot by now."""

import pytest
from keeping import MINUTE_MS, NOW_MS, blob, collect, in_table, until

from collector import batches, pages, store
from collector.batches import key_of
from collector.codec import UnreadableError
from collector.errors import RefusedError
from collector.exposition import parse
from collector.outcome import Outcome
from support import ASKED_AT, PAGES, target

FIRST, SECOND = ((PAGES / f"sglang-0.5.23-ok-{number}.prom").read_bytes() for number in (1, 2))
THIRD = FIRST.replace(b"1.0\n", b"2.0\n")
SLOTS = [NOW_MS + minute * MINUTE_MS for minute in range(3)]
SERVER = "sglang-001"


def read(*slots):
    """What each slot's page is: its bytes, or why it cannot be had."""
    items = batches.read("snapshots", [key_of((SERVER, slot_ms)) for slot_ms in slots], until())
    told = pages.read_pages(items, "snapshots", until())
    return [
        str(one) if isinstance(one := told[SERVER, slot_ms], UnreadableError) else one.lines.page() for slot_ms in slots
    ]


def fail(slot_ms):
    assert store.write([Outcome(target(slot_ms=slot_ms), ASKED_AT, error=RefusedError("down"))], until()) == {}


def grow(slot_ms):
    """A page unlike those of any server, which is no anchor."""
    collect(FIRST + b"".join(b'b_total{c="%d"} 1.0\n' % number for number in range(60_000)), slot_ms)


def tell_from_another(slot_ms):
    collect(FIRST, slot_ms - MINUTE_MS)
    collect(FIRST, slot_ms)
    assert blob(slot_ms)[0] == 5


def spoil(slot_ms):
    in_table("snapshots").update_item(
        Key={"instance_id": SERVER, "slot": slot_ms},
        UpdateExpression="SET #blob = :blob",
        ExpressionAttributeNames={"#blob": "blob"},
        ExpressionAttributeValues={":blob": b"\x07"},
    )


@pytest.mark.parametrize(
    ("happens", "words"),
    [
        pytest.param(fail, "is gone", id="failed-scrape"),
        pytest.param(grow, "is another now", id="whole-page"),
        pytest.param(tell_from_another, "is another now", id="no-anchor"),
        pytest.param(spoil, "is unreadable: its form, 07, is not one that this release reads", id="unreadable"),
    ],
)
def test_a_slot_that_is_no_anchor_any_more_is_said_in_few_words(table, happens, words):
    for slot_ms in SLOTS[:2]:
        collect(FIRST, slot_ms)
    collect(SECOND, SLOTS[1], instance_id="sglang-002")
    happens(SLOTS[0])
    pages.forget()
    assert read(SLOTS[1]) == [f"the page that it was told from, of slot {SLOTS[0]}, {words}"]
    assert store.read_newest("sglang-002").told.lines.page() == SECOND


@pytest.mark.parametrize("warm", [True, False], ids=["warm", "cold"])
def test_the_slot_of_a_replaced_anchor_gives_what_stands_there(table, warm):
    for slot_ms in SLOTS[:2]:
        collect(FIRST, slot_ms)
    read(*SLOTS[:2])
    collect(SECOND, SLOTS[0])
    if not warm:
        pages.forget()
    anchor, dependent = read(*SLOTS[:2])
    assert anchor == SECOND
    assert dependent == (FIRST if warm else f"the page that it was told from, of slot {SLOTS[0]}, is another now")


@pytest.mark.parametrize("warm", [True, False], ids=["warm", "cold"])
def test_pages_told_from_an_anchor_before_and_after_it_was_replaced_are_no_harm_to_each_other(table, warm):
    for slot_ms in SLOTS[:2]:
        collect(FIRST, slot_ms)
    read(SLOTS[1])
    kept = dict(pages._anchors)
    collect(SECOND, SLOTS[0])
    pages.forget()
    in_table("snapshots").delete_item(Key={"instance_id": SERVER, "slot": SLOTS[1]})
    collect(THIRD, SLOTS[1])
    collect(THIRD, SLOTS[2])
    assert [blob(slot_ms)[0] for slot_ms in SLOTS] == [3, 4, 4]
    pages.forget()
    if warm:
        pages._anchors.update(kept)
    assert read(SLOTS[1], SLOTS[2]) == [THIRD, THIRD]


def test_a_page_that_this_process_wrote_is_not_told_anew(table):
    for slot_ms in SLOTS[:2]:
        collect(FIRST, slot_ms)
    lines = pages._written[SERVER].lines
    later = target(slot_ms=SLOTS[2], interval_seconds=60)
    assert store.read_befores([later], until())[later.key].told.lines is lines


def test_what_another_has_written_in_its_place_is_what_is_read(table):
    for slot_ms in SLOTS[:2]:
        collect(FIRST, slot_ms)
    ours = dict(pages._written)
    pages.forget()
    in_table("snapshots").delete_item(Key={"instance_id": SERVER, "slot": SLOTS[1]})
    collect(THIRD, SLOTS[1])
    pages._written.update(ours)
    assert read(SLOTS[1]) == [THIRD]


def test_what_is_kept_of_written_pages_is_bounded_by_their_numbers(table, monkeypatch):
    numbers = len(parse(FIRST).values)
    monkeypatch.setattr(pages._written, "at_most", 3 * numbers)
    for number in range(6):
        collect(FIRST, SLOTS[0], f"sglang-{number}")
    assert [*pages._written] == ["sglang-3", "sglang-4", "sglang-5"]


def test_what_is_kept_of_anchors_is_bounded_by_their_lines(table, monkeypatch):
    lines = FIRST.count(b"\n")
    monkeypatch.setattr(pages._anchors, "at_most", 3 * lines)
    names = [f"sglang-{number}" for number in range(6)]
    for slot_ms in SLOTS[:2]:
        for name in names:
            collect(FIRST, slot_ms, name)
    later = [target(instance_id=name, slot_ms=SLOTS[2], interval_seconds=60) for name in names]
    for _ in range(2):
        befores = store.read_befores(later, until())
        assert {before.told.lines.page() for before in befores.values()} == {FIRST}
        assert len(pages._anchors) == 3
