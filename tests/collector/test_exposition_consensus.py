"""Inputs on which the reference parsers agree: what all of them read, and what all of them refuse."""

import base64
import json
import math

import pytest

from collector.errors import ExpositionError
from collector.exposition import parse
from support import SHARED

CASES_FILE = SHARED / "conformance" / "cases.json"
CASES = json.loads(CASES_FILE.read_text()) if CASES_FILE.exists() else []

# Errors of meaning, not of syntax: legal as Prometheus text, which a page without `# EOF` is.
NO_EOF = "a page without `# EOF` is text 0.0.4, where this is legal"
LEFT_ALONE = {
    "cp_om/test_invalid_input_da39a3": NO_EOF,
    "om/bad_no_eof": NO_EOF,
    "tp_om/err_L800": NO_EOF,
    "tp_om/err_L804": NO_EOF,
    "tp_om/err_L812": NO_EOF,
    "tp_om/err_L816": NO_EOF,
    "tp_om/err_L924": NO_EOF,
    "tp_om/err_L928": NO_EOF,
    "tp_om/err_L1141": NO_EOF,
    "tp_om/err_L1145": NO_EOF,
}


def of_tier(tier):
    if not CASES:
        return [
            pytest.param(None, id="absent", marks=pytest.mark.skip(reason="the cases are not beside the repository"))
        ]
    return [pytest.param(case, id=case["id"]) for case in CASES if case["tier"] == tier]


def page_of(case):
    return base64.b64decode(case["input_b64"])


def wire(sample):
    value = "NaN" if math.isnan(sample[2]) else sample[2]
    return sample[0], sample[1], value, sample[3]


@pytest.mark.parametrize("case", of_tier("consensus_ok"))
@pytest.mark.parametrize("again", [False, True], ids=["first", "again"])
def test_what_the_references_read_is_read(case, again):
    exposition = parse(page_of(case))
    if again:
        exposition = parse(page_of(case))
    read = [wire((s.name, s.labels, s.value, s.timestamp_ms)) for s in exposition.samples]
    expected = [wire((s["name"], s["labels"], float(s["value"]), s["timestamp_ms"])) for s in case["wire_samples"]]
    assert read == expected
    assert exposition.bad_line_count == 0


@pytest.mark.parametrize("case", of_tier("consensus_error"))
def test_what_the_references_refuse_is_refused(case):
    try:
        refused = parse(page_of(case)).bad_line_count > 0
    except ExpositionError:
        refused = True
    assert refused is (case["id"] not in LEFT_ALONE), LEFT_ALONE.get(case["id"])


@pytest.mark.skipif(not CASES, reason="the cases are not beside the repository")
def test_only_errors_of_openmetrics_are_left_alone():
    left_alone = {case["id"]: case["format"] for case in CASES if case["id"] in LEFT_ALONE}
    assert len(CASES) == 554
    assert set(left_alone) == set(LEFT_ALONE)
    assert set(left_alone.values()) == {"openmetrics-text"}
