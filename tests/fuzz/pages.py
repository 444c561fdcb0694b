"""What holds for any page: no crash, one reading, no sample that it does not hold, what `prometheus_client` reads."""

import math
import re
import time
from array import array
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from hypothesis import strategies as st

from collector import shape
from collector.columns import Columns
from collector.errors import ExpositionError, PageLimitError
from collector.exposition import Exposition, parse
from collector.limits import DEFAULT, Limits

from . import others

LIMITS = DEFAULT.set_by("lines=40,line_bytes=200,samples=30,labels=5,name_characters=40,label_characters=60")
PIECE_BYTES = 16
# Generous: a page takes some 20 µs and some 0.5 µs a byte where `grammar` reads each of its lines.
SECONDS_AT_MOST, SECONDS_PER_BYTE_AT_MOST = 0.002, 20e-6
TRIES = 5
LARGE_BYTES = 64 * 1024

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

# The bytes of a number, each another.
_another_number = bytes.maketrans(b"0123456789", b"1357902468")
_last_number = re.compile(rb"[0-9]+$", re.MULTILINE)
# A line that is good and not in the plain spelling: `grammar` alone reads a page that has it.
NOT_PLAIN = b"pad 1 5\n"
# What was read; or what is wrong, in the error's words.
Reading = tuple[object, ...] | str


class Slow(AssertionError):
    """A page took more time for its bytes than any page should."""


def earlier(page: bytes) -> bytes:
    """A page of the same server, as it may have been before: other numbers, and some lines not yet there."""
    lines = page.split(b"\n")
    kept = b"\n".join(line for at, line in enumerate(lines) if at % 4 != 3)
    return _last_number.sub(lambda match: match[0].translate(_another_number), kept)


def check(page: bytes, before: bytes | None = None) -> Counter[str]:
    """Read a page in each of the ways that there are, hold them against one another and against the page.

    Return what was done, to be added up. Raises AssertionError.
    """
    before = earlier(page) if before is None else before
    seconds, parses, first = _timed(lambda: _read_each_way(page, before), len(page) + len(before))
    facts = Counter(inputs=1, parses=parses, nanoseconds=int(seconds * 1e9), bytes=len(page))
    text = page.decode("utf-8", "surrogateescape")
    if first is not None:
        facts["read"] = 1
        facts["samples"] = len(first.samples)
        _holds_every_sample(text, first)
        assert first.lines(page).page() == page, "taken apart and put together it is another page"
    match others.compare(page, text, first):
        case others.Compared(samples, known):
            facts.update({"accepted": 1, "compared": 1, "samples compared": samples})
            facts.update({f"known: {name}": count for name, count in known.items()})
        case str(why):
            facts.update({"accepted": 1, f"apart: {why}": 1})
    return facts


def check_large(page: bytes) -> Counter[str]:
    """Read a page that has one thing many times, as a new one and as a known one: its time grows as its bytes do."""

    def read() -> tuple[int, Exposition | None]:
        shape.forget()
        _, new = _read(page)
        _, known = _read(page)
        assert known == new, "a large page that is known is read otherwise"
        return 2, None

    seconds, parses, _ = _timed(read, len(page))
    return Counter({"inputs": 1, "parses": parses, "large": 1, "nanoseconds": int(seconds * 1e9), "bytes": len(page)})


def _timed(read: Callable[[], tuple[int, Exposition | None]], byte_count: int) -> tuple[float, int, Exposition | None]:
    """The processor's time, judged. What passes the bound is tried again: something else may have been in the way."""
    least = math.inf
    for _ in range(TRIES):
        started = time.thread_time()
        parses, exposition = read()
        least = min(least, time.thread_time() - started)
        if least <= parses * (SECONDS_AT_MOST + byte_count * SECONDS_PER_BYTE_AT_MOST):
            return least, parses, exposition
    raise Slow(f"{least:.3f} s of the processor for {byte_count} bytes, read {parses} times")


