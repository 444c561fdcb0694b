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
from collector.codec import Anchor, SharedLines, SharedName, UnreadableError
from collector.frames import NOTHING, PAGE_BYTES_AT_MOST
from collector.lines import Lines
from collector.packing import inflate
from collector.recent import Recent
from collector.targets import Key

# What is kept in memory. Lines take about six times their text; an anchor 40 to 180 bytes a line.
SHARED_BYTES_KEPT = 16 * 1024 * 1024
ANCHOR_LINES_KEPT = 1_000_000
WRITTEN_NUMBERS_KEPT = 1_000_000  # up to 32 bytes each; a page of one rank has some 560
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


class Told(NamedTuple):
    """A page, and the anchor that the next may be told from: the page's own, or itself."""

    lines: Lines
    anchor: Anchor | None


class Kept(NamedTuple):
    """Shared lines, and until when they are in the table at least, in seconds since 1970."""

    lines: SharedLines
    expires_at: int


class AnchorKey(NamedTuple):
    """A slot, and the checksum of what was in it: another scrape may take its place."""

    instance_id: str
    slot_ms: int
    checksum: int

    @property
    def slot(self) -> Key:
        return self.instance_id, self.slot_ms


class Written(NamedTuple):
    """A server's last page as this process has told it: mostly what the next scrape finds in the table."""

    blob: bytes
    lines: Lines


_shared: Recent[bytes, Kept] = Recent(lambda kept: len(kept.lines.text), SHARED_BYTES_KEPT)
_anchors: Recent[AnchorKey, Anchor] = Recent(lambda anchor: len(anchor.frame.heads.lines), ANCHOR_LINES_KEPT)
_written: Recent[str, Written] = Recent(lambda written: len(written.lines.values), WRITTEN_NUMBERS_KEPT)  # by server


# Writing


def encode(
    page: bytes, lines: Lines, key: Key, expires_at: int, anchor: Anchor | None, room: int, until: float
) -> tuple[bytes, bool]:
    """A page as a blob, and whether it is an anchor. Lines that it is told from are kept first.

    A larger page than most is unlike those of any server: it is compressed as it is, and so is one whose lines cannot
    be kept. Raises NO_ANSWER and UnprocessedError.
    """
    if len(page) > PAGE_BYTES_AT_MOST:
        return codec.encode_whole(page), False

    def keep(shared: SharedLines) -> SharedLines:
        return _keep(shared, expires_at + ANCHOR_OUTLASTS_SECONDS, until)

    known = [kept.lines for kept in list(_shared.values())[-SHARED_LINES_TRIED:]]
    try:
        blob, is_anchor = codec.encode(lines, key[1], expires_at, anchor, known, room, keep)
    except (_TooMuchError, UnreadableError):
        return codec.encode_whole(page), False
    _written[key[0]] = Written(blob, lines)
    return blob, is_anchor


class _TooMuchError(Exception):
    """Shared lines do not fit an item."""


def _keep(shared: SharedLines, expires_at: int, until: float) -> SharedLines:
    """The same lines as they are kept, if in another order; for as long as they are needed.

    Raises UnreadableError for others in their place.
    """
    kept = _shared.get(shared.name.id)
    if kept and kept.expires_at >= expires_at:
        return kept.lines
    key = {"id": {"B": shared.name.id}}
    later = {"N": str(expires_at + SLACK_SECONDS)}
    text = zlib.compress(shared.text, 9)
    if len(text) > SHARED_BYTES_AT_MOST:
        raise _TooMuchError
    while True:
        # What is there already is not written again: a refused write costs as much as one that is taken.
        for item in batches.read(table_name(), [key], until, ConsistentRead=True):
            kept = _remember(item)
            if kept.expires_at >= expires_at:
                return kept.lines
            if _keep_on(key, later, until):
                return _remember(item | {"expires_at": later}).lines
            break
        else:
            item = key | {"lines": {"B": text}, "expires_at": later}
            if batches.put_new(table_name(), item, "id", until):
                return _remember(item).lines


def _keep_on(key: Item, later: dict[str, str], until: float) -> bool:
    """False where they have just expired, or where another worker keeps them for longer."""
    try:
        batches.ask(
            batches.client().update_item,
            until,
            TableName=table_name(),
            Key=key,
            UpdateExpression="SET expires_at = :later",
            ConditionExpression="expires_at < :later",
            ExpressionAttributeValues={":later": later},
        )
    except batches.NO_ANSWER as exc:
        if batches.code(exc) != "ConditionalCheckFailedException":
            raise
        return False
    return True


# Reading


