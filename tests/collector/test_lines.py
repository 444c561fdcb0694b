"""Any text at all is taken apart and put together again."""

import struct

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from prometheus_client.utils import floatToGoString

from collector.exposition import parse
from collector.lines import Lines, bare_spelling, usual_spelling
from support import PAGES, SHARED, needs_shared

RECORDED = sorted(PAGES.glob("*.prom"))
EXTRA = sorted((SHARED / "expositions").glob("**/*.prom"))
NUMBERS = ["0", "-0.0", "1.0", "1e3", "1_0", "+Inf", "-Inf", "NaN", "nan", "inf", "1e-320", "0.1", "0.10", "00.5", ""]
NUMBERS += [
    "12345678.0",
    "1.2345678e+07",
    "9007199254740993",
    "3.0000000000000004",
    "1.0 1700000000000",
    '1.0 # {a="b"} 2',
]
PARTS = [*NUMBERS, " ", "\n", "\r\n", "\r", "\x85", "\x00", "a", 'a{b="c d"}', "# HELP a b", "#", "é", "$", "!"]


def floats():
    return st.integers(0, 2**64 - 1).map(lambda bits: struct.unpack("<d", bits.to_bytes(8, "little"))[0])


@given(st.binary())
@example(b"\xff\xfe \n")
@example(b"")
@example(b"\n")
@example(b" ")
def test_any_bytes_come_back(page):
    assert Lines.of(page).page() == page


@given(st.lists(st.sampled_from(PARTS), max_size=30).map("".join))
def test_pages_of_any_spelling_come_back(text):
    page = text.encode()
    assert Lines.of(page).page() == page


@given(
    st.lists(
        st.tuples(st.sampled_from(["a ", 'b{c="d"} ']), floats(), st.sampled_from([usual_spelling, bare_spelling]))
    )
)
def test_numbers_come_back_bit_by_bit(lines):
    page = "".join(f"{head}{spell(value)}\n" for head, value, spell in lines).encode()
    taken = Lines.of(page)
    assert taken.page() == page
    again = [float(number.rpartition(" ")[2]) for number in page.decode().split("\n")[:-1]]
    told = [value if place not in taken.odd else float(taken.odd[place]) for place, value in enumerate(taken.values)]
    assert struct.pack(f"{len(told)}d", *told) == struct.pack(f"{len(again)}d", *again)


@given(floats())
@example(1e6)
@example(999999.9999999999)
@example(123456789.0)
@example(1e16)
@example(5e-324)
def test_numbers_are_spelled_as_the_python_library_spells_them(value):
    assert usual_spelling(value) == floatToGoString(value)


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
def test_a_recorded_page_comes_back_with_no_number_spelled_oddly(path):
    page = path.read_bytes()
    lines = Lines.of(page)
    assert lines.page() == page
    assert len(lines.odd) <= 1


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
def test_a_page_that_was_parsed_is_taken_apart_alike(path):
    page = path.read_bytes()
    for _ in range(2):  # the second time its lines are known
        assert repr(parse(page).lines(page)) == repr(Lines.of(page))


@needs_shared
@pytest.mark.parametrize("path", EXTRA, ids=lambda path: path.stem)
def test_an_extra_page_comes_back(path):
    page = path.read_bytes()
    assert Lines.of(page).page() == page
    assert parse(page).lines(page).page() == page


def test_a_page_of_other_spellings_is_taken_apart_although_its_lines_are_known():
    first, then = b"a 1.0\nb 2.0\n", b"a 1e0\nb -0.0\n"
    parse(first)
    lines = parse(then).lines(then)
    assert (lines.page(), dict(lines.odd)) == (then, {0: "1e0", 1: "-0.0"})
