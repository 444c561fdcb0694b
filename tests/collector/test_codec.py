"""A page in few bytes is the same page."""

import random
import re
import zlib
from itertools import count

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from collector import codec
from collector.codec import Anchor, UnreadableError
from collector.exposition import parse
from collector.frames import NOTHING
from collector.lines import Lines, usual_spelling
from support import PAGES, SHARED, needs_shared

RECORDED = sorted(PAGES.glob("*.prom"))
EXTRA = sorted((SHARED / "expositions").glob("**/*.prom"))
SERVER = "sglang-0.5.23-{}.prom"
LIFE = ["idle", "load", "load-later", "after-load", "idle-1", "ok-1", "stalled-5s", "restart-fresh", "restart-loaded"]
MINUTE_MS = 60_000
SLOT_MS = 1_795_489_200_000
EXPIRES_AT = SLOT_MS // 1000 + 30 * 86_400


class Server:
    """Keeps pages as the store does, and holds each against what was put in."""

    def __init__(self):
        self.shared = {}
        self.anchor = None
        self.slots = count(SLOT_MS, MINUTE_MS)

    def keep(self, page):
        """The blob."""
        slot_ms = next(self.slots)
        blob, is_anchor = codec.encode(
            Lines.of(page), slot_ms, EXPIRES_AT, self.anchor, self.shared.values(), 800, self.put
        )
        name = codec.anchor_of(blob)
        shared_by = codec.shared_by(blob)
        shared = shared_by and self.shared[shared_by.id]
        assert is_anchor == (name is None)
        frame = self.anchor.frame if name else shared.frame
        lines, as_frame = codec.decode(blob, frame)
        assert lines.page() == page
        if is_anchor:
            checksum = codec.checksum(blob)
            size = len(blob) + 1000 * (checksum % 2)  # half of them are as an old server's
            self.anchor = Anchor(slot_ms, EXPIRES_AT + 7200, checksum, size, as_frame, shared)
        else:
            assert name == (self.anchor.slot_ms, self.anchor.checksum)
        return blob

    def put(self, shared):
        return self.shared.setdefault(shared.name.id, codec.read_shared(shared.text))


def recorded(name):
    return (PAGES / SERVER.format(name)).read_bytes()


def restarted(page, pid):
    return page.replace(b'pid="', b'pid="%d' % pid)


def shuffled(page, seed):
    """The families in another order."""
    families = (b"\n" + page.strip()).split(b"\n# HELP ")
    random.Random(seed).shuffle(families)
    return b"".join(b"# HELP " + family.strip(b"\n") + b"\n" for family in families if family)


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
def test_a_recorded_page_comes_back_alone_and_beside_itself(path):
    server = Server()
    page = path.read_bytes()
    server.keep(page)
    assert len(server.keep(page)) < 50


@needs_shared
@pytest.mark.parametrize("path", EXTRA, ids=lambda path: path.stem)
def test_an_extra_page_comes_back_sample_by_sample(path):
    page = path.read_bytes()
    blob, _ = codec.encode(Lines.of(page), SLOT_MS, EXPIRES_AT, None, [], 800, lambda shared: shared)
    lines, _ = codec.decode(blob, codec.shared_lines(Lines.of(page).heads).frame)
    assert lines.page() == page
    assert [repr(sample) for sample in parse(lines.page()).samples] == [repr(sample) for sample in parse(page).samples]


def test_a_life_of_a_server_comes_back_and_takes_few_bytes():
    server = Server()
    sizes = [len(server.keep(recorded(name))) for name in LIFE]
    # A first load brings hundreds of series: they are told in full once, within the hour.
    assert max(sizes) < 4 * 1024
    # What is told from them, over two restarts too, takes less than in bytes of differences: 449 to 756.
    assert max(sizes[3:]) <= 613
    assert len(server.shared) == 1


def histograms(*counts):
    lines = []
    for name, observed in zip("ab", map(usual_spelling, counts), strict=True):
        lines += [f'{name}_bucket{{le="{bound}"}} {observed}\n' for bound in ("1.0", "+Inf")]
        lines.append(f"{name}_count {observed}\n")
    return "".join(lines).encode()


@pytest.mark.parametrize(
    ("grown", "form"), [pytest.param(3.0, 5, id="twice"), pytest.param(2097153.0, 4, id="two-million-times")]
)
def test_a_number_further_off_than_any_code_tells_is_told_by_its_difference(grown, form):
    server = Server()
    server.keep(histograms(1.0, 140737488351233.0))
    server.anchor = server.anchor._replace(size=10_000)  # an old server's
    assert server.keep(histograms(grown, 140737488351234.0))[0] == form


@pytest.mark.parametrize("other", [restarted(recorded("ok-2"), 7), shuffled(recorded("ok-2"), 1)], ids=["pid", "order"])
def test_servers_whose_process_or_order_is_another_share_their_lines(other):
    one, another = Server(), Server()
    another.shared = one.shared
    one.keep(recorded("ok-1"))
    another.keep(other)
    assert len(one.shared) == 1


def test_lines_are_the_same_whatever_their_order():
    assert (
        codec.shared_lines(Lines.of(recorded("ok-1")).heads).name.id
        == codec.shared_lines(Lines.of(shuffled(recorded("ok-1"), 3)).heads).name.id
    )


