"""Rows as CSV (RFC 4180), for programs and for spreadsheets."""

import csv
import io
import re
from collections.abc import Iterable

MEDIA_TYPE = "text/csv"
# A spreadsheet takes a cell that begins so for a formula, in some languages in full width too, and so what follows a
# semicolon or a tab where it takes that for the end of a cell: https://owasp.org/www-community/attacks/CSV_Injection
_begins_formula = re.compile(r"[\t\r\n\0]|[\s\ufeff\u200b]*[=+@＝＋－＠-]").match
_hidden_formula = re.compile(r"([;\t\r\n][\s\ufeff\u200b]*)(?=[=+@＝＋－＠-])")


def line(cells: Iterable[object]) -> str:
    """One line. Text that a spreadsheet would run gets an apostrophe before it; None is an empty cell."""
    text = io.StringIO()
    csv.writer(text).writerow([_safe(cell) for cell in cells])
    return text.getvalue()


def _safe(cell: object) -> object:
    if isinstance(cell, bool):
        return str(cell).lower()
    if not isinstance(cell, str):
        return cell
    cell = _hidden_formula.sub(r"\1'", cell)
    return f"'{cell}" if _begins_formula(cell) else cell
