"""The pages in stored items, and the `Shapes` table: the lines that they share.

A page is told from lines that a fleet shares, or from an anchor, an earlier item of its server; see `codec`. So those
are read with it; and lines are kept before the first item that needs them, and for longer.
"""

import os
import zlib
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from collector import batches, codec
from collector.batches import Item, key_of, read_key
from collector.codec import Anchor, SharedLines, UnreadableError
from collector.frames import NOTHING
from collector.lines import Lines
from collector.targets import Key

# Of a one-rank page they take about half a megabyte of memory, and 7 KB in the table.
SHARED_LINES_KEPT = 200
# They outlast what needs them by up to so much: then one write a month keeps them on.
SLACK_SECONDS = 30 * 86_400
# A server's first page is told from lines of others, if it is much like one of the last.
SHARED_LINES_TRIED = 3
# Anchors are kept longer than what is told from them.
ANCHOR_OUTLASTS_SECONDS = 2 * codec.ANCHOR_MS // 1000
ANCHOR = {
    "ProjectionExpression": "instance_id, slot, expires_at, #blob",
    "ExpressionAttributeNames": {"#blob": "blob"},  # a word of DynamoDB's own
}
SHARED_BYTES_AT_MOST = 350 * 1024  # of the 400 KB that an item may have
# A page with more is unlike those of any server: it is compressed as it is.
PAGE_BYTES_AT_MOST = 1024 * 1024

# An anchor takes 30 KB.
ANCHORS_KEPT = 1000


class Told(NamedTuple):
    """A page, and the anchor that the next may be told from: the page's own, or itself."""

    lines: Lines
    anchor: Anchor | None


_shared: dict[bytes, SharedLines] = {}
_kept_until: dict[bytes, int] = {}
_anchors: dict[Key, Told] = {}


# Writing


def encode(
    page: bytes, lines: Lines, slot_ms: int, expires_at: int, anchor: Anchor | None, room: int, until: float
) -> tuple[bytes, bool]:
    """A page as a blob, and whether it is an anchor. Lines that it is told from are kept first.

    Raises NO_ANSWER and UnprocessedError.
    """
    if len(page) > PAGE_BYTES_AT_MOST:
        return codec.encode_whole(page), False

    def keep(shared: SharedLines) -> SharedLines:
        return _keep(shared, expires_at + ANCHOR_OUTLASTS_SECONDS, until)

    known = list(_shared.values())[-SHARED_LINES_TRIED:]
    try:
        return codec.encode(lines, slot_ms, expires_at, anchor, known, room, keep)
    except _TooMuchError:
        return codec.encode_whole(page), False


class _TooMuchError(Exception):
    """Shared lines do not fit an item."""


def _keep(shared: SharedLines, expires_at: int, until: float) -> SharedLines:
    """The same lines as they are kept, if in another order; for as long as they are needed."""
    if _kept_until.get(shared.id, 0) >= expires_at and shared.id in _shared:
        return _shared[shared.id]
    key = {"id": {"B": shared.id}}
    text = zlib.compress(shared.text, 9)
    if len(text) > SHARED_BYTES_AT_MOST:
        raise _TooMuchError
    while True:
        # What is there already is not written again: a refused write costs as much as one that is taken.
        for item in batches.read(table_name(), [key], until, ConsistentRead=True):
            shared = _remember(item)
            if _kept_until[shared.id] < expires_at:
                batches.ask(
                    batches.client().update_item,
                    until,
                    TableName=table_name(),
                    Key=key,
                    UpdateExpression="SET expires_at = :later",
                    ExpressionAttributeValues={":later": {"N": str(expires_at + SLACK_SECONDS)}},
                )
                _kept_until[shared.id] = expires_at + SLACK_SECONDS
            return shared
        item = key | {"lines": {"B": text}, "expires_at": {"N": str(expires_at + SLACK_SECONDS)}}
        if batches.put_new(table_name(), item, "id", until):
            return _remember(item)


