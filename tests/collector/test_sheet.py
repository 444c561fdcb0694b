"""Rows as CSV: what another's text may not become."""

import csv
import io

import pytest

from collector import sheet


def cells(line):
    [row] = csv.reader(io.StringIO(line, newline=""))
    return row


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        pytest.param("=1+1", "'=1+1", id="formula"),
        pytest.param("+1", "'+1", id="plus"),
        pytest.param("-1", "'-1", id="minus"),
        pytest.param("@SUM(A1)", "'@SUM(A1)", id="at"),
        pytest.param("  =1+1", "'  =1+1", id="behind-blanks"),
        pytest.param("\u00a0=1+1", "'\u00a0=1+1", id="behind-a-hard-blank"),
        pytest.param("\ufeff=1+1", "'\ufeff=1+1", id="behind-a-byte-order-mark"),
        pytest.param("＝1＋1", "'＝1＋1", id="full-width"),
        pytest.param("＠SUM", "'＠SUM", id="full-width-at"),
        pytest.param("\t=1", "'\t'=1", id="tab"),
        pytest.param("\r\n=1", "'\r\n'=1", id="line-end"),
        pytest.param("a;=1+1", "a;'=1+1", id="behind-a-semicolon"),
        pytest.param("a; \t=1", "a; \t'=1", id="behind-a-semicolon-and-blanks"),
        pytest.param("a\n=1", "a\n'=1", id="on-a-line-of-its-own"),
        pytest.param("\0=1", "'\0=1", id="null"),
        pytest.param('a","=1', 'a","=1', id="quotation-marks"),
        pytest.param("a,b", "a,b", id="comma"),
        pytest.param("Qwen/Qwen3-235B", "Qwen/Qwen3-235B", id="a-model"),
        pytest.param("10.0.0.1:30000: nothing listens there", "10.0.0.1:30000: nothing listens there", id="an-error"),
        pytest.param("=" * 100_000, "'" + "=" * 100_000, id="very-long"),
    ],
)
def test_a_text_is_one_cell_and_no_formula(text, cell):
    assert cells(sheet.line(["before", text, "after"])) == ["before", cell, "after"]


def test_a_number_stays_a_number():
    assert sheet.line([-3.0, None, True, 2]) == "-3.0,,true,2\r\n"
