"""Pages are kept beside others, and one that is lost takes no other with it."""

import zlib

import pytest
from keeping import MINUTE_MS, NOW_MS, blob, collect, in_table, shared, until

from collector import pages, store
from collector.codec import UnreadableError
from collector.reading import recall
from support import PAGES, target

PAGE = (PAGES / "sglang-0.5.23-ok-1.prom").read_bytes()
LATER = (PAGES / "sglang-0.5.23-ok-2.prom").read_bytes()
SMALL = b"# HELP a_total A\n# TYPE a_total counter\n" + b"".join(b'a_total{b="%d"} %d.0\n' % (n, n) for n in range(40))


def test_a_fleet_keeps_what_it_shares_once(table):
    for number in range(4):
        collect(PAGE, instance_id=f"sglang-{number}")
    assert len(shared()) == 1


def test_pages_in_another_order_are_told_from_the_lines_that_were_kept_first(table):
    pages.forget()
    collect(SMALL)
    pages.forget()  # another worker
    lines = SMALL.split(b"\n")
    turned = b"\n".join([*lines[:2], *lines[41:1:-1], b""])
    collect(turned, instance_id="sglang-002")
    assert len(shared()) == 1
    assert store.read_newest("sglang-002").told.lines.page() == turned


def lose(slot_ms):
    in_table("snapshots").delete_item(Key={"instance_id": "sglang-001", "slot": slot_ms})


def replace_anchor(slot_ms):
    collect(LATER, slot_ms=slot_ms)


def lose_shared(slot_ms):
    [item] = shared()
    in_table("shapes").delete_item(Key={"id": item["id"]})


@pytest.mark.parametrize(
    ("happens", "words"),
    [
        pytest.param(lose, f"the page that it was told from, of slot {NOW_MS}, is gone", id="anchor-lost"),
        pytest.param(
            replace_anchor, f"the page that it was told from, of slot {NOW_MS}, is another now", id="replaced"
        ),
        pytest.param(
            lose_shared, "the lines that it shares with other servers, [0-9a-f]{16}, are gone", id="shared-lost"
        ),
    ],
)
def test_a_page_whose_ground_is_gone_is_an_error_of_its_own(table, happens, words):
    for slot_ms in NOW_MS, NOW_MS + MINUTE_MS:
        collect(PAGE, slot_ms)
    assert blob(NOW_MS + MINUTE_MS)[0] == 5
    happens(NOW_MS)
    pages.forget()
    stored = store.read_newest("sglang-001")
    assert isinstance(stored.told, UnreadableError)
    with pytest.raises(UnreadableError, match=words):
        raise stored.told
    assert recall(stored) is None
    assert stored.health.status == "stalled"  # the same page a minute later
    [item] = [one for one in in_table("snapshots").scan()["Items"] if one["slot"] == NOW_MS + MINUTE_MS]
    assert item["run"] == 2


def test_what_cannot_be_read_is_told_anew_by_the_next_scrape(table):
    for slot_ms in NOW_MS, NOW_MS + MINUTE_MS:
        collect(PAGE, slot_ms)
    lose(NOW_MS)
    pages.forget()
    collect(LATER, NOW_MS + 2 * MINUTE_MS)
    assert store.read_newest("sglang-001").told.lines.page() == LATER


def test_an_anchor_outlasts_what_is_told_from_it(table):
    collect(PAGE)
    collect(PAGE, NOW_MS + MINUTE_MS)
    anchor, last = sorted(in_table("snapshots").scan()["Items"], key=lambda item: item["slot"])
    assert anchor["expires_at"] > last["expires_at"]


@pytest.mark.parametrize(("first", "then", "form"), [(7, 30, 3), (30, 7, 5)], ids=["longer", "shorter"])
def test_a_page_that_is_to_be_kept_longer_than_its_anchor_becomes_one(table, first, then, form):
    collect(PAGE, retention_days=first)
    collect(PAGE, NOW_MS + MINUTE_MS, retention_days=then)
    assert blob(NOW_MS + MINUTE_MS)[0] == form


def test_shared_lines_are_kept_on_with_a_write_a_month(dynamodb):
    """A day at a time for two months: written once, and kept on once more."""
    for day in range(60):
        collect(SMALL, NOW_MS + day * 86_400_000)
        pages.forget()
    assert (dynamodb.operations["PutItem"], dynamodb.operations["UpdateItem"]) == (1, 1)


def test_shared_lines_outlast_all_that_is_told_from_them(table):
    collect(PAGE, retention_days=365)
    [item], [page] = shared(), in_table("snapshots").scan()["Items"]
    assert item["expires_at"] > page["expires_at"]


def test_two_workers_that_keep_the_same_lines_at_once_agree_on_an_order(dynamodb):
    lines = SMALL.split(b"\n")
    turned = b"\n".join([*lines[:2], *lines[41:1:-1], b""])

    def come_in_between(operation, request, forward):
        if operation == "PutItem" and not came:
            came.append(True)
            pages.forget()
            collect(turned, instance_id="sglang-002")
            pages.forget()
        return forward(request)

    came = []
    dynamodb.fault = come_in_between
    collect(SMALL)
    dynamodb.fault = None
    pages.forget()
    for name, page in {"sglang-001": SMALL, "sglang-002": turned}.items():
        assert store.read_newest(name).told.lines.page() == page


def test_a_page_unlike_those_of_any_server_is_compressed_as_it_is(table):
    page = SMALL + b"".join(b'b_total{c="%d"} 1.0\n' % number for number in range(60_000))
    assert len(page) > pages.PAGE_BYTES_AT_MOST
    collect(page)
    assert (blob(NOW_MS)[0], shared()) == (2, [])
    assert store.read_newest("sglang-001").told.lines.page() == page


def test_reading_again_asks_for_nothing_twice(dynamodb):
    for slot_ms in NOW_MS, NOW_MS + MINUTE_MS:
        collect(PAGE, slot_ms)
    later = [target(slot_ms=NOW_MS + 2 * MINUTE_MS, interval_seconds=60)]
    calls = []
    for _ in range(2):
        dynamodb.operations.clear()
        store.read_befores(later, until())
        calls.append(dynamodb.operations["BatchGetItem"])
    assert calls == [2, 1]  # the page before with its anchor, then the page alone


def test_a_form_of_before_is_still_compared_with(table):
    collect(PAGE)
    in_table("snapshots").update_item(
        Key={"instance_id": "sglang-001", "slot": NOW_MS},
        UpdateExpression="SET #blob = :blob",
        ExpressionAttributeNames={"#blob": "blob"},
        ExpressionAttributeValues={":blob": b"\x01" + zlib.compress(b"{}\n" + PAGE)},
    )
    before = store.read_befores([target(slot_ms=NOW_MS + MINUTE_MS, interval_seconds=60)], until())
    [one] = before.values()
    assert one.told.lines.page() == PAGE
    assert one.told.anchor is None
