"""What was stored stays readable; what was cut, or made to do harm, is an error at once."""

import zlib
from base64 import b85decode

import pytest

from collector import codec
from collector.bytewise import TIGHT
from collector.codec import Anchor, UnreadableError
from collector.frames import NOTHING
from collector.lines import Lines
from collector.packing import deflate, tighten, unsigned, varints
from collector.telling import DIFFERS

PAGE = b"# TYPE a counter\n" + b"".join(b'a{b="%d"} %d.5\n' % (n, n) for n in range(30)) + b'h_bucket{le="1.0"} 3.0\n'
LATER = PAGE.replace(b"7.5", b"8.0") + b'http_requests_total{path="/x"} 1e0\n'
SHARED = codec.shared_lines(Lines.of(PAGE).heads)
FRAME = SHARED.frame


def tell(page, anchor, room):
    return codec.encode(Lines.of(page), 60_000, 1, anchor, [], room, lambda shared: shared)[0]


def anchor_of(blob):
    return Anchor(0, 1, codec.checksum(blob), len(blob), codec.decode(blob, FRAME)[1], SHARED)


TOLD = tell(PAGE, None, 800)
ANCHOR = anchor_of(TOLD)
START = TOLD[: 1 + codec.ID_BYTES + codec.CHECKSUM_BYTES]
ROUGH = b"".join(b'a{b="%d"} %d.0\n' % (n, n % 7 * 100 + n) for n in range(200))
ROUGH_FRAME = codec.shared_lines(Lines.of(ROUGH).heads).frame
HISTOGRAM = (
    b"# TYPE h histogram\n"
    + b"".join(b'h_bucket{r="0",le="%d.0"} %d.0\n' % (n, n * n * 3) for n in range(1, 20))
    + b'h_bucket{r="0",le="+Inf"} 1100.0\nh_count{r="0"} 1100.0\nh_sum 7654.321\nrequests_total 1100.0\nrunning 3.0\n'
)
HISTOGRAM_LATER = (
    b"# TYPE h histogram\n"
    + b"".join(b'h_bucket{r="0",le="%d.0"} %d.0\n' % (n, n * n * 3 + n * n // 5) for n in range(1, 20))
    + b'h_bucket{r="0",le="+Inf"} 1175.0\nh_count{r="0"} 1175.0\nh_sum 8154.25\nrequests_total 1175.0\nrunning 0.5\n'
)
OF_HISTOGRAM = codec.shared_lines(Lines.of(HISTOGRAM).heads)
HISTOGRAM_TOLD = tell(HISTOGRAM, None, 800)
OLD_BYTES = 2000  # its pages are told by how far numbers are from where they were expected
HISTOGRAM_ANCHOR = Anchor(
    0, 1, codec.checksum(HISTOGRAM_TOLD), OLD_BYTES, codec.decode(HISTOGRAM_TOLD, OF_HISTOGRAM.frame)[1], OF_HISTOGRAM
)
# A byte more than there is room for, and LZMA saves that.
ROUGH_TOLD = tell(ROUGH, None, len(tell(ROUGH, None, 800)) - 1)
# As they were written when the forms were made, in base 85. They are never to be changed.
PINNED = [
    (
        b"0eGB6(Yp%5P!NRSK2LGbK4d0|m%`HC!p2IX1O!DvOcnC(?nKU5{?&fWj#IHr$J1e-x^#UF&rkm@y797GREsH9W%~<6AO|Cuq"
        b"mHO^G!adXHloe3idf}XN33&fA~rd;5nCS>0e{1cumWPh4hRBEAPQ`OFt7&Vz#a$$iy#tgf>5xEQqd|(#s4<*I95?AT1Ba76{"
        b"Vt8l!{hSDq2OUXceWRRJZeGxZeBE_~-*$R`Wxu;tLUVbff"
    ),
    (
        b"0(hK7(Yp%5P!NRSK2LGbUNU1YT3Fg!*jP!FfS@QyQU%}LoyZx>zuJ%4WjdY?`_!fDYkUs<yXdCNZc#2isa(~+Km>9yf;rX^>"
        b"l{@?m7|WRb2Jf6jy9srv5DB^*hXx9R0RADGr|gp0XrZFEP*Jn1;W4@hy!~d5G;a7un9uJDoRDGC>8(P%;Q)^sc03YqE(cNR#"
        b"7TiMX6{NrJ_}oic;Oqm+^Y<hw0G=c2&*~DT^;PGjpN"
    ),
    (b"1L2O6P$GjQr2b}p*#eVepa3vaqM3f60R=qx!NMaXCMBn+tg5c5t*dWfXk=_+YG!U>X=QC=Yj5v>2LJ#"),
    (
        b"1J<j2?zk_183r=9V=4duVuxUS+N`1~6YULP9@vcnZQHE&l<&JgYD!Bhpkdb0YzBYUFv8w9tP(3nNsLw%E4$-`%h%?V_*w-Scu"
        b"*<+elUX*6_*VGE4`dhS~yY=3vTnbd83CjmjK#RwZOw?{v3a*%UWLiR&@itnv63yC;s0-(2|;Zr2ZN8w^FEdQ@Qng2B(4GnGXN"
        b"4M4CT1M7quKWCRX)+%XqhHXApbu!{x20c(e;_P2Z`g(k~d&#kQYzCs8dIxd{Wg02W_ge1*qJMff@+V%CyKmYcJNB{"
    ),
    (b"1ONa40001pr0i$|8e?K$P+(+WV3fyJmlPzHWB|>q0NHPtY5)LZX6NK&fB+5#7!ZQ9WEh4q000"),
    b"1poj50001pr0i$|8e?K$P+(+WV3fyJmlPzHWB|>q0NHPtY5)KrfkKK1mI+!8cm",
    b"1poj50001wL4j8SL5Kvr55I1gjZfk!pcD`P|NsC0{`OPvsPzB",
]
FORMS = [
    pytest.param(b"\x01" + zlib.compress(b"{}\n" + PAGE), NOTHING, PAGE, id="1-before"),
    pytest.param(codec.encode_whole(PAGE), NOTHING, PAGE, id="2-whole"),
    pytest.param(TOLD, FRAME, PAGE, id="3-shared"),
    pytest.param(ROUGH_TOLD, ROUGH_FRAME, ROUGH, id="3-shared-tight"),
    pytest.param(b85decode(PINNED[4]), ANCHOR.frame, LATER, id="4-anchored"),
    pytest.param(tell(LATER, ANCHOR, 800), ANCHOR.frame, LATER, id="5-risen"),
    pytest.param(tell(HISTOGRAM_LATER, HISTOGRAM_ANCHOR, 800), HISTOGRAM_ANCHOR.frame, HISTOGRAM_LATER, id="5-buckets"),
]


@pytest.mark.parametrize(
    ("pinned", "frame", "page"),
    [pytest.param(blob, *form.values[1:], id=form.id) for blob, form in zip(PINNED, FORMS, strict=True)],
)
def test_what_was_stored_is_still_read(pinned, frame, page):
    assert codec.decode(b85decode(pinned), frame)[0].page() == page


def test_tight_numbers_are_among_the_forms():
    assert ROUGH_TOLD[len(START)] & TIGHT


@pytest.mark.parametrize(("blob", "frame", "page"), FORMS)
def test_a_blob_that_was_cut_anywhere_is_an_error(blob, frame, page):
    assert codec.decode(blob, frame)[0].page() == page
    for length in range(1, len(blob)):
        with pytest.raises(UnreadableError):
            codec.decode(blob[:length], frame)


@pytest.mark.parametrize(("blob", "frame", "page"), FORMS)
def test_a_blob_that_goes_on_after_its_end_is_an_error(blob, frame, page):
    with pytest.raises(UnreadableError):
        codec.decode(blob + b"x", frame)


LINES = len(FRAME.heads.lines)
BACK = unsigned(-LINES)


def differing(*numbers, text=b""):
    """A page whose lines differ so."""
    return differing_by(varints(numbers) + text)


def differing_by(section):
    differences = deflate(section, FRAME.example)
    return START + bytes([DIFFERS]) + varints([len(differences)]) + differences + deflate(b"\x00")


HUGE = 10**12
HARMFUL = [
    pytest.param(differing(HUGE), "too many runs", id="runs"),
    pytest.param(differing(1, 0, 0, HUGE, 0), "a run of lines that are not there", id="long-run"),
    pytest.param(differing(1, 0, unsigned(-5), 3, 0), "a run of lines that are not there", id="run-before-the-first"),
    pytest.param(differing(1, 0, unsigned(HUGE), 0, 0), "a run of lines that are not there", id="run-behind-the-last"),
    pytest.param(differing(1, HUGE, 0, 0, 0), "too many lines", id="new-lines"),
    pytest.param(differing(1, 3, 0, 0, 0, text=b"a\nb"), "2 texts for 3", id="missing-lines"),
    pytest.param(differing(1, 1, 0, 0, 0, text=b"a\nb"), "2 texts for 1", id="lines-left-over"),
    pytest.param(differing(0, HUGE), "too many odd numbers", id="odd-numbers"),
    pytest.param(differing(50_000, *[0, 0, LINES, *[0, BACK, LINES] * 49_999], 0), "too many lines", id="repeated"),
    pytest.param(differing_by(b"\xff" * 1_000_000), "a number is too large", id="number-without-end"),
    pytest.param(START + b"\x01" + b"\xff" * 1_000_000, "a number is too large", id="length-without-end"),
    pytest.param(START + b"\x00" + deflate(varints([HUGE])), "too many fractions", id="fractions"),
    pytest.param(START + b"\x00" + deflate(b"\x00" * 17_000_000), "it is too long", id="blown-up"),
    pytest.param(START + bytes([TIGHT]) + tighten(b"\x00" * 17_000_000), "it is too long", id="blown-up-tight"),
]


@pytest.mark.parametrize(("blob", "words"), HARMFUL)
def test_a_blob_that_asks_for_more_than_a_page_is_refused(blob, words):
    with pytest.raises(UnreadableError, match=words):
        codec.decode(blob, FRAME)


def test_a_long_line_told_again_and_again_is_refused():
    frame = codec.read_shared(b"x" * 1_000_000).frame
    differences = deflate(varints([3, 0, 0, 1, *[0, unsigned(-1), 1] * 2, 0]), frame.example)
    blob = START + bytes([DIFFERS]) + varints([len(differences)]) + differences + deflate(b"\x00")
    with pytest.raises(UnreadableError, match="its lines are longer than a page"):
        codec.decode(blob, frame)
