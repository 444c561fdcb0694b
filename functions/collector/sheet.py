"""Rows as CSV (RFC 4180), for programs and for spreadsheets."""

import csv
import io
from collections.abc import Iterable

MEDIA_TYPE = "text/csv"
# A spreadsheet takes a cell that begins so for a formula: https://owasp.org/www-community/attacks/CSV_Injection
RUN = ("=", "+", "-", "@", "\t", "\r", "\n")


def line(cells: Iterable[object]) -> str:
    """One line. Text that a spreadsheet would run gets an apostrophe before it; None is an empty cell."""
    text = io.StringIO()
    csv.writer(text).writerow([_safe(cell) for cell in cells])
    return text.getvalue()


def _safe(cell: object) -> object:
    if isinstance(cell, bool):
        return str(cell).lower()
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(RUN) else cell