# Reading


def read_pages(items: Iterable[Item], table: str, until: float) -> dict[Key, Told | UnreadableError]:
    """The pages of those items that have one. One that cannot be had says why, and takes no other with it.

    Raises NO_ANSWER and UnprocessedError.
    """
    with_pages = {read_key(item): item for item in items if "blob" in item}
    told: dict[Key, Told | UnreadableError] = {}
    anchors: dict[Key, Key] = {}
    for key, item in with_pages.items():
        try:
            if named := codec.anchor_of(item["blob"]["B"]):
                anchors[key] = anchor = key[0], named.slot_ms
                if (kept := _anchors.get(anchor)) and kept.anchor and kept.anchor.checksum == named.checksum:
                    told[anchor] = kept
        except UnreadableError as exc:
            told[key] = exc
    elsewhere = set(anchors.values()) - with_pages.keys() - told.keys()
    found = with_pages | {read_key(item): item for item in batches.read(table, map(key_of, elsewhere), until, **ANCHOR)}
    shared = _read_shared((item["blob"]["B"] for item in found.values() if "blob" in item), until)
    for key in sorted(found, key=anchors.__contains__):  # anchors before what is told from them
        if key not in told:
            try:
                of_anchor = told.get(anchors[key]) if key in anchors else None
                told[key] = _told(found[key], shared, of_anchor)
            except UnreadableError as exc:
                told[key] = exc
    for anchor in set(anchors.values()):
        if isinstance(page := told.get(anchor), Told):
            while len(_anchors) >= ANCHORS_KEPT:
                del _anchors[next(iter(_anchors))]
            _anchors[anchor] = page
    return {key: told[key] for key in with_pages}


def _told(item: Item, shared: Mapping[bytes, SharedLines], of_anchor: Told | UnreadableError | None) -> Told:
    """Raises UnreadableError."""
    blob = item["blob"]["B"]
    if named := codec.anchor_of(blob):
        anchor = of_anchor.anchor if isinstance(of_anchor, Told) else None
        if anchor is None:
            raise UnreadableError(f"the page that it was told from, of slot {named.slot_ms}, is {of_anchor or 'gone'}")
        if anchor.checksum != named.checksum:
            raise UnreadableError(f"the page that it was told from, of slot {named.slot_ms}, is another now")
        return Told(codec.decode(blob, anchor.frame)[0], anchor)
    if (wanted := codec.shared_by(blob)) is None:
        return Told(codec.decode(blob, NOTHING)[0], None)
    if wanted not in shared:
        raise UnreadableError(f"the lines that it shares with other servers, {wanted.hex()}, are gone")
    lines, frame = codec.decode(blob, shared[wanted].frame)
    (_, slot_ms), expires_at = read_key(item), int(item["expires_at"]["N"])
    return Told(lines, Anchor(slot_ms, expires_at, codec.checksum(blob), frame, shared[wanted]))


def _read_shared(blobs: Iterable[bytes], until: float) -> dict[bytes, SharedLines]:
    wanted = {one for blob in blobs if (one := codec.shared_by(blob))}
    shared = {one: _shared[one] for one in wanted & _shared.keys()}
    for item in batches.read(table_name(), ({"id": {"B": one}} for one in wanted - shared.keys()), until):
        lines = _remember(item)
        shared[lines.id] = lines
    return shared


def _remember(item: Item) -> SharedLines:
    shared = codec.read_shared(zlib.decompress(item["lines"]["B"]))
    while len(_shared) >= SHARED_LINES_KEPT:
        _shared.pop(next(iter(_shared)))
    _shared[shared.id] = shared
    _kept_until[shared.id] = int(item["expires_at"]["N"])
    return shared


def forget() -> None:
    """Keep nothing of what was read."""
    _shared.clear()
    _anchors.clear()
    _kept_until.clear()


def table_name() -> str:
    return os.environ["SHAPES_TABLE"]
