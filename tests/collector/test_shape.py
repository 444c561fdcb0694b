"""A page says the same however it is read: in pieces, after other pages, in many threads, or line by line."""

from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pages import RECORDED, facts

from collector import columns, shape
from collector.errors import ExpositionError
from collector.exposition import parse
from collector.grammar import OPENMETRICS, TEXT, LineError, OpenMetricsFound, read_comment, read_sample
from support import SHARED

HISTOGRAM = """\
# TYPE ttft histogram
ttft_sum{engine="unified",model="m"} 2.5
ttft_bucket{engine="unified",le="0.1",model="m"} 1.0
ttft_bucket{engine="unified",le="1",model="m"} 2.0
ttft_bucket{engine="unified",le="+Inf",model="m"} 3.0
ttft_count{engine="unified",model="m"} 3.0
"""


@pytest.fixture(autouse=True)
def _nothing_kept():
    shape.forget()


def by_the_grammar(page):
    """The slow way: every line by itself."""
    text = page.decode("utf-8", "surrogateescape")
    form = OPENMETRICS if text.endswith(("\n# EOF\n", "\n# EOF")) or text in ("# EOF\n", "# EOF") else TEXT
    try:
        return _by_the_grammar(text, form)
    except OpenMetricsFound:
        return _by_the_grammar(text, OPENMETRICS, ended=False)


def _by_the_grammar(text, form, ended=True):
    if form is OPENMETRICS and ended:
        text = text.removesuffix("\n").removesuffix("# EOF")
    samples, bad = [], []
    for number, line in enumerate(text.removesuffix("\n").split("\n") if text else (), 1):
        try:
            start = line.lstrip(" \t")[:1]
            if start == "#":
                read_comment(line, form)
            elif start or form.strict:
                samples.append(read_sample(line, form))
        except LineError as error:
            bad.append((number, str(error)))
    return [(s.name, s.labels, repr(s.value), s.timestamp_ms) for s in samples], bad


def as_by_the_grammar(page):
    exposition = parse(page)
    samples = [(s.name, s.labels, repr(s.value), s.timestamp_ms) for s in exposition.samples]
    return samples, [(bad.number, bad.reason) for bad in exposition.bad_lines]


LINES = st.sampled_from(
    [
        *HISTOGRAM.encode().splitlines(),
        b'ttft_bucket{engine="unified",le="0.1",model="n"} 1.0',
        b'ttft_bucket{le="0.1",engine="unified"} 1.0',
        b'ttft_bucket{engine="x\\"",le="0.1"} 1',
        b'ttft_bucket{engine="x", le="0.1"} 1',
        b"# TYPE up gauge",
        b"# TYPE up counter",
        b"# HELP up U.",
        b"# HELP other O.",
        b"# a note",
        b"",
        b"up 1",
        b"up NaN",
        b"up +Inf",
        b"up 1 2",
        b"up{} 5",
        b'{"up"} 5',
        b"5",
        b"# EOF",
    ]
)
CUTS = st.tuples(
    st.integers(0, 600), st.integers(0, 3), st.sampled_from([b"", b'"', b"}", b"} ", b" ", b"\\", b"5", b"\xff", b"\n"])
)


@settings(max_examples=300)
@given(st.lists(LINES, max_size=12), st.lists(st.lists(CUTS, max_size=2), max_size=4))
def test_pages_are_read_as_the_grammar_reads_them_one_after_the_other(lines, edits):
    shape.forget()
    page = b"".join(line + b"\n" for line in lines)
    pages = [page, page]
    for cuts in edits:
        edited = page
        for start, length, put in cuts:
            edited = edited[:start] + put + edited[start + length :]
        pages += [edited, edited, page]
    for page in pages:
        samples, bad = by_the_grammar(page)
        if len(bad) > len(samples):
            with pytest.raises(ExpositionError):
                parse(page)
        else:
            assert as_by_the_grammar(page) == (samples, bad[: columns.BAD_LINES_KEPT])


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
def test_a_recorded_page_is_read_the_same_at_first_and_later_and_in_pieces(path, monkeypatch):
    page = path.read_bytes()
    first = facts(page)
    assert as_by_the_grammar(page) == by_the_grammar(page)
    assert facts(page) == first
    monkeypatch.setattr(shape, "PIECE_BYTES", 1000)
    assert facts(page) == first
    shape.forget()
    assert facts(page) == first
    assert facts(page) == first


@pytest.mark.parametrize(
    ("before", "after"), [*pairwise(RECORDED), *pairwise(RECORDED[::-1])], ids=lambda path: path.stem
)
def test_a_page_is_read_the_same_after_another(before, after):
    page = after.read_bytes()
    alone = facts(page)
    shape.forget()
    parse(before.read_bytes())
    assert facts(page) == alone
    assert facts(page) == alone