def test_paths_that_nobody_knows_make_no_shared_lines():
    server = Server()
    for number in range(100):
        line = b'sglang:http_requests_total{endpoint="/%d",method="GET"} 1.0\n' % number
        server.keep(recorded("ok-1") + b"".join([line] * (number + 1)))
    assert len(server.shared) == 1


def test_shared_lines_are_made_anew_at_most_once_an_hour_however_a_page_changes():
    server = Server()
    for number in range(240):
        noise = b"".join(b'x{request="%d-%d"} 1.0\n' % (number, line) for line in range(100))
        server.keep(recorded("ok-1") + noise)
    assert len(server.shared) <= 5


def test_an_anchor_serves_an_hour():
    server = Server()
    anchors = set()
    for number in range(200):
        server.keep(recorded("ok-1" if number % 2 else "ok-2"))
        anchors.add(server.anchor.slot_ms)
    assert [slot_ms - SLOT_MS for slot_ms in sorted(anchors)] == [0, 3_600_000, 7_200_000, 10_800_000]


def test_what_would_outlast_its_anchor_gets_another():
    server = Server()
    server.keep(recorded("ok-1"))
    lines = Lines.of(recorded("ok-1"))
    later = server.anchor.expires_at + 1
    assert codec.encode(lines, SLOT_MS + 1, later, server.anchor, [], 800, server.put)[1]


@settings(max_examples=60)
@given(
    st.sampled_from(LIFE),
    st.sampled_from(LIFE),
    st.lists(
        st.tuples(st.integers(0, 900), st.sampled_from(["drop", "double", "value", "text"]), st.integers()), max_size=8
    ),
    st.integers(0, 5),
)
def test_any_page_comes_back_beside_any_other(before, after, changes, seed):
    lines = (shuffled(recorded(after), seed) if seed else recorded(after)).split(b"\n")
    for place, change, number in changes:
        place %= len(lines)
        head = lines[place].rpartition(b" ")[0]
        lines[place] = {
            "drop": b"",
            "double": lines[place] + b"\n" + lines[place],
            "value": head + b" %d" % number,
            "text": b"x%d \xff \n" % number,
        }[change]
    server = Server()
    server.keep(recorded(before))
    server.keep(b"\n".join(lines))


@given(st.lists(st.text(alphabet='ab {}=",\n#.01eN+-', max_size=60).map(str.encode), min_size=1, max_size=4))
@example([b"", b"", b"\n", b"a", b"# HELP a b\n", b"a 1\n" * 5])
def test_texts_of_any_kind_come_back(pages):
    server = Server()
    for page in pages:
        server.keep(page)


# What cannot be read


def blobs():
    """A page in each form, and what it is told from."""
    server = Server()
    page = recorded("ok-1")
    shared = server.keep(page)
    risen = server.keep(recorded("ok-2"))
    unlike = re.sub(rb"(_bucket\{[^}]*\}) [0-9.]+", rb"\1 0.5", page, count=1)
    anchored = server.keep(unlike)
    of_shared = server.shared[codec.shared_by(shared).id].frame
    old = b"\x01" + zlib.compress(b'{"instance_id": "sglang-001"}\n' + page)
    return [
        pytest.param(old, NOTHING, page, id="1-before"),
        pytest.param(codec.encode_whole(page), NOTHING, page, id="2-whole"),
        pytest.param(shared, of_shared, page, id="3-shared"),
        pytest.param(anchored, server.anchor.frame, unlike, id="4-anchored"),
        pytest.param(risen, server.anchor.frame, recorded("ok-2"), id="5-risen"),
    ]


@pytest.mark.parametrize(("blob", "frame", "page"), blobs())
def test_every_form_is_read(blob, frame, page):
    assert codec.decode(blob, frame)[0].page() == page


def test_every_form_is_tried_here():
    assert {blob.values[0][:1] for blob in blobs()} == codec.FORMS


@pytest.mark.parametrize("blob", [b"", b"\x00", b"\x06abc", b"\xff"], ids=["empty", "zero", "later-release", "last"])
def test_a_form_that_is_not_known_is_said(blob):
    with pytest.raises(UnreadableError, match=r"its form, (none|00|06|ff), is not one that this release reads"):
        codec.anchor_of(blob)


@pytest.mark.parametrize(("blob", "frame", "page"), blobs())
@settings(max_examples=150)
@given(data=st.data())
def test_a_blob_that_was_cut_or_changed_is_an_error_or_a_page(blob, frame, page, data):
    at = data.draw(st.integers(1, len(blob) - 1))
    if data.draw(st.booleans()):
        broken = blob[:at]
    else:
        broken = blob[:at] + bytes([blob[at] ^ data.draw(st.integers(1, 255))]) + blob[at + 1 :]
    try:
        codec.anchor_of(broken)
        codec.decode(broken, frame)[0].page()
    except UnreadableError:
        pass


def test_what_is_blown_up_is_not_read():
    bomb = b"\x02" + zlib.compress(b"\x00" * (65 * 1024 * 1024), 9)
    with pytest.raises(UnreadableError, match="too long"):
        codec.decode(bomb, NOTHING)
