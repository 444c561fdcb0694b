"""What holds for any page: no crash, no sample that it does not hold, and what `prometheus_client` reads of it."""

import math
import re
from collections import Counter

from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from collector import shape
from collector.errors import ExpositionError, PageLimitError
from collector.exposition import Exposition, parse
from collector.limits import DEFAULT, Limits

LIMITS = DEFAULT.set_by("lines=40,line_bytes=200,samples=30,labels=5,name_characters=40,label_characters=60")

# prometheus_client takes, or reads otherwise, what Prometheus' own parser (Go) does not. A page with one of these is
# not compared.
KNOWN_DIFFERENCES = {
    "lines of another page": (
        re.compile(r"[\r\x0b\x0c\x1c-\x1f\x85\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]"),
        "it strips, and splits at, every blank and line end that Unicode has; the format has LF, blank and tab",
    ),
    "not UTF-8": (re.compile("[\ud800-\udfff]"), "it is given text: how bytes became it is not its matter"),
    "OpenMetrics": (re.compile(r"^[ \t]*#[ \t]*EOF", re.MULTILINE), "`# EOF` makes a page another format for us"),
    "declarations": (
        re.compile(r"^[ \t]*#[ \t]*(TYPE|HELP)", re.MULTILINE),
        "it renames counters by their type, takes unknown types and families that are no names",
    ),
    "numbers": (
        re.compile(r"[^\x00-\x7f](?=[^\"]*$)|[+-][nN]", re.MULTILINE),
        "`float` reads digits of every script, and NaN with a sign",
    ),
    "large numbers": (
        re.compile(r"[0-9]{17}|[eE][+]?[0-9]{2}"),
        "what is out of a float's range is infinite or an integer to it, and refused by Go",
    ),
    "text after the value": (
        re.compile(r"(?:^|\}|[\w:])[ \t]+[^ \t\"\n]+[ \t]+(?![ \t]*(?:-?[0-9]{1,16})?[ \t]*$)[^\"\n]*$", re.MULTILINE),
        "it takes any timestamp that is a number, the last of many, and text between",
    ),
    "labels": (
        re.compile(
            r'\{[ \t]*,|,[ \t]*,|__name__|"[ \t]*"|\}[^"\s]|\{[^}"\n]*\}?[ \t]*$|"[^"\n]*[{}#][^"\n]*"', re.MULTILINE
        ),
        "it takes commas before the first label, terms without a value, `__name__` as a label, and braces in values "
        "end a block",
    ),
    "names": (
        re.compile(r"^[ \t]*(?![a-zA-Z_:][a-zA-Z0-9_:]*[ \t]*\{)[^\s{\"#][^{\n]*\{", re.MULTILINE),
        "before a brace it takes any text as a metric's name",
    ),
    "label names": (
        re.compile(r'[{,][ \t]*(?![a-zA-Z_][a-zA-Z0-9_]*[ \t]*=)[^"=\n}]+='),
        "it takes colons in a label's name, as in a metric's",
    ),
    "names in quotes": (
        re.compile(r'(?:^|[{,])[ \t]*"', re.MULTILINE),
        "it takes any name in quotes, with no check of what a name may be",
    ),
    "escapes": (re.compile(r"\\"), "it finds the end of a quoted text from behind"),
    "bounds": (re.compile(r"\b(le|quantile)\b"), "we spell a bound as Prometheus does: `1` is `1.0`"),
}

