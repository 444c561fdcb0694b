"""One line of an exposition, read strictly: what Prometheus' own parsers take, and nothing that they refuse.

Text format 0.0.4: https://prometheus.io/docs/instrumenting/exposition_formats/
OpenMetrics 1.0: https://github.com/prometheus/OpenMetrics/blob/main/specification/OpenMetrics.md

Every repetition that could be made to backtrack is possessive (`*+`), so that a line costs its length and no more. An
optional group is not (`?`, which has one other way): Python 3.11.2 goes on from where such a group gave up.
https://github.com/python/cpython/issues/106052
"""

import math
import re
from dataclasses import dataclass
from typing import NamedTuple

METRIC_NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*+"
LABEL_NAME = r"[a-zA-Z_][a-zA-Z0-9_]*+"
QUOTED = r'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
BLANKS = r"[ \t]*+"

_MIN_INT64, _MAX_INT64 = -(2**63), 2**63 - 1
_metric_name = re.compile(METRIC_NAME)
# `float` takes more than this: 1_000, digits of other scripts, +nan, and blanks around a number.
_number = re.compile(r"[+-]?+(?:(?:[0-9]++(?:\.[0-9]*+)?|\.[0-9]++)(?:[eE][+-]?+[0-9]++)?|(?i:inf(?:inity)?))|(?i:nan)")
_integer = re.compile(r"-?[0-9]{1,19}")
_escape = re.compile(r'\\([\\"n])')
_eof = re.compile(rf"{BLANKS}#{BLANKS}EOF")
_surrogate = re.compile("[\ud800-\udfff]")
_exemplar_tail = re.compile(r" ([^ ]++)(?: ([^ ]++))?")


class LineError(ValueError):
    """What is wrong with a line, in words."""


class OpenMetricsFound(Exception):
    """A line says that the page is OpenMetrics."""


@dataclass(frozen=True, eq=False)
class Format:
    """What differs between the two formats."""

    strict: bool  # OpenMetrics: no blank lines, no free comments, no comma before a brace, timestamps in seconds
    blanks: re.Pattern[str]  # allowed between the tokens of a series
    label: re.Pattern[str]  # its name, or the metric's in quotes, and its value
    tail: re.Pattern[str]  # what follows a series: value, timestamp, exemplar
    comment: re.Pattern[str]  # keyword, family, rest
    types: frozenset[str]


def _label(blanks: str) -> re.Pattern[str]:
    return re.compile(rf"(?:({LABEL_NAME})|({QUOTED})){blanks}(?:={blanks}({QUOTED}){blanks})?")


TEXT = Format(
    strict=False,
    blanks=re.compile(BLANKS),
    label=_label(BLANKS),
    tail=re.compile(rf"{BLANKS}([^ \t]*+)(?:[ \t]++([^ \t]++))?{BLANKS}()"),
    comment=re.compile(rf"{BLANKS}#{BLANKS}(HELP|TYPE)[ \t]++({QUOTED}|[^ \t]++)([ \t].*+)?"),
    types=frozenset(["counter", "gauge", "histogram", "summary", "untyped"]),
)
OPENMETRICS = Format(
    strict=True,
    blanks=re.compile(""),
    label=_label(""),
    tail=re.compile(r" ([^ ]*+)(?: ([^ #][^ ]*+))?(?: # (\{.*+))?"),
    comment=re.compile(rf"# (HELP|TYPE|UNIT) ({QUOTED}|[^ ]++)( .*+)"),
    types=frozenset(["counter", "gauge", "histogram", "gaugehistogram", "summary", "info", "stateset", "unknown"]),
)


class Line(NamedTuple):
    """A sample line."""

    name: str
    labels: dict[str, str]
    value: float
    timestamp_ms: int | None


class Declaration(NamedTuple):
    """A `# TYPE` line."""

    family: str
    type: str


def read_sample(line: str, form: Format) -> Line:
    """Raises LineError. Blanks before a name that is not quoted are taken into it, as Prometheus does."""
    if has_surrogate(line):
        raise LineError("not UTF-8")
    match = _metric_name.match(line, _skip_blanks(line, 0, form))
    end = match.end() if match else 0
    name = line[:end]
    brace = _skip_blanks(line, end, form)
    labels: dict[str, str] = {}
    if line.startswith("{", brace):
        name, labels, end = _read_labels(line, brace + 1, name, form)
    elif not name or line[end : end + 1] not in ("", " ", "\t"):
        raise LineError("not a metric name")
    tail = form.tail.fullmatch(line, end)
    if tail is None:
        raise LineError("text after the value")
    value, timestamp, exemplar = tail.groups()
    if not value:
        raise LineError("no value")
    if exemplar:
        _check_exemplar(exemplar, form)
    labels = {label: normal(name, label, text) for label, text in labels.items()}
    return Line(name, labels, number(value), timestamp_ms(timestamp, form) if timestamp else None)


def read_block(block: str, form: Format) -> dict[str, str]:
    """The labels up to a closing brace, a bucket's `le` as written. Raises LineError."""
    _, labels, end = _read_labels(block, 0, "some_name", form)
    if end != len(block) or has_surrogate(block):
        raise LineError("not a block of labels")
    return {label: normal("some_name", label, value) for label, value in labels.items()}


