"""What a page says, line by line."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pages import RECORDED, facts
from prometheus_client.parser import text_string_to_metric_families

from collector import columns, shape
from collector.errors import ExpositionError
from collector.exposition import parse
from collector.grammar import normal


@pytest.fixture(autouse=True)
def _nothing_kept():
    shape.forget()


def only_sample(line):
    (sample,) = parse(f"{line}\n").samples
    return sample


# Lines, in the text format


@pytest.mark.parametrize(
    ("line", "name", "labels"),
    [
        pytest.param("up 1", "up", {}, id="no-labels"),
        pytest.param("up{} 1", "up", {}, id="empty-braces"),
        pytest.param("sglang:num_running_reqs 1", "sglang:num_running_reqs", {}, id="colon"),
        pytest.param('up{job="api"} 1', "up", {"job": "api"}, id="one-label"),
        pytest.param('up{b="2",a="1"} 1', "up", {"a": "1", "b": "2"}, id="any-order"),
        pytest.param('up{job="api",} 1', "up", {"job": "api"}, id="trailing-comma"),
        pytest.param('up{job=""} 1', "up", {"job": ""}, id="empty-value"),
        pytest.param('up\t{ job\t= "api" , zone = "b" }\t 1 ', "up", {"job": "api", "zone": "b"}, id="blanks-anywhere"),
        pytest.param('up{job="api"}1', "up", {"job": "api"}, id="no-blank-before-the-value"),
        pytest.param(r'up{path="a\\b\"c\nd"} 1', "up", {"path": 'a\\b"c\nd'}, id="escapes"),
        pytest.param(r'up{path="C:\temp"} 1', "up", {"path": r"C:\temp"}, id="other-escapes-stay"),
        pytest.param('up{path="} 2"} 1', "up", {"path": "} 2"}, id="brace-in-a-value"),
        pytest.param('up{path="a,le=b{c} # d"} 1', "up", {"path": "a,le=b{c} # d"}, id="signs-in-a-value"),
        pytest.param('up{model="模型"} 1', "up", {"model": "模型"}, id="another-script"),
        pytest.param('{"queue.length",job="api"} 1', "queue.length", {"job": "api"}, id="quoted-name"),
        pytest.param('{job="api", "queue.length"} 1', "queue.length", {"job": "api"}, id="quoted-name-last"),
        pytest.param('up{"job.name"="api"} 1', "up", {"job.name": "api"}, id="quoted-label"),
        pytest.param(r'{"a\"b\\c"} 1', 'a"b\\c', {}, id="escapes-in-a-name"),
        pytest.param('up{role="x",le="1"} 1', "up", {"role": "x", "le": "1"}, id="le-of-no-bucket"),
        pytest.param('up_bucket{le="5",zone="b"} 1', "up_bucket", {"le": "5.0", "zone": "b"}, id="bound"),
        pytest.param('up{quantile="1"} 1', "up", {"quantile": "1.0"}, id="quantile"),
    ],
)
def test_a_series_is_its_name_and_labels(line, name, labels):
    sample = only_sample(line)
    assert (sample.name, sample.labels, sample.value) == (name, labels, 1.0)


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("0", 0.0),
        ("-12.5", -12.5),
        ("+3", 3.0),
        (".5", 0.5),
        ("5.", 5.0),
        ("1e3", 1000.0),
        ("1.5E-07", 1.5e-07),
        ("007", 7.0),
        ("Inf", math.inf),
        ("+Inf", math.inf),
        ("-infinity", -math.inf),
        ("1e-999", 0.0),
    ],
)
def test_a_number_is_read_in_every_spelling(written, value):
    assert only_sample(f"up {written}").value == value


@pytest.mark.parametrize("written", ["NaN", "nan", "NAN"])
def test_not_a_number_is_a_value(written):
    assert math.isnan(only_sample(f"up {written}").value)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        pytest.param("up", "not a metric name|no value", id="no-value"),
        pytest.param('up{job="api"}', "no value", id="no-value-behind-labels"),
        pytest.param("up yes", "value is not a number", id="word-for-value"),
        pytest.param("up 1_000", "value is not a number", id="underscore"),
        pytest.param("up 0x10", "value is not a number", id="hexadecimal"),
        pytest.param("up 0x1p3", "value is not a number", id="hexadecimal-float"),
        pytest.param("up +NaN", "value is not a number", id="signed-nan"),
        pytest.param("up -NaN", "value is not a number", id="negative-nan"),
        pytest.param("up infinit", "value is not a number", id="half-infinity"),
        pytest.param("up 1,5", "value is not a number", id="comma"),
        pytest.param("up ١٢", "value is not a number", id="digits-of-another-script"),
        pytest.param("up 1\u00a0", "value is not a number", id="another-blank"),
        pytest.param("up 1\r", "value is not a number", id="carriage-return"),
        pytest.param("up 1.2.3", "value is not a number", id="two-points"),
        pytest.param("up .", "value is not a number", id="point-alone"),
        pytest.param("up 1e999", "value is out of range", id="overflow"),
        pytest.param(f"up {'9' * 400}", "value is out of range", id="overflow-in-digits"),
        pytest.param("up 1 2 3", "text after the value", id="three-numbers"),
        pytest.param("up 1 # note", "text after the value", id="comment-behind"),
        pytest.param("up 1 1.5", "timestamp is not a whole number", id="timestamp-with-a-fraction"),
        pytest.param("up 1 9223372036854775808", "timestamp is not a whole number", id="timestamp-of-65-bits"),
        pytest.param("up.time 1", "not a metric name", id="point-in-a-name"),
        pytest.param("1up 1", "not a metric name", id="digit-first"),
        pytest.param('up"x" 1', "not a metric name", id="quote-in-a-name"),
        pytest.param('{job="api"} 1', "no metric name", id="no-name"),
        pytest.param("} 1", "not a metric name", id="brace-first"),
        pytest.param("up} 1", "not a metric name", id="only-closed"),
        pytest.param("up{ 1", "not a label name", id="only-opened"),
        pytest.param('up{""="x"} 1', "not a label name", id="empty-label"),
        pytest.param('up{__name__="x"} 1', "not a label name", id="reserved-label"),
        pytest.param('up{a:b="x"} 1', "labels are not closed|no value", id="colon-in-a-label"),
        pytest.param('up{1a="x"} 1', "not a label name", id="digit-first-in-a-label"),
        pytest.param('up{a="x",,b="y"} 1', "not a label name", id="two-commas"),
        pytest.param('up{a="x",a="y"} 1', "label is repeated", id="same-label-twice"),
        pytest.param('up_bucket{le="1",le="2"} 1', "label is repeated", id="same-bound-twice"),
        pytest.param("up{job=api} 1", "label value is not quoted", id="bare-label"),
        pytest.param("up{job='api'} 1", "label value is not quoted", id="single-quotes"),
        pytest.param('up{job="api} 1', "label value is not quoted", id="open-quote"),
        pytest.param("up{job} 1", "label has no value", id="label-alone"),
        pytest.param('up{job="api" 1', "labels are not closed", id="open-brace"),
        pytest.param('up{a="x"b="y"} 1', "labels are not closed", id="no-comma"),
        pytest.param('up{a="x"y"} 1', "labels are not closed", id="quote-in-a-value"),
        pytest.param('up_bucket{a=",le="1"} y",b="2"} 1', "labels are not closed", id="bound-in-a-value"),
        pytest.param('up{"down"} 1', "two names", id="name-twice"),
        pytest.param('{"up","down"} 1', "two names", id="two-quoted-names"),
        pytest.param('{""} 1', "no metric name", id="empty-quoted-name"),
        pytest.param("# TYPE up thing", "not a type", id="unknown-type"),
        pytest.param("# TYPE up", "not a type", id="no-type"),
        pytest.param("# TYPE up.time gauge", "not a metric name", id="point-in-a-family"),
        pytest.param("# HELP 1 some", "not a metric name", id="help-of-no-name"),
    ],
)
def test_a_malformed_line_is_skipped_and_counted_with_its_number_and_reason(line, reason):
    exposition = parse(f"good 1\n{line}\ngood 2\n")
    assert [(sample.name, sample.value) for sample in exposition.samples] == [("good", 1.0), ("good", 2.0)]
    (bad,) = exposition.bad_lines
    assert (bad.number, bad.line) == (2, line[: columns.BAD_LINE_CHARACTERS])
    assert any(words in bad.reason for words in reason.split("|"))
    assert exposition.bad_line_count == 1
    with pytest.raises(ExpositionError, match=f"^line 1: {bad.reason}$"):
        parse(f"{line}\n")


@pytest.mark.parametrize(
    "line",
    [
        b'up{model="\xff"} 1',
        b"u\xffp 1",
        b"up 1\xff",
        b"# HELP up \xff",
        b"# TYPE up gauge\xff",
        b'up{model="\xed\xa0\x80"} 1',
    ],
)
def test_a_line_that_is_not_utf_8_is_bad_and_the_others_are_read(line):
    exposition = parse(b'good{model="a"} 1\n' + line + b'\ngood{model="\xc3\xa9"} 2\n')
    assert [sample.labels["model"] for sample in exposition.samples] == ["a", "é"]
    assert [bad.number for bad in exposition.bad_lines] == [2]


@pytest.mark.parametrize(
    "lines",
    [
        pytest.param("# just a note", id="note"),
        pytest.param("#", id="hash"),
        pytest.param("# HELP", id="help-alone"),
        pytest.param("# TYPE", id="type-alone"),
        pytest.param("# HELP up", id="help-without-text"),
        pytest.param("# HELPER up 1", id="another-word"),
        pytest.param("# UNIT up seconds", id="unit"),
        pytest.param("  #  HELP up Some \\n text.", id="blanks"),
        pytest.param("\n \t\n", id="blank-lines"),
        pytest.param("# HELP up Läuft.", id="another-script"),
        pytest.param('# HELP "queue.length" Quoted.', id="quoted"),
    ],
)
def test_what_is_no_sample_is_passed_over(lines):
    samples, _, bad_line_count, types = facts(f"{lines}\nup 1\n")
    assert (len(samples), bad_line_count, types) == (1, 0, {})


def test_a_timestamp_is_in_milliseconds():
    exposition = parse("a 1\nb 2 1700000000123\nc 3\nd 4 -5\ne 5\n")
    assert [sample.timestamp_ms for sample in exposition.samples] == [None, 1700000000123, None, -5, None]
    assert exposition.samples[1].timestamp_ms == 1700000000123
    assert exposition.samples[4].timestamp_ms is None


def test_blanks_before_a_bare_name_are_part_of_it_as_in_prometheus():
    assert [sample.name for sample in parse('\t up 1\n {"up"} 1\n').samples] == ["\t up", "up"]


# Types


@pytest.mark.parametrize(
    ("declared", "name", "kind"),
    [
        ("up gauge", "up", "gauge"),
        ("tokens_total counter", "tokens_total", "counter"),
        ("tokens counter", "tokens_total", "counter"),
        ("tokens counter", "tokens_created", "counter"),
        ("ttft histogram", "ttft_bucket", "histogram"),
        ("ttft histogram", "ttft_sum", "histogram"),
        ("ttft histogram", "ttft_count", "histogram"),
        ("ttft summary", "ttft", "summary"),
        ("ttft summary", "ttft_bucket", "untyped"),
        ("up gauge", "up_count", "untyped"),
        ("up untyped", "up", "untyped"),
        ("up gauge", "down", "untyped"),
    ],
)
def test_a_sample_has_the_type_of_its_family(declared, name, kind):
    exposition = parse(f"# TYPE {declared}\n{name} 1\n")
    assert exposition.samples[0].type == kind
    assert exposition.types == dict([declared.split()])


def test_help_and_type_may_come_in_any_order_and_spelling():
    page = (
        '# TYPE a gauge\n# HELP a A.\n#\tTYPE\tb\tcounter\n# HELP c C.\n# TYPE "d.e" gauge \n# TYPE c histogram\nc 1\n'
    )
    assert parse(page).types == {"a": "gauge", "b": "counter", "d.e": "gauge", "c": "histogram"}


# Buckets

HISTOGRAM = """\
# TYPE ttft histogram
ttft_sum{engine="unified",model="m"} 2.5
ttft_bucket{engine="unified",le="0.1",model="m"} 1.0
ttft_bucket{engine="unified",le="1",model="m"} 2.0
ttft_bucket{engine="unified",le="+Inf",model="m"} 3.0
ttft_count{engine="unified",model="m"} 3.0
"""


def test_the_buckets_of_a_run_share_their_base_labels_with_sum_and_count():
    first, *rest = parse(HISTOGRAM).samples
    assert [sample.le for sample in rest] == ["0.1", "1.0", "+Inf", None]
    assert all(sample.base_labels is first.base_labels for sample in rest)
    assert first.base_labels == {"engine": "unified", "model": "m"}
    assert rest[1].labels == {"engine": "unified", "model": "m", "le": "1.0"}


def test_buckets_without_other_labels_share_theirs_too():
    samples = parse('a_bucket{le="1.0"} 1\na_bucket{le="+Inf"} 2\na_count 2\n').samples
    assert [sample.labels for sample in samples] == [{"le": "1.0"}, {"le": "+Inf"}, {}]
    assert len({id(sample.base_labels) for sample in samples}) == 1


@pytest.mark.parametrize(
    ("bound", "normal"),
    [
        ("1", "1.0"),
        ("0", "0.0"),
        ("-0", "0.0"),
        ("-1", "-1.0"),
        ("0.10", "0.1"),
        ("00.5", "0.5"),
        ("5e-1", "0.5"),
        ("0.0001", "0.0001"),
        ("0.00001", "1e-05"),
        ("999999", "999999.0"),
        ("1000000", "1e+06"),
        ("1100000.0", "1.1e+06"),
        ("1.1e+06", "1.1e+06"),
        ("0.10000000000000001", "0.1"),
        ("0.0016200000000000001", "0.0016200000000000001"),
        ("Infinity", "+Inf"),
        ("-inf", "-Inf"),
        ("nan", "NaN"),
        ("", ""),
        ("low", "low"),
    ],
)
@pytest.mark.parametrize("place", ["first", "further"])
def test_a_bound_is_spelled_as_prometheus_spells_it(bound, normal, place):
    page = f'a_bucket{{le="{bound}"}} 1\n'
    if place == "further":
        page = 'a_bucket{le="0.25"} 1\n' + page
    assert parse(page).samples[-1].le == normal


@pytest.mark.parametrize(
    "line",
    [
        'a_bucket{x="1",le="0.5 7',
        'a_bucket{x="1",le="0.5" 7',
        'a_bucket{x="1",le="0.5"7',
        'a_bucket{x="1",le="0.5"} 7_0',
        'a_bucket{x="1",le="0.5"}',
        'a_bucket{x="1",le="0.5",x="2"} 7',
        'a_bucket{x="1",le=0.5} 7',
        "7",
        " 7",
        "NaN",
    ],
)
def test_a_malformed_line_among_buckets_is_bad_on_the_first_page_and_on_the_next(line):
    good = 'a_bucket{x="1",le="0.1"} 1\na_bucket{x="1",le="0.5"} 7\na_bucket{x="1",le="+Inf"} 9\n'
    lines = good.splitlines()
    page = "\n".join([lines[0], line, lines[2], ""])
    for _ in "first", "next":
        samples, bad_lines, _, _ = facts(page)
        assert [sample[1]["le"] for sample in samples] == ["0.1", "+Inf"]
        assert [bad.number for bad in bad_lines] == [2]
        parse(good)


def test_buckets_of_several_series_are_told_apart():
    page = "".join(
        f'a_bucket{{le="{bound}",rank="{rank}"}} {rank}{index}\n'
        for rank in (1, 2)
        for index, bound in enumerate(("0.5", "1.0", "+Inf"))
    )
    read = [(sample.base_labels["rank"], sample.le, sample.value) for sample in parse(page).samples]
    assert read == [
        ("1", "0.5", 10.0),
        ("1", "1.0", 11.0),
        ("1", "+Inf", 12.0),
        ("2", "0.5", 20.0),
        ("2", "1.0", 21.0),
        ("2", "+Inf", 22.0),
    ]


@pytest.mark.parametrize("name", ["", "a.b", "a b", "1"])
def test_a_name_that_is_declared_in_quotes_is_no_name_without_them(name):
    exposition = parse(f'# TYPE "{name}" gauge\nup 1\n{name} 5\n')
    assert [sample.name for sample in exposition.samples] == ["up"]
    assert [bad.number for bad in exposition.bad_lines] == [3]


# OpenMetrics


def test_a_page_that_ends_in_eof_is_openmetrics():
    page = (
        "# TYPE ttft_seconds histogram\n# UNIT ttft_seconds seconds\n# HELP ttft_seconds Some text.\n"
        'ttft_seconds_bucket{le="1.0"} 3 1.5 # {trace="a # b"} 0.7 1.25\n'
        'ttft_seconds_bucket{le="+Inf"} 4 1700000000.123\n'
        "# TYPE up info\nup_info 1\n# EOF\n"
    )
    exposition = parse(page)
    assert [sample.timestamp_ms for sample in exposition.samples] == [1500, 1700000000123, None]
    assert [sample.type for sample in exposition.samples] == ["histogram", "histogram", "info"]
    assert exposition.bad_line_count == 0
    assert facts(page[:-1]) == facts(page)


def test_a_timestamp_beyond_64_bits_is_what_prometheus_has_for_it():
    assert parse("a 1 1e30\nb 1 -1e30\n# EOF\n").samples[0].timestamp_ms == -(2**63)


@pytest.mark.parametrize(
    "line",
    [
        "",
        " ",
        "# a note",
        "#",
        "# HELP up",
        "# TYPE up untyped",
        "# TYPE up gauge ",
        "# TYPE  up gauge",
        "# UNIT up seconds",
        "# EOF",
        "up  1",
        "up 1 ",
        "up\t1",
        " up 1",
        'up{a="x"}1',
        'up{ a="x"} 1',
        'up{a="x",} 1',
        'up_bucket{le="1",} 1',
        'up_bucket{a="x",le="1",} 1',
        "up 1 NaN",
        "up 1 1 1",
        "up 1 #",
        'up 1 # {a="x"}',
        'up 1 # {a="x"}1',
        'up 1 # {a="x"} 1 1 1',
        'up 1 # {a="x"} 1 Inf',
        "up 1 # {a} 1",
        'up 1 # {"a"} 1',
        'up 1# {a="x"} 1',
    ],
)
def test_openmetrics_is_stricter(line):
    exposition = parse(f"good 1\n{line}\ngood 2\n# EOF\n")
    assert [sample.name for sample in exposition.samples] == ["good", "good"]
    assert [bad.number for bad in exposition.bad_lines] == [2]


@pytest.mark.parametrize("end", ["# EOF\nup 1\n", "# EOF\n\n", " # EOF\n", "#EOF\n", "# EOFs\n"])
def test_an_end_that_is_not_the_last_line_or_not_well_written_is_bad(end):
    assert parse(f"up 1\nup 2\nup 3\n{end}").bad_line_count > 0


# Pages


@pytest.mark.parametrize("page", ["", "\n", " \n\t\n", "# HELP up U.\n# TYPE up gauge\n", "# a note", "# EOF\n"])
def test_a_page_without_samples_is_legal(page):
    exposition = parse(page)
    assert (len(exposition.samples), exposition.layout.by_name, exposition.bad_line_count) == (0, {}, 0)


@pytest.mark.parametrize(
    ("page", "message"),
    [
        pytest.param("<!doctype html>\n<html><body>\n<h1>Log in</h1>\n", "line 1: not a metric name", id="html"),
        pytest.param('{"detail":"Not Found"}', "line 1: labels are not closed", id="json"),
        pytest.param("\n\nNot Found\nup 1\nSorry", "line 3: value is not a number", id="mostly-words"),
        pytest.param(b"\x1f\x8b\x08\x00\xff\xfe", "line 1: not UTF-8", id="gzip"),
        pytest.param("a 1\r\nb 2\r\n", "line 1: value is not a number", id="crlf"),
        pytest.param("\ud800", "line 1: not UTF-8", id="lone-surrogate"),
    ],
)
def test_a_page_of_which_most_is_bad_is_no_exposition(page, message):
    with pytest.raises(ExpositionError, match=message) as caught:
        parse(page)
    assert caught.value.code == "not_an_exposition"
    # Not the line itself: who named the address does not learn what is there.
    assert str(caught.value) == f"line {caught.value.number}: {caught.value.reason}"
    assert caught.value.line


def test_the_first_bad_lines_are_kept_cut_short_and_all_are_counted():
    exposition = parse("up 1\n" * 50 + f"up {'x' * 500}\n" * 50)
    assert exposition.bad_line_count == 50
    assert [bad.number for bad in exposition.bad_lines] == list(range(51, 51 + columns.BAD_LINES_KEPT))
    assert {len(bad.line) for bad in exposition.bad_lines} == {columns.BAD_LINE_CHARACTERS}
    assert str(exposition.bad_lines[0]) == "line 51: value is not a number"  # its text may be anything


@pytest.mark.parametrize("unit", [b"{\n", b"up 1\n{\n"], ids=["all-bad", "half-bad"])
def test_a_page_with_too_many_bad_lines_is_not_read_to_its_end(unit):
    with pytest.raises(ExpositionError, match="labels are not closed"):
        parse(unit * 200_000)


def test_samples_are_a_sequence_and_are_found_by_name():
    exposition = parse("a 1\nb 2\na 3\n")
    samples = exposition.samples
    assert (len(samples), samples[-1].value, [sample.value for sample in samples[:2]]) == (3, 3.0, [1.0, 2.0])
    assert exposition.layout.by_name == {"a": [0, 2], "b": [1]}
    assert repr(samples[0]) == "Sample(name='a', labels={}, value=1.0, timestamp_ms=None, type='untyped')"


def test_text_and_bytes_say_the_same():
    page = 'a{b="é"} 1\nc\n'
    assert facts(page) == facts(page.encode())


# Against another parser, and properties


def test_the_recorded_pages_are_what_prometheus_client_reads():
    for path in RECORDED:
        page = path.read_text()
        families = list(text_string_to_metric_families(page))
        # It leaves a bound as the page spells it, and gives every counter a `_total`; Prometheus does neither.
        theirs = sorted(
            (
                s.name.removesuffix("_total"),
                sorted((label, normal(s.name, label, value)) for label, value in s.labels.items()),
                repr(float(s.value)),
                f.type,
            )
            for f in families
            for s in f.samples
        )
        ours = sorted(
            (s.name.removesuffix("_total"), sorted(s.labels.items()), repr(s.value), s.type)
            for s in parse(page).samples
        )
        assert ours == theirs, path.name


NAMES = st.from_regex(r"[a-zA-Z_:][a-zA-Z0-9_:]{0,8}", fullmatch=True)
LABELS = st.dictionaries(
    st.from_regex(r"[a-zA-Z_][a-zA-Z0-9_]{0,6}", fullmatch=True).filter(
        lambda name: name not in ("le", "quantile", "__name__")
    ),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=12),
    max_size=4,
)
VALUES = st.floats()
STAMPS = st.none() | st.integers(-(2**63), 2**63 - 1)


def rendered(name, labels, value, timestamp_ms):
    escaped = {k: v.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n") for k, v in labels.items()}
    block = ",".join(f'{label}="{text}"' for label, text in escaped.items())
    written = {math.inf: "+Inf", -math.inf: "-Inf"}.get(value, "NaN" if math.isnan(value) else repr(value))
    return f"{name}{{{block}}} {written}" + ("" if timestamp_ms is None else f" {timestamp_ms}")


@given(st.lists(st.tuples(NAMES, LABELS, VALUES, STAMPS), max_size=8))
def test_what_is_written_is_read_back(samples):
    page = "\n".join(rendered(*sample) for sample in samples)
    read = [(s.name, s.labels, repr(s.value), s.timestamp_ms) for s in parse(page).samples]
    assert read == [(name, labels, repr(value), stamp) for name, labels, value, stamp in samples]


@given(st.binary(max_size=200) | st.text('ab{}=",\\\n# 15.eN_\t', max_size=80).map(str.encode))
def test_any_bytes_are_read_or_refused_and_nothing_is_invented(page):
    try:
        samples = parse(page).samples
    except ExpositionError:
        return
    for sample in samples:
        assert sample.name.encode().split(b"\n")[0] in page
        assert any(_is_number(word, sample.value) for word in page.decode(errors="replace").replace("}", "} ").split())


def _is_number(word, value):
    try:
        return float(word) == value or (math.isnan(value) and math.isnan(float(word)))
    except ValueError:
        return False


SIXTY_FOURTH_OF_A_CAP = 256 * 1024


@pytest.mark.parametrize(
    "unit",
    [
        pytest.param(b"a", id="one-name"),
        pytest.param(b"a 9", id="digits"),
        pytest.param(b"{", id="braces"),
        pytest.param(b"} ", id="closing-braces"),
        pytest.param(b'a{b="', id="open-quotes"),
        pytest.param(b'a{b="c} 1\n', id="open-quote-on-each-line"),
        pytest.param(b"\\", id="backslashes"),
        pytest.param(b'\\"', id="escaped-quotes"),
        pytest.param(b" ", id="blanks"),
        pytest.param(b"\n", id="newlines"),
        pytest.param(b"# TYPE ", id="keywords"),
        pytest.param(b"1.", id="points"),
        pytest.param(b"a 1\n", id="small-samples"),
        pytest.param(b'a_bucket{le="1"} 1\n', id="buckets"),
        pytest.param(b"a 1\n# EOF\n", id="ends"),
    ],
)
@pytest.mark.parametrize(
    "start", [b"", b'a{b="', b"a 1", b"# HELP "], ids=["", "in-a-label", "in-a-number", "in-a-help"]
)
def test_a_hostile_page_takes_time_as_its_size(start, unit):
    """Nothing here would come to an end if a line were gone over once for each of its characters."""
    page = start + unit * (SIXTY_FOURTH_OF_A_CAP // len(unit))
    outcome = facts(page)
    assert len(outcome if isinstance(outcome, str) else outcome[1]) < 500