NAMES = st.sampled_from(["a", "b_total", "h_bucket", "h_sum", "sglang:x", "le", "_", "é", '"q u"', "1"])
VALUES = st.sampled_from(["1", "0.0", "-2.5", "1e3", "NaN", "+Inf", "1_0", "0x1", "", "1e999", "٣", "1.0 12", "1 # {}"])
LABEL_VALUES = st.sampled_from(["", "x", "1", "1.0", "+Inf", "\\n", "\\\\", '\\"', "}", "{", ",", " ", "#", "é"])
LABELS = st.builds('{}="{}"'.format, NAMES, LABEL_VALUES)
BLOCKS = st.lists(LABELS, max_size=3).map(",".join).map("{{{}}}".format) | st.sampled_from(
    ["", "{", "{}", "{a=1}", "{,}"]
)
SAMPLES = st.builds("{}{} {}".format, NAMES, BLOCKS, VALUES)
COMMENTS = st.builds(
    "# {} {} {}".format,
    st.sampled_from(["HELP", "TYPE", "UNIT", "EOF", ""]),
    NAMES,
    st.sampled_from(["gauge", "counter", "histogram", "text", ""]),
)
LINES = SAMPLES | SAMPLES | COMMENTS | st.text(max_size=12) | st.sampled_from(["", " ", "# EOF", "\t#"])
PAGES = st.lists(LINES, max_size=8).map("\n".join).map(lambda text: text.encode("utf-8", "surrogatepass"))
PAGES = st.builds(bytes.__add__, PAGES, st.sampled_from([b"", b"\n", b"\n# EOF\n", b"\xff"])) | st.binary(max_size=40)

Row = tuple[str, tuple[tuple[str, str], ...], str, int | None]


PARSES_PER_INPUT = 3


def check(page: bytes) -> bool:
    """Read a page as a first one, as one like it, and within limits; say whether it was compared."""
    shape.forget()
    first, known, limited = _read(page), _read(page), _read(page, LIMITS)
    rows = first and _rows(first)
    assert (known and _rows(known)) == rows, "a page that is known is read otherwise"
    assert limited is None or _rows(limited) == rows, "a page within limits is read otherwise"
    if first is None or rows is None:
        return False
    text = page.decode("utf-8", "surrogateescape")
    _holds_every_sample(text, first)
    return _is_as_theirs(text, rows, first.bad_line_count)


def _read(page: bytes, limits: Limits | None = None) -> Exposition | None:
    """None if it is refused."""
    try:
        return parse(page, limits)
    except (ExpositionError, PageLimitError):
        return None


def _rows(exposition: Exposition) -> list[Row]:
    return [
        (sample.name, tuple(sample.labels.items()), repr(sample.value), sample.timestamp_ms)
        for sample in exposition.samples
    ]


def _holds_every_sample(text: str, exposition: Exposition) -> None:
    """Each sample has a line of its own that has its name, its labels and its value."""
    lines = [(line, _unescaped(line)) for line in text.split("\n") if line.strip(" \t")]
    at = 0
    for sample in exposition.samples:
        while at < len(lines) and not _says(*lines[at], sample):
            at += 1
        assert at < len(lines), f"no line says {sample!r}"
        at += 1


def _unescaped(line: str) -> str:
    return re.sub(r'\\([\\n"])', lambda match: "\n" if match[1] == "n" else match[1], line)


def _says(line: str, unescaped: str, sample) -> bool:
    texts = [sample.name, *sample.labels]
    texts += [value for label, value in sample.labels.items() if label not in ("le", "quantile")]
    return all(text in line or text in unescaped for text in texts) and any(
        _is_number(token, sample.value) for token in re.split(r'[ \t}"]+', line)
    )


def _is_number(token: str, value: float) -> bool:
    try:
        read = float(token)
    except ValueError:
        return False
    return read == value or (math.isnan(read) and math.isnan(value))


def known_difference(text: str) -> str | None:
    return next((name for name, (pattern, _) in KNOWN_DIFFERENCES.items() if pattern.search(text)), None)


def _is_as_theirs(text: str, ours: list[Row], bad_lines: int) -> bool:
    if known_difference(text):
        return False
    try:
        families = list(text_string_to_metric_families(text))
    except (ValueError, IndexError, TypeError, KeyError):
        return False
    theirs = [
        (sample.name, tuple(sample.labels.items()), repr(float(sample.value)), _milliseconds(sample.timestamp))
        for family in families
        for sample in family.samples
    ]
    assert Counter(theirs) == Counter(ours), f"prometheus_client reads {theirs}, we {ours}"
    assert bad_lines == 0, "prometheus_client reads it all, we skip a line"
    return True


def _milliseconds(seconds: float | None) -> int | None:
    return None if seconds is None else round(seconds * 1000)
