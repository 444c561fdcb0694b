"""What `prometheus_client` reads of a page, beside what we read, line by line.

Each line that it takes and we skip is one that it is known to be lax in; where both read a sample, its name, labels,
value, timestamp and type are equal, but for what is known to be spelt otherwise. `differences` has the tables.
"""

import math
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_text

from collector.exposition import Exposition, Sample, parse
from collector.grammar import OPENMETRICS, TEXT, LineError, has_surrogate, number

from .differences import LAX, ONLY_OPENMETRICS, Theirs, are_close, as_float, bare, other_blank, other_fraction

REFUSALS = (ValueError, IndexError, TypeError, KeyError, AttributeError, OverflowError)
BLANKS = " \t"
ENDS = ("# EOF", "# EOF\n")
_eof = re.compile(r"^[ \t]*#[ \t]*EOF", re.MULTILINE)
_declaration = re.compile(r"^# TYPE ([^ \t\n]+) ([a-z]+)$", re.MULTILINE)


class Line(NamedTuple):
    """What we make of a line: a sample, or the reason for skipping it."""

    text: str
    ours: Sample | str


class Compared(NamedTuple):
    samples: int
    """Those that both read."""
    known: Counter[str]
    """How often each known difference was met."""


def compare(page: bytes, text: str, exposition: Exposition | None) -> Compared | str | None:
    """None of a page that they refuse or see no sample in; why it is not compared; or what was.

    `exposition` is None where we refuse the page. Raises AssertionError for a difference that is not known.
    """
    is_openmetrics = text in ENDS or text.endswith(("\n# EOF", "\n# EOF\n"))
    theirs = theirs_of(text, is_openmetrics)
    if not theirs:
        return None
    if not is_openmetrics and _eof.search(text):
        return "# EOF inside"
    pads = 0
    if exposition is None:
        # More of its lines are bad than are samples. Behind as many good ones, each line is told of.
        pads = text.count("\n") + 1
        exposition = parse(b"pad 1\n" * pads + page)
    read = aligned("pad 1\n" * pads + text, exposition)
    if read is None:
        return "many bad lines"
    # Behind other blanks they see a comment, or nothing.
    lines = [line for line in read[pads:] if (line.text.strip()[:1] or "#") != "#"]
    if is_openmetrics and len(lines) != len(theirs):
        return "repeated in OpenMetrics"
    assert len(lines) == len(theirs), f"they read {len(theirs)} samples, we have {len(lines)} lines"
    has_types = _declares_plainly(text, is_openmetrics)
    known: Counter[str] = Counter()
    samples = 0
    for (line, ours), other in zip(lines, theirs, strict=True):
        if isinstance(ours, str):
            known[_laxness(line, ours, other, is_openmetrics)] += 1
        else:
            samples += 1
            known.update(_differences(line, ours, other, is_openmetrics))
            if has_types and other.type != "unknown" and ours.name[:1] not in BLANKS:
                assert ours.type.replace("untyped", "unknown") == other.type, f"type: {ours!r}, they {other}"
    return Compared(samples, known)


def theirs_of(text: str, is_openmetrics: bool) -> Sequence[Theirs] | None:
    """Their samples in the page's order; None of a page that they refuse."""
    try:
        return [
            Theirs(sample.name, sample.labels, sample.value, _seconds(sample.timestamp), family.type)
            for family in (read_openmetrics if is_openmetrics else read_text)(text)
            for sample in family.samples
        ]
    except REFUSALS:
        return None


def aligned(text: str, exposition: Exposition) -> list[Line] | None:
    """What we made of each line on which a sample may stand; None where more lines are bad than are listed."""
    bad = {line.number - 1: line.reason for line in exposition.bad_lines}
    if len(bad) < exposition.bad_line_count:
        return None
    candidates = [
        (at, line)
        for at, line in enumerate(text.removesuffix("\n").split("\n"))
        if (line.lstrip(BLANKS)[:1] or "#") != "#"
    ]
    samples = iter(exposition.samples)
    lines = [Line(line, bad[at] if at in bad else next(samples)) for at, line in candidates]
    assert next(samples, None) is None, "more samples than lines"
    return lines


def _laxness(line: str, reason: str, theirs: Theirs, is_openmetrics: bool) -> str:
    """The known difference that a line is."""
    for name, (reasons, predicate, _) in LAX.items():
        is_of_format = is_openmetrics or name not in ONLY_OPENMETRICS
        if is_of_format and (not reasons or reason in reasons) and predicate(line, theirs):
            return name
    raise AssertionError(f"they take a line that we skip ({reason}): {line!r} is {theirs}")


def _differences(line: str, ours: Sample, theirs: Theirs, is_openmetrics: bool) -> list[str]:
    known = []
    name = ours.name
    if name[:1] in BLANKS and name.lstrip(BLANKS) in (theirs.name, theirs.name.removesuffix("_total")):
        known.append("blanks before a name")
        name = name.lstrip(BLANKS)
    if theirs.type == "counter" and name != theirs.name and not name.endswith("_total"):
        known.append("name of a counter")
        name += "_total"
    assert name == theirs.name, f"name: {ours!r}, they {theirs}"
    if ours.labels != theirs.labels:
        bounds = {"quantile", "le"} if ours.name.endswith("_bucket") else {"quantile"}
        assert ours.labels.keys() == theirs.labels.keys(), f"labels: {ours!r}, they {theirs}"
        for label, text in ours.labels.items():
            other = theirs.labels[label]
            assert text == other or (label in bounds and _are_one_number(text, other)), (
                f"{label}: {ours!r}, they {theirs}"
            )
        known.append("bound")
    value = float(theirs.value)
    assert ours.value == value or (math.isnan(ours.value) and math.isnan(value)), f"value: {ours!r}, they {theirs}"
    seconds = None if ours.timestamp_ms is None else ours.timestamp_ms / 1000
    if not are_close(seconds, theirs.timestamp_seconds):
        assert is_openmetrics, f"timestamp: {ours!r}, they {theirs}"
        known.append(_other_timestamp(line, seconds or 0, theirs))
    return known


def _other_timestamp(line: str, seconds: float, theirs: Theirs) -> str:
    """The known difference that it is, in OpenMetrics."""
    others = theirs.timestamp_seconds or 0
    if seconds == -(2**63) / 1000 and abs(others) > 2**63 / 1000:
        return "timestamp beyond 64 bits"
    if -1 < seconds < 0 and are_close(-seconds, others):
        return "timestamp between -1 and 0"
    assert other_fraction.search(bare(line)), f"timestamp: {seconds} of {line!r}, they {theirs}"
    return "exponent behind nine digits"


def _declares_plainly(text: str, is_openmetrics: bool) -> bool:
    """Whether each family is declared once, plainly, with a type of the format: else they and we may take another."""
    declared = _declaration.findall(text)
    is_plain = len(declared) == text.count("TYPE") and not other_blank.search(text) and not has_surrogate(text)
    types = (OPENMETRICS if is_openmetrics else TEXT).types
    return is_plain and len(dict(declared)) == len(declared) and types.issuperset(dict(declared).values())


def _are_one_number(ours: str, theirs: str) -> bool:
    try:
        one, other = number(ours), number(theirs)
    except LineError:
        return False
    return one == other or (math.isnan(one) and math.isnan(other))


def _seconds(timestamp: Any) -> float | None:
    return None if timestamp is None else as_float(timestamp)
