"""What `prometheus_client` reads otherwise than Prometheus' own parser (Go), which we follow; each with its reason.

It is laxer, so most of it are lines that it takes and we skip. How such a line is told is as narrow as can be: by our
reason for skipping it, by how it is written, and by what they made of it.
"""

import math
import re
from collections.abc import Callable
from typing import NamedTuple

from collector.grammar import LABEL_NAME, METRIC_NAME, QUOTED, has_surrogate

# Blanks to `str.strip`, and to no format.
other_blank = re.compile(r"[\r\x0b\x0c\x1c-\x1f\x85\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]")
# As whole numbers, the nine characters behind a point are not what they are as a fraction.
other_fraction = re.compile(r"\.(?:[+-]|[0-9]{9}[^ ]*[^0-9 ])")
_quoted = re.compile(QUOTED)
_is_metric_name, _is_label_name = re.compile(METRIC_NAME).fullmatch, re.compile(LABEL_NAME).fullmatch
_blank_in_series = re.compile(r"[ \t][^{}]*\{|\{[^}]*[ \t]|\t")


class Theirs(NamedTuple):
    """A sample of `prometheus_client`."""

    name: str
    labels: dict[str, str]
    value: float
    timestamp_seconds: float | None
    type: str


def bare(line: str) -> str:
    """Without what stands in quotes."""
    return _quoted.sub('""', line)


def _has_other_blank(line: str, theirs: Theirs) -> bool:
    return other_blank.search(bare(line)) is not None


def _has_odd_name(line: str, theirs: Theirs) -> bool:
    line = line.strip()
    is_bare = line.startswith(theirs.name) and line[len(theirs.name) :].lstrip().startswith("{")
    return is_bare and not _is_metric_name(theirs.name)


def _has_odd_label(line: str, theirs: Theirs) -> bool:
    return not all(map(_is_label_name, theirs.labels))


def _has_timestamp_last(line: str, theirs: Theirs) -> bool:
    """Whether their timestamp is the last of the line's tokens."""
    tokens = line.split()
    seconds = theirs.timestamp_seconds
    if len(tokens) < 2 or seconds is None:
        return False
    # They divide whole numbers, also one that no float reaches.
    return any(are_close(read, seconds) for read in (as_float(tokens[-1]) / 1000, as_float(f"{tokens[-1]}e-3")))


def _has_quote_in_timestamp(line: str, theirs: Theirs) -> bool:
    """Whether their timestamp is what stands before a quote."""
    seconds = theirs.timestamp_seconds
    return seconds is not None and any(are_close(as_float(one), seconds) for one in re.findall(r' ([^ "]+)"', line))


def _is_odd_number(line: str, theirs: Theirs) -> bool:
    return not bare(line).isascii() or re.search("[+-][nN]", line) is not None


def _has_large_number(line: str, theirs: Theirs) -> bool:
    return any(math.isinf(as_float(digits)) for digits in re.findall(r"[0-9.]+(?:[eE][+-]?[0-9]+)?", bare(line)))


