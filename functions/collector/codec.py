"""A page in few bytes: told from what is kept already, lines that a fleet shares and an earlier page of the server.

A page is told from a `Frame`: which runs of its lines the frame has too, what the others are, and by how much each
number differs from the frame's. A frame is lines that the pages of a fleet share, with zeros for numbers; or a server's
*anchor*, a page that was told from such lines. So a page takes at most three reads, and one that is lost takes none
with it but those that have it as their anchor.

A blob's first byte names its form:

| | |
|---|---|
| 1 | compressed: a line that is passed over, and the whole page; as releases before these forms wrote it |
| 2 | the whole page, compressed |
| 3 | 8 bytes: which shared lines, 4 bytes: their text's checksum; then the page told from them, numbers `bytewise` |
| 4 | 6 bytes: the anchor's slot, 4 bytes: its blob's checksum; then the page told from it, numbers `bytewise` |
| 5 | the same, but numbers are told by their `rises`: of servers that are old enough for it to save write units |
"""

import lzma
import math
import zlib
from collections.abc import Callable, Iterable
from hashlib import blake2b
from itertools import pairwise
from typing import NamedTuple

from collector import bytewise, rises
from collector.frames import PART_BYTES_AT_MOST, UNIT_BYTES, Frame
from collector.lines import Heads, Lines, has_number
from collector.packing import encoded, inflate
from collector.telling import Told, read, tell

BEFORE_FORMS, WHOLE, SHARED, ANCHORED, RISEN = 1, 2, 3, 4, 5
FORMS = {bytes([form]) for form in (BEFORE_FORMS, WHOLE, SHARED, ANCHORED, RISEN)}
ID_BYTES, SLOT_BYTES, CHECKSUM_BYTES = 8, 6, 4
ANCHOR_MS = 3_600_000
# As an anchor's age doubles, numbers take so much more of their bytes, as long as a server's work is of the same kind.
MORE_PER_DOUBLING = 1 / 20
MINUTE_MS = 60_000
# New lines are told again with each page. More of them are worth a new anchor, and new shared lines.
DIFFERENCES_AT_MOST_BYTES = 300
WORTH_SHARING_BYTES = 150
# Lines with these are a server's own, and no part of what a fleet shares: process ids, and series for each path asked.
OWN = ('pid="', "http_")


# What reading raises for bytes that were not written so.
UNPACKING = (ValueError, IndexError, OverflowError, zlib.error, lzma.LZMAError)


class UnreadableError(Exception):
    """A stored page that cannot be had back, and why."""


class SharedName(NamedTuple):
    """Which lines, in any order, and the checksum of their text: of the order that they are kept in."""

    id: bytes
    checksum: int


class SharedLines(NamedTuple):
    """Lines that servers have in common, and the text that they are kept as."""

    name: SharedName
    text: bytes
    frame: Frame


class Anchor(NamedTuple):
    """A page that others of its server are told from."""

    slot_ms: int
    expires_at: int
    checksum: int
    size: int
    """The bytes of its blob."""
    frame: Frame
    shared: SharedLines


# Lines that are shared


def shared_lines(heads: Heads) -> SharedLines:
    """Those of a page, in its order."""
    lines = [line for line in heads.lines if not (has_number(line) and any(own in line for own in OWN))]
    return read_shared(encoded("\n".join(lines)))


def read_shared(text: bytes) -> SharedLines:
    """From the text that they are kept as."""
    lines = text.decode("utf-8", "surrogateescape").split("\n")
    histograms = [_histogram(line) for line in lines if has_number(line)]
    counts_on = [one == other is not None for one, other in pairwise([None, *histograms])]
    frame = Frame(Heads(lines), [0.0] * len(histograms), counts_on)
    id_ = blake2b(encoded("\n".join(sorted(lines))), digest_size=ID_BYTES).digest()
    return SharedLines(SharedName(id_, checksum(text)), text, frame)


def _histogram(line: str) -> tuple[str, str] | None:
    """The family and labels, but for `le`, of a bucket or count; None for what is neither."""
    name, _, labels = line.partition("{")
    if name.endswith("_bucket"):
        before, _, rest = labels.partition('le="')
        return name.removesuffix("_bucket"), (before + rest.partition('"')[2].removeprefix(",")).replace(",}", "}")
    return (name.removesuffix("_count"), labels) if name.endswith("_count") else None


# Pages


def encode_whole(page: bytes) -> bytes:
    """Without anything else, for a page unlike those of any server."""
    return bytes([WHOLE]) + zlib.compress(page, 6)