def _read_each_way(page: bytes, before: bytes) -> tuple[int, Exposition | None]:
    """How often something was read, and what came of it. Raises AssertionError where two ways differ."""
    shape.forget()
    _read(before)
    _, compared = _read(page)
    shape.forget()
    first, reading = _read(page)
    assert compared == reading, f"compared with an earlier page it is read otherwise: {compared}, {reading}"
    _, known = _read(page)
    assert known == reading, f"a page that is known is read otherwise: {known}, {reading}"
    limited, within = _read(page, LIMITS)
    assert limited is None or within == reading, "a page within limits is read otherwise"
    with _in_pieces():
        _, known = _read(page)
        shape.forget()
        _, new = _read(page)
    assert known == new == reading, f"a page in pieces is read otherwise: {known}, {new}, {reading}"
    if first is not None:
        _is_as_by_grammar(page, first)
    return 8 if first is not None else 7, first


def _is_as_by_grammar(page: bytes, exposition: Exposition) -> None:
    ours, grammars = exposition._columns, parse(NOT_PLAIN + page)._columns
    timestamps = grammars.timestamps_ms[1:]
    read = _series(ours), ours.les, ours.values, ours.types
    by_grammar = _series(grammars)[1:], grammars.les[1:], grammars.values[1:], grammars.types
    # As text: a NaN equals none.
    assert str(read) == str(by_grammar), f"by `grammar` it is read otherwise: {by_grammar}, {read}"
    assert (ours.timestamps_ms or [None] * len(timestamps)) == timestamps, "by `grammar` it has other timestamps"
    bad = [line._replace(number=line.number - 1) for line in grammars.bad_lines]
    assert (ours.bad_lines, ours.bad_line_count) == (bad, grammars.bad_line_count), "by `grammar` other lines are bad"


@contextmanager
def _in_pieces() -> Iterator[None]:
    """Pages are read in pieces as large ones are, but short ones."""
    # `patch` takes as long as some pages do.
    before = shape.PIECE_BYTES
    shape.PIECE_BYTES = PIECE_BYTES
    try:
        yield
    finally:
        shape.PIECE_BYTES = before


def _read(page: bytes, limits: Limits | None = None) -> tuple[Exposition | None, Reading]:
    try:
        exposition = parse(page, limits)
    except (ExpositionError, PageLimitError) as error:
        return None, str(error)
    columns = exposition._columns
    return exposition, (
        _series(columns),
        columns.les,
        array("d", columns.values).tobytes(),
        columns.timestamps_ms,
        columns.types,
        columns.bad_lines,
        columns.bad_line_count,
    )


def _series(columns: Columns) -> list[tuple[str, dict[str, str]]]:
    return [(name, labels) for name, labels, _ in columns.series]


def _holds_every_sample(text: str, exposition: Exposition) -> None:
    """Each sample stands on the line that is its own, with its name, its labels and its value."""
    lines = others.aligned(text, exposition)
    for line, sample in lines or ():
        if isinstance(sample, str):
            continue
        unescaped = _unescaped(line) if "\\" in line else line
        texts = [sample.name, *sample.labels]
        texts += [value for label, value in sample.labels.items() if label not in ("le", "quantile")]
        for held in texts:
            assert held in line or held in unescaped, f"{held!r} is not in {line!r}"
        assert _has_number(line, sample.value), f"{sample.value!r} is not in {line!r}"


def _unescaped(line: str) -> str:
    return re.sub(r'\\([\\n"])', lambda match: "\n" if match[1] == "n" else match[1], line)


def _has_number(line: str, value: float) -> bool:
    tokens: Sequence[str] = re.split(r'[ \t}"]+', line)
    return any(_is_number(token, value) for token in reversed(tokens))


def _is_number(token: str, value: float) -> bool:
    try:
        read = float(token)
    except ValueError:
        return False
    return read == value or (math.isnan(read) and math.isnan(value))