def test_series_that_come_and_go_and_families_that_move_are_read_right():
    families = [f'# HELP {name} H.\n# TYPE {name} gauge\n{name}{{a="1"}} 1\n{name}{{a="2"}} 2\n' for name in "abcdefgh"]
    pages = [
        families,
        [family.replace('{a="2"} 2', '{a="2"} 3') for family in families],
        [*families[:3], 'x{a="1"} 7\n', *families[3:]],
        [families[0].replace("gauge\n", 'gauge\na{a="0"} 0\n'), *families[1:]],
        families[1:],
        families[::-1],
        [*families[:4], families[4].replace("gauge", "counter"), *families[5:]],
        [*families, *families[:2]],
        families,
    ]
    for page in pages:
        text = "".join(page)
        with_others = facts(text)
        kept, usual = dict(shape._shapes), dict(shape._usual)
        shape.forget()
        assert facts(text) == with_others
        shape._shapes.update(kept)
        shape._usual.update(usual)


def test_pages_of_servers_that_begin_alike_are_each_compared_with_their_own():
    servers = ["".join(f"{name} 1\n" for name in ("a", *names)) for names in ("b", "bc", "bcd", "bxy")]
    layouts = [[parse(page).layout for page in servers] for _ in range(3)]
    assert layouts[0] == layouts[1] == layouts[2]
    assert len({id(layout) for layout in layouts[0]}) == len(servers)


def test_a_server_whose_lines_have_changed_much_is_compared_with_what_it_is_now():
    old = "".join(f"a{index} 1\n" for index in range(20))
    new = "a0 1\n" + "".join(f"b{index} 1\n" for index in range(20))
    for page in (old, new, new, new):
        assert len(parse(page).samples) == page.count("\n")
    (usual,) = shape._usual.values()
    assert usual.layout.series[1][0] == "b0"


def test_what_is_kept_is_capped(monkeypatch):
    monkeypatch.setattr(shape, "SHAPES_KEPT", 5)
    for index in range(8):
        parse(f"a{index} 1\n")
    beginnings = [f"a{index} ".encode() for index in range(3, 8)]
    assert [beginning for (_, beginning), *_ in shape._shapes] == beginnings
    assert [beginning for _, beginning in shape._usual] == beginnings
    monkeypatch.setattr(shape, "KEPT_BYTES", 15)
    parse("b0 1\n")
    assert len(shape._shapes) == 3


@pytest.mark.parametrize(
    "page",
    [
        pytest.param("a 1\n" * (shape.KEPT_LINES_PER_PAGE + 1), id="many-lines"),
        pytest.param(f'a{{b="{"x" * shape.KEPT_BYTES_PER_PAGE}"}} 1\n', id="many-bytes"),
        pytest.param("".join(f'a{{b="{n}"}} 1\n' for n in range(shape.KEPT_LINES_PER_PAGE + 1)), id="many-labels"),
        pytest.param("a 1\nb\n", id="bad-line"),
        pytest.param("a 1 5\n", id="timestamp"),
        pytest.param("# a note\n", id="no-samples"),
    ],
)
def test_a_page_that_is_large_or_not_plain_is_not_kept(page):
    assert facts(page) == facts(page)
    assert not shape._shapes


def test_threads_read_what_one_reads_alone():
    pages = [path.read_bytes() for path in RECORDED] * 8
    alone = {page: facts(page) for page in pages}
    shape.forget()
    with ThreadPoolExecutor(64) as pool:
        assert list(pool.map(facts, pages)) == [alone[page] for page in pages]


def test_a_page_keeps_one_object_for_equal_labels_also_where_it_has_new_lines():
    parse(HISTOGRAM)
    page = HISTOGRAM.replace("ttft_count", 'ttft_bucket{engine="unified",le="9.0",model="m"} 1\nttft_count')
    assert len({id(sample.base_labels) for sample in parse(page).samples}) == 1


@pytest.mark.skipif(not (SHARED / "expositions").is_dir(), reason="the extra pages are not beside the repository")
def test_the_extra_pages_are_read_whole():
    for path in sorted((SHARED / "expositions").rglob("*.prom")):
        page = path.read_bytes()
        assert parse(page).bad_line_count == 0, path.name
        assert as_by_the_grammar(page) == by_the_grammar(page), path.name


def test_pages_with_the_same_lines_share_a_layout():
    layouts = [parse(f"# TYPE a gauge\na {value}\nb {value}\n").layout for value in (1, 2, 3)]
    assert layouts[0] is layouts[1] is layouts[2]


@pytest.mark.parametrize(
    "other",
    [
        pytest.param("# TYPE a gauge\na 1\n# TYPE b gauge\nb 1\n# TYPE a gauge\na 1\n", id="a-family-twice"),
        pytest.param("# TYPE b gauge\nb 1\n# TYPE a gauge\na 1\n# TYPE c gauge\nc 1\n", id="another-order"),
        pytest.param("# TYPE a gauge\na 1\n# TYPE b gauge\nb 1\n", id="a-family-gone"),
        pytest.param("# TYPE a gauge\na 1\n# TYPE b gauge\nb 1\n# TYPE c gauge\nd 1\n", id="another-name"),
    ],
)
def test_a_page_with_other_lines_has_a_layout_of_its_own(other):
    page = "# TYPE a gauge\na 1\n# TYPE b gauge\nb 1\n# TYPE c gauge\nc 1\n"
    first, second = parse(page), parse(other)
    assert second.layout is not first.layout
    assert [series[0] for series in second.layout.series] == [sample.name for sample in second.samples]