def read_comment(line: str, form: Format) -> Declaration | None:
    """What a line that begins with `#` declares, if anything. Raises LineError, or OpenMetricsFound in a text."""
    match = form.comment.fullmatch(line)
    if match is None:
        if form.strict:
            raise LineError("a comment that is not HELP, TYPE, UNIT or, at the end, EOF")
        if _eof.match(line):
            raise OpenMetricsFound
        return None
    if has_surrogate(line):
        raise LineError("not UTF-8")
    keyword, family, rest = match[1], match[2], match[3] or ""
    if family.startswith('"') and family.endswith('"'):
        family = _unquoted(family)
    elif not _metric_name.fullmatch(family):
        raise LineError("not a metric name")
    if keyword == "TYPE":
        kind = rest[1:] if form.strict else rest.strip(" \t")
        if kind not in form.types:
            raise LineError("not a type of this format")
        return Declaration(family, kind)
    if keyword == "UNIT" and rest != " " and not family.endswith(f"_{rest[1:]}"):
        raise LineError("the unit is not the end of the name")
    return None


def number(text: str) -> float:
    """Raises LineError, also for what `float` takes and Prometheus does not."""
    if not _number.fullmatch(text):
        raise LineError("value is not a number")
    value = float(text)
    if math.isinf(value) and text.lstrip("+-")[0] not in "iI":
        raise LineError("value is out of range")
    return value


def timestamp_ms(text: str, form: Format) -> int:
    """Milliseconds since 1970; the text has seconds in OpenMetrics. Raises LineError."""
    if form.strict:
        milliseconds = number(text) * 1000
        if not math.isfinite(milliseconds):
            raise LineError("timestamp is not a finite number")
        # Where 64 bits do not hold it, Prometheus has what the processor makes of it.
        return round(milliseconds) if _MIN_INT64 <= milliseconds <= _MAX_INT64 else _MIN_INT64
    if not _integer.fullmatch(text) or not _MIN_INT64 <= int(text) <= _MAX_INT64:
        raise LineError("timestamp is not a whole number of milliseconds")
    return int(text)


def normal(name: str, label: str, text: str) -> str:
    """A bucket's bound or a quantile in Prometheus' one spelling (`1` as `1.0`); any other label's value as it is."""
    if label == "quantile" or (label == "le" and name.endswith("_bucket")):
        try:
            return normal_number(text)
        except LineError:
            pass
    return text


def normal_number(text: str) -> str:
    """With the fewest digits, and with an exponent below 1e-4 and from 1e6 on. Raises LineError."""
    value = number(text)
    shortest = repr(value)
    if value == 0:
        return "0.0"
    if -1e6 < value < 1e6 and "e" not in shortest:
        return shortest
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"
    return next(short for digits in range(17) if float(short := f"{value:.{digits}e}") == value)


def has_surrogate(text: str) -> bool:
    """Whether bytes that are not UTF-8 were decoded to it."""
    return not text.isascii() and _surrogate.search(text) is not None


def _read_labels(line: str, at: int, name: str, form: Format) -> tuple[str, dict[str, str], int]:
    """The metric's name, which may be among the labels in quotes, the labels, and where the block ends."""
    labels: dict[str, str] = {}
    at = _skip_blanks(line, at, form)
    while not line.startswith("}", at):
        match = form.label.match(line, at)
        if match is None:
            raise LineError("not a label name" if at < len(line) else "labels are not closed")
        bare, quoted, value = match.groups()
        label = bare or _unquoted(quoted)
        at = match.end()
        if value is not None:
            if not label or label == "__name__":
                raise LineError("not a label name")
            if label in labels:
                raise LineError("label is repeated")
            labels[label] = _unquoted(value)
        elif line.startswith("=", at):
            raise LineError("label value is not quoted")
        elif bare:
            raise LineError("label has no value")
        elif name:
            raise LineError("the metric has two names")
        else:
            name = label
        if line.startswith(",", at):
            at = _skip_blanks(line, at + 1, form)
            if form.strict and line.startswith("}", at):
                raise LineError("not a label name")
        elif not line.startswith("}", at):
            raise LineError("labels are not closed")
    if not name:
        raise LineError("no metric name")
    return name, labels, at + 1


def _check_exemplar(text: str, form: Format) -> None:
    _, _, end = _read_labels(text, 1, "exemplar", form)
    tail = _exemplar_tail.fullmatch(text, end)
    if tail is None:
        raise LineError("exemplar is not labels, a value and perhaps a timestamp")
    number(tail[1])
    if tail[2]:
        timestamp_ms(tail[2], form)


def _skip_blanks(line: str, at: int, form: Format) -> int:
    match = form.blanks.match(line, at)
    return match.end() if match else at


def _unquoted(quoted: str) -> str:
    """Without the quotes and the escapes before a quote, a backslash and `n`; any other escape stays as it stands."""
    text = quoted[1:-1]
    return _escape.sub(lambda match: "\n" if match[1] == "n" else match[1], text) if "\\" in text else text