def read_pages(items: Iterable[Item], table: str, until: float) -> dict[Key, Told | UnreadableError]:
    """The pages of those items that have one. One that cannot be had says why, and takes no other with it.

    Raises NO_ANSWER and UnprocessedError.
    """
    with_pages = {read_key(item): item for item in items if "blob" in item}
    told: dict[Key, Told | UnreadableError] = {}
    told_from: dict[Key, AnchorKey] = {}
    for key, item in with_pages.items():
        try:
            if named := codec.anchor_of(item["blob"]["B"]):
                told_from[key] = AnchorKey(key[0], *named)
        except UnreadableError as exc:
            told[key] = exc
    anchors = {name: _anchors[name] for name in told_from.values() if name in _anchors}
    elsewhere = {name.slot for name in told_from.values() if name not in anchors} - with_pages.keys()
    found = batches.read(table, map(key_of, elsewhere), until, **ANCHOR) if elsewhere else []
    there = with_pages | {read_key(item): item for item in found if "blob" in item}
    shared = _read_shared((item["blob"]["B"] for item in there.values()), until)
    for key in there.keys() - told_from.keys() - told.keys():
        try:
            if codec.anchor_of(there[key]["blob"]["B"]):
                continue  # it took the place of an anchor
            told[key] = page = _told_alone(there[key], shared)
            if page.anchor:
                anchors[AnchorKey(*key, page.anchor.checksum)] = page.anchor
        except UnreadableError as exc:
            told[key] = exc
    for key, name in told_from.items():
        try:
            if name not in anchors:
                raise UnreadableError(_words(name, name.slot in there, told.get(name.slot)))
            told[key] = Told(_lines(key, with_pages[key]["blob"]["B"], anchors[name]), anchors[name])
        except UnreadableError as exc:
            told[key] = exc
    _anchors.update({name: anchors[name] for name in told_from.values() if name in anchors})
    return {key: told[key] for key in with_pages}


def _lines(key: Key, blob: bytes, anchor: Anchor) -> Lines:
    """As they were written, where that was here; told from the anchor where not. Raises UnreadableError."""
    written = _written.get(key[0])
    return written.lines if written and written.blob == blob else codec.decode(blob, anchor.frame)[0]


def _words(anchor: AnchorKey, is_there: bool, told: Told | UnreadableError | None) -> str:
    """Why a page cannot be had that was told from an anchor."""
    now = "another now" if is_there else "gone"
    if isinstance(told, UnreadableError):
        now = f"unreadable: {told}"
    return f"the page that it was told from, of slot {anchor.slot_ms}, is {now}"


def _told_alone(item: Item, shared: Mapping[SharedName, SharedLines | str]) -> Told:
    """A page that is not told from an anchor. Raises UnreadableError."""
    blob = item["blob"]["B"]
    if (wanted := codec.shared_by(blob)) is None:
        return Told(codec.decode(blob, NOTHING)[0], None)
    found = shared[wanted]
    if isinstance(found, str):
        raise UnreadableError(f"the lines that it shares with other servers, {wanted.id.hex()}, are {found}")
    lines, frame = codec.decode(blob, found.frame)
    (_, slot_ms), expires_at = read_key(item), int(item["expires_at"]["N"])
    return Told(lines, Anchor(slot_ms, expires_at, codec.checksum(blob), len(blob), frame, found))


def _read_shared(blobs: Iterable[bytes], until: float) -> dict[SharedName, SharedLines | str]:
    """Lines, or what is the matter with them."""
    wanted = {name for blob in blobs if (name := codec.shared_by(blob))}
    shared: dict[SharedName, SharedLines | str] = {
        name: kept.lines for name in wanted if (kept := _shared.get(name.id)) and kept.lines.name == name
    }
    missing = wanted - shared.keys()
    keys: list[Item] = [{"id": {"B": id_}} for id_ in {name.id for name in missing}]
    found = {item["id"]["B"]: _readable(item) for item in batches.read(table_name(), keys, until)}
    for name in missing:
        lines = found.get(name.id, "gone")
        is_other = isinstance(lines, SharedLines) and lines.name != name
        shared[name] = "in another order now" if is_other else lines
    return shared


def _readable(item: Item) -> SharedLines | str:
    try:
        return _remember(item).lines
    except UnreadableError as exc:
        return str(exc)


def _remember(item: Item) -> Kept:
    """Raises UnreadableError."""
    id_ = item["id"]["B"]
    try:
        lines = codec.read_shared(inflate(item["lines"]["B"], wbits=zlib.MAX_WBITS, at_most=PAGE_BYTES_AT_MOST))
    except (KeyError, *codec.UNPACKING) as exc:
        raise UnreadableError(f"unreadable: {exc}") from exc
    if lines.name.id != id_:
        raise UnreadableError("unreadable: they are others")
    _shared[id_] = kept = Kept(lines, int(item["expires_at"]["N"]))
    return kept


def forget() -> None:
    """Keep nothing of what was read or written."""
    _shared.clear()
    _anchors.clear()
    _written.clear()


def table_name() -> str:
    return os.environ["SHAPES_TABLE"]
