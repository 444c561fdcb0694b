"""The lines that servers share are kept once, for as long as any page needs them, and never in two orders."""

import random
import zlib

import pytest
from keeping import MINUTE_MS, NOW_MS, blob, collect, in_table, shared, until

from collector import pages, store
from collector.codec import UnreadableError
from support import target

SMALL = b"# HELP a_total A\n# TYPE a_total counter\n" + b"".join(b'a_total{b="%d"} %d.0\n' % (n, n) for n in range(40))
LINES = SMALL.split(b"\n")
TURNED = b"\n".join([*LINES[:2], *LINES[41:1:-1], b""])
DAY_MS = 86_400_000


def other_lines():
    """The pages of six servers that have nothing in common."""
    noise = random.Random(1)
    return {f"s{n}": b"".join(b"a%d 1.0\n" % noise.getrandbits(64) for _ in range(40)) for n in range(6)}


def once(happens, operation):
    """A fault that lets something happen just before the first such operation."""
    came = []

    def come_in_between(asked, request, forward):
        if asked == operation and not came:
            came.append(True)
            happens()
        return forward(request)

    return come_in_between


def rows(table):
    """The items of a table behind the faulty DynamoDB."""
    return pages.batches.client().scan(TableName=table)["Items"]


def test_a_worker_that_needs_them_less_long_does_not_shorten_what_another_kept(dynamodb):
    """Both saw that they end too soon; the one with the longer retention was the first to write."""
    collect(SMALL, retention_days=7)

    def another_worker():
        pages.forget()
        collect(SMALL, instance_id="sglang-002", retention_days=365)
        pages.forget()

    pages.forget()
    dynamodb.fault = once(another_worker, "UpdateItem")
    collect(SMALL, instance_id="sglang-003", retention_days=60)
    dynamodb.fault = None
    [item], items = rows(pages.table_name()), rows(store.table_name())
    assert int(item["expires_at"]["N"]) > max(int(one["expires_at"]["N"]) for one in items)


def test_lines_that_expire_while_they_are_kept_on_are_kept_anew(dynamodb):
    collect(SMALL, retention_days=1)
    [item] = rows(pages.table_name())
    key = {"id": item["id"]}
    pages.forget()
    dynamodb.fault = once(
        lambda: pages.batches.client().delete_item(TableName=pages.table_name(), Key=key), "UpdateItem"
    )
    collect(SMALL, instance_id="sglang-002", retention_days=365)
    dynamodb.fault = None
    pages.forget()
    assert store.read_newest("sglang-002").told.lines.page() == SMALL


def lose_text(item):
    del item["lines"]


def spoil(item):
    item["lines"] = b"no lines"


def cut(item):
    item["lines"] = bytes(item["lines"])[:-5]


def exchange(item):
    item["lines"] = zlib.compress(b"other lines")


def blow_up(item):
    item["lines"] = zlib.compress(b"\n" * (65 * 1024 * 1024), 9)


@pytest.mark.parametrize("happens", [lose_text, spoil, cut, exchange, blow_up])
def test_lines_that_cannot_be_read_are_an_error_of_those_pages_alone(table, happens):
    collect(SMALL)
    [item] = shared()
    collect(other_lines()["s0"], instance_id="sglang-002")
    happens(item)
    in_table("shapes").put_item(Item=item)
    pages.forget()
    later = [
        target(instance_id=name, slot_ms=NOW_MS + MINUTE_MS, interval_seconds=60)
        for name in ("sglang-001", "sglang-002")
    ]
    befores = {before.instance_id: store.read_befores(later, until())[before.key] for before in later}
    assert befores["sglang-001"].told is None
    assert befores["sglang-002"].told.lines.page() == other_lines()["s0"]
    with pytest.raises(UnreadableError, match=r"the lines that it shares with other servers, [0-9a-f]{16}, are unread"):
        raise store.read_newest("sglang-001").told


def test_where_lines_that_cannot_be_read_are_in_the_way_a_page_is_kept_whole(table):
    collect(SMALL)
    [item] = shared()
    spoil(item)
    in_table("shapes").put_item(Item=item)
    pages.forget()
    collect(SMALL, NOW_MS + MINUTE_MS)
    assert blob(NOW_MS + MINUTE_MS)[0] == 2
    assert store.read_newest("sglang-001").told.lines.page() == SMALL


def test_lines_that_were_lost_and_kept_anew_in_another_order_are_no_ground_for_the_pages_before(table):
    """Their name is the same: a page would come back with its numbers exchanged."""
    collect(SMALL)
    [item] = shared()
    in_table("shapes").delete_item(Key={"id": item["id"]})
    pages.forget()
    collect(TURNED, instance_id="sglang-002")
    [again] = shared()
    assert again["id"] == item["id"]
    pages.forget()
    assert store.read_newest("sglang-002").told.lines.page() == TURNED
    with pytest.raises(UnreadableError, match="are in another order now"):
        raise store.read_newest("sglang-001").told


def test_a_worker_that_knows_the_order_of_before_reads_the_one_of_now(table):
    collect(SMALL)
    [item] = shared()
    known = dict(pages._shared)
    in_table("shapes").delete_item(Key={"id": item["id"]})
    pages.forget()
    collect(TURNED, instance_id="sglang-002")
    pages.forget()
    pages._shared.update(known)
    names = "sglang-001", "sglang-002"
    later = [target(instance_id=name, slot_ms=NOW_MS + MINUTE_MS, interval_seconds=60) for name in names]
    befores = store.read_befores(later, until())
    assert [befores[one.key].told.lines.page() for one in later] == [SMALL, TURNED]


def test_they_end_after_all_that_is_told_from_them_on_every_day(table):
    for day in 0, *range(27, 35):
        collect(SMALL, NOW_MS + day * DAY_MS)
        pages.forget()
        [item] = shared()
        assert item["expires_at"] >= max(one["expires_at"] for one in in_table("snapshots").scan()["Items"])


def test_more_of_them_than_are_kept_in_memory_are_read_all_the_same(table, monkeypatch):
    bodies = other_lines()
    monkeypatch.setattr(pages._shared, "at_most", 2 * len(bodies["s0"]))
    for name, body in bodies.items():
        collect(body, instance_id=name)
    later = [target(instance_id=name, slot_ms=NOW_MS + MINUTE_MS, interval_seconds=60) for name in bodies]
    befores = store.read_befores(later, until())
    assert {key[0]: before.told.lines.page() for key, before in befores.items()} == bodies
    assert len(pages._shared) == 2


def test_lines_that_fit_no_item_are_not_shared(table, monkeypatch):
    monkeypatch.setattr(pages, "SHARED_BYTES_AT_MOST", 100)
    collect(other_lines()["s0"])
    assert (blob(NOW_MS)[0], shared()) == (2, [])