LABEL_REASONS = {"not a label name", "label has no value", "label value is not quoted", "labels are not closed"} | {
    "the metric has two names"
}
Predicate = Callable[[str, Theirs], bool]
# By name: the reasons that we skip such a line for (none: any), how it is told, and what they make of it.
LAX: dict[str, tuple[set[str], Predicate, str]] = {
    "not UTF-8": (
        {"not UTF-8"},
        lambda line, theirs: has_surrogate(line),
        "they are given text: how bytes became it is not their matter",
    ),
    "other blanks": (set(), _has_other_blank, "they strip every blank that Unicode has; the format has blank and tab"),
    "text after the value": (
        {"text after the value"},
        _has_timestamp_last,
        "they take the first and the last of the tokens, whatever is between: an exemplar's value as a timestamp",
    ),
    "timestamps": (
        {"timestamp is not a whole number of milliseconds"},
        _has_timestamp_last,
        "they take any number, a fraction or one beyond 64 bits",
    ),
    "names": (
        {"not a metric name", "text after the value", "value is not a number", "no value"}
        | {"timestamp is not a whole number of milliseconds"},
        _has_odd_name,
        "before a brace they take any text as a metric's name",
    ),
    "label names": (
        LABEL_REASONS,
        _has_odd_label,
        "they take colons and, quoted, quotes that are not escaped",
    ),
    "commas": (
        {"not a label name"},
        lambda line, theirs: re.search(r"\{[ \t]*,|,[ \t]*,", bare(line)) is not None,
        "they take a comma before the first label",
    ),
    "labels without a value": (
        LABEL_REASONS,
        lambda line, theirs: re.search(r"=[ \t]*(?:[,}]|$)", bare(line)) is not None,
        "they pass over a label with nothing behind its `=`",
    ),
    "__name__": (
        {"not a label name"},
        lambda line, theirs: "__name__" in line,
        "they take the metric's name as a label of that name",
    ),
    "numbers": (
        {"value is not a number"},
        _is_odd_number,
        "Python's `float` reads digits of every script, and NaN with a sign",
    ),
    "large numbers": (
        {"value is out of range"},
        _has_large_number,
        "what is out of a float's range is infinite or a long integer to them, and refused by Go",
    ),
    "a number alone": (
        {"no value", "text after the value"},
        lambda line, theirs: theirs.name == line.strip()[:-1] and line.strip().lower() in ("nan", "inf", "infinity"),
        "a line `nan` is to them the metric `na` with the value NaN: without a blank they cut the last letter off",
    ),
    "fractions of a second": (
        {"value is not a number"},
        lambda line, theirs: other_fraction.search(bare(line)) is not None,
        "they read a fraction as a whole number of nine digits: with a sign, and with anything behind the nine",
    ),
    "a character after labels": (
        {"text after the value"},
        lambda line, theirs: re.search(r"\}[^ ]", bare(line)) is not None,
        "they pass over one where OpenMetrics has a blank, whatever it is",
    ),
    "a quote in a timestamp": (
        {"text after the value", "value is not a number"},
        _has_quote_in_timestamp,
        "behind the value they pass over what stands in quotes, and whatever follows one that is not closed",
    ),
    "blanks in OpenMetrics": (
        set(),
        lambda line, theirs: _blank_in_series.search(bare(line)) is not None,
        "they strip blanks among labels and take those before a brace into the name; OpenMetrics has none there",
    ),
}
ONLY_OPENMETRICS = {
    *("a character after labels", "a quote in a timestamp", "blanks in OpenMetrics", "fractions of a second"),
}
# Where both read a sample.
SPELT = {
    "name of a counter": "they give a counter whose family has no `_total` a name that has",
    "blanks before a name": "Prometheus takes them into the name, and so do we; they strip them",
    "timestamp beyond 64 bits": "in OpenMetrics Prometheus takes it, and has the least number that there is",
    "timestamp between -1 and 0": "in OpenMetrics: the sign is lost to them with the seconds, which are 0",
    "exponent behind nine digits": "in OpenMetrics: they read no more of a fraction of a second than nine characters",
    "bound": "we spell `le` and `quantile` as Prometheus does: `1` is `1.0`",
}
# Pages that they take and that are not compared.
APART = {
    "# EOF inside": "a page with such a line is OpenMetrics to Prometheus, and to us; they read it as text",
    "many bad lines": "more of its lines are bad than an exposition lists",
    "repeated in OpenMetrics": "of samples that come twice in a row they keep one",
}


def are_close(ours: float | None, theirs: float | None) -> bool:
    """OpenMetrics has seconds, of which we keep whole milliseconds."""
    if ours is None or theirs is None:
        return ours is theirs
    if math.isfinite(ours) and math.isfinite(theirs):
        return abs(ours - theirs) <= 0.0005 + 1e-15 * abs(theirs)
    return ours == theirs or (math.isnan(ours) and math.isnan(theirs))


def as_float(value: float | str) -> float:
    """0 where it is no number, infinite where it is larger than a float."""
    try:
        return float(value)
    except OverflowError:
        return math.inf
    except ValueError:
        return 0.0