def encode(
    lines: Lines,
    slot_ms: int,
    expires_at: int,
    anchor: Anchor | None,
    known: Iterable[SharedLines],
    room: int,
    keep: Callable[[SharedLines], SharedLines],
) -> tuple[bytes, bool]:
    """A page as a blob, and whether it is an anchor.

    Its server's last anchor is left when another saves a write unit, of which `room` bytes are left. `known` are lines
    to tell it from where there is no anchor yet. `keep` sees to it that lines are kept, and gives them in the order in
    which they were kept first.
    """
    age_ms = slot_ms - anchor.slot_ms if anchor else ANCHOR_MS
    plain = b""
    if anchor and age_ms < ANCHOR_MS and expires_at <= anchor.expires_at:
        form, told = _told_from(anchor, lines, room - 1 - SLOT_BYTES - CHECKSUM_BYTES)
        start = bytes([form]) + anchor.slot_ms.to_bytes(SLOT_BYTES) + anchor.checksum.to_bytes(CHECKSUM_BYTES)
        if len(told.differences) <= DIFFERENCES_AT_MOST_BYTES:
            plain = start + told.differences + told.numbers
            if not _is_outgrown(told, age_ms, room - len(start)):
                return plain, False
    room_for_told = room - 1 - ID_BYTES - CHECKSUM_BYTES
    if anchor and age_ms < ANCHOR_MS:
        # What is new may be gone with the next page: shared lines are not made anew for it, but at most once an hour.
        shared, told = keep(anchor.shared), tell(lines, anchor.shared.frame, bytewise.tell, room_for_told)
    else:
        shared, told = _told_best(lines, [anchor.shared] if anchor else known, keep, room_for_told)
    start = bytes([SHARED]) + shared.name.id + shared.name.checksum.to_bytes(CHECKSUM_BYTES)
    blob = start + told.differences + told.numbers
    # A new anchor is likely to last as long as this one did: what it takes more must be less than what it saves.
    if plain and _units_more(len(blob), room) - _units_more(len(plain), room) >= age_ms / MINUTE_MS:
        return plain, False
    return blob, True


def _told_from(anchor: Anchor, lines: Lines, room: int) -> tuple[int, Told]:
    """A page told from its anchor, and by which form.

    A young server's is told by its differences, which take a quarter more bytes and a third of the time to write and
    read: its anchor fits the write unit that there is, and mostly so does the page.
    """
    if anchor.size <= room:
        # With so much room nothing is told more tightly: what has none is told by its rises.
        told = tell(lines, anchor.frame, bytewise.tell, room=PART_BYTES_AT_MOST)
        if told.size <= room:
            return ANCHORED, told
    try:
        return RISEN, tell(lines, anchor.frame, rises.tell, room)
    except rises.UnlikeError:
        return ANCHORED, tell(lines, anchor.frame, bytewise.tell, room)


def _is_outgrown(told: Told, age_ms: int, room: int) -> bool:
    """Whether the next page will take fewer write units if it is told from this one, a minute old then."""
    grown = len(told.numbers) * MORE_PER_DOUBLING * math.log2(max(age_ms / MINUTE_MS, 1))
    return _units_more(told.size - grown, room) < _units_more(told.size, room)


def _units_more(size: float, room: int) -> int:
    return math.ceil((size - room) / UNIT_BYTES)


def _told_best(
    lines: Lines, known: Iterable[SharedLines], keep: Callable[[SharedLines], SharedLines], room: int
) -> tuple[SharedLines, Told]:
    """The page, and which shared lines it is told from: of those that are known, or its own if that is much better."""

    def told_from(shared: SharedLines) -> Told:
        return tell(lines, shared.frame, bytewise.tell, room)

    ways = [(shared, told_from(shared)) for shared in known]
    best = min(ways, key=lambda way: len(way[1].differences), default=None)
    if best is None or len(best[1].differences) > DIFFERENCES_AT_MOST_BYTES:
        own = shared_lines(lines.heads)
        told = told_from(own)
        if best is None or len(told.differences) + WORTH_SHARING_BYTES < len(best[1].differences):
            shared = keep(own)
            return shared, told if shared.text == own.text else told_from(shared)
    shared, told = best
    return keep(shared), told


class AnchorName(NamedTuple):
    slot_ms: int
    checksum: int


def anchor_of(blob: bytes) -> AnchorName | None:
    """Which anchor a blob is told from, if from one. Raises UnreadableError for a form that is not known."""
    if blob[:1] not in FORMS:
        raise UnreadableError(f"its form, {blob[:1].hex() or 'none'}, is not one that this release reads")
    if blob[0] not in (ANCHORED, RISEN):
        return None
    slot, checksum = blob[1 : 1 + SLOT_BYTES], blob[1 + SLOT_BYTES : 1 + SLOT_BYTES + CHECKSUM_BYTES]
    return AnchorName(int.from_bytes(slot), int.from_bytes(checksum))


def shared_by(blob: bytes) -> SharedName | None:
    """The shared lines that a blob is told from, if from any."""
    if blob[:1] != bytes([SHARED]):
        return None
    id_, checksum = blob[1 : 1 + ID_BYTES], blob[1 + ID_BYTES : 1 + ID_BYTES + CHECKSUM_BYTES]
    return SharedName(id_, int.from_bytes(checksum))


def decode(blob: bytes, frame: Frame) -> tuple[Lines, Frame]:
    """A page, and the frame that it is to others. Raises UnreadableError."""
    try:
        match blob[0]:
            case 1:
                return _whole(inflate(blob[1:], wbits=zlib.MAX_WBITS).partition(b"\n")[2])
            case 2:
                return _whole(inflate(blob[1:], wbits=zlib.MAX_WBITS))
            case 3:
                return read(blob[1 + ID_BYTES + CHECKSUM_BYTES :], frame, bytewise.read)
            case 4:
                return read(blob[1 + SLOT_BYTES + CHECKSUM_BYTES :], frame, bytewise.read)
            case _:
                return read(blob[1 + SLOT_BYTES + CHECKSUM_BYTES :], frame, rises.read)
    except UNPACKING as exc:
        raise UnreadableError(f"its bytes tell no page: {exc}") from exc


def _whole(page: bytes) -> tuple[Lines, Frame]:
    lines = Lines.of(page)
    return lines, Frame(lines.heads, lines.values, [False] * len(lines.values))


def checksum(blob: bytes) -> int:
    return zlib.crc32(blob)
