"""What holds for any blob: a page, or an UnreadableError that says why; never more than a page's memory."""

import zlib

from hypothesis import strategies as st

from collector import codec
from collector.codec import Anchor, UnreadableError
from collector.frames import NOTHING
from collector.lines import Lines
from collector.packing import deflate, tighten

PAGE = b"# TYPE a counter\n" + b"".join(b'a{b="%d"} %d.5\n' % (n, n) for n in range(20)) + b'h_bucket{le="1.0"} 3.0\n'
LATER = PAGE.replace(b"7.5", b"8.0") + b'http_requests_total{path="/x"} 1e0\n'
SHARED = codec.shared_lines(Lines.of(PAGE).heads)
MOST_PAGE_BYTES = 64 * 1024 * 1024


def _told(page: bytes, anchor: Anchor | None) -> bytes:
    return codec.encode(Lines.of(page), 60_000, 1, anchor, [], 800, lambda shared: shared)[0]


TOLD = _told(PAGE, None)
ANCHOR = Anchor(0, 1, codec.checksum(TOLD), 2000, codec.decode(TOLD, SHARED.frame)[1], SHARED)
FRAMES = [NOTHING, SHARED.frame, ANCHOR.frame]
WRITTEN = [codec.encode_whole(PAGE), TOLD, _told(LATER, ANCHOR), b"\x01" + zlib.compress(b"{}\n" + PAGE)]
HEAD = TOLD[: 1 + codec.ID_BYTES + codec.CHECKSUM_BYTES]


def _packed(data: bytes, at: int) -> bytes:
    """Parts that inflate well, so that what they hold is what is tried."""
    section, numbers = data[:at], data[at:]
    packed = deflate(section, SHARED.frame.example)
    return HEAD + b"\x01" + bytes([len(packed) & 0x7F]) + packed + deflate(numbers)


def blob_of(data: bytes) -> tuple[bytes, int]:
    """The first byte says how the rest is to be a blob, and which frame it is told from."""
    kind, rest = (data[0], data[1:]) if data else (0, b"")
    frame = kind % len(FRAMES)
    match kind // len(FRAMES) % 5:
        case 0:
            return rest, frame
        case 1:
            return _packed(rest, len(rest) // 2), 1
        case 2:
            return HEAD + b"\x00" + deflate(rest), 1
        case 3:
            return HEAD + b"\x20" + tighten(rest), 1
        case _:
            return b"\x02" + zlib.compress(rest), 0


def check(data: bytes) -> bool:
    """Say whether it was a page."""
    blob, frame = blob_of(data)
    try:
        codec.anchor_of(blob)
        codec.shared_by(blob)
        lines, next_frame = codec.decode(blob, FRAMES[frame])
    except UnreadableError as error:
        assert len(str(error)) < 300, "an error that quotes what was read"  # noqa: PT017
        return False
    page = lines.page()
    assert len(page) <= MOST_PAGE_BYTES
    assert len(lines.values) == len(next_frame.values) == len(next_frame.counts_on)
    return True


def _damaged(blob: bytes, at: int, new: bytes, kind: int) -> bytes:
    at %= len(blob)
    return bytes([kind]) + blob[:at] + new + blob[at + len(new) :]


DAMAGED = st.builds(
    _damaged, st.sampled_from(WRITTEN), st.integers(0, 500), st.binary(max_size=4), st.integers(0, 2)
) | st.binary(max_size=60)
