"""How much of a page is read: a table with the reason for each limit, and the checks of a page that has come whole.

The checks go over bytes and finished columns, never line by line: a page within its limits pays some microseconds.
"""

from typing import Annotated, ClassVar

from pydantic import Field

from collector.columns import Columns
from collector.errors import PageLimitError
from collector.figures import Figures
from collector.layout import Layout

Bytes = Annotated[int, Field(ge=65_536, le=64 * 1024 * 1024)]
Number = Annotated[int, Field(ge=1, le=10_000_000)]
# A label takes so many characters at least: a name, `=`, two quotes, a comma or the brace.
LABEL_CHARACTERS_AT_LEAST = 5


class Limits(Figures, frozen=True):
    """What one scrape may take. The time for all of it is the target's timeout."""

    noun: ClassVar[str] = "limit of a page"

    connect_seconds: float = Field(
        3.0, ge=0.1, le=20, description="To each address: as long as the second try of a lost first packet takes."
    )
    page_bytes: Bytes = Field(16 * 1024 * 1024, description="Decompressed: eighty times the largest page recorded.")
    wire_bytes: Bytes = Field(
        24 * 1024 * 1024, description="The body as it was sent: a page not compressed, in chunks as short as a line."
    )
    lines: Number = Field(400_000, description="Comments and all: of as many samples, each with HELP and TYPE.")
    line_bytes: Number = Field(65_536, description="A hundred times the longest recorded.")
    samples: Number = Field(200_000, description="A hundred times the most recorded; 20 to 80 MiB once they are read.")
    labels: Number = Field(128, description="Of one sample: the most recorded is 8.")
    name_characters: Number = Field(1_024, description="Of a metric or a label: the longest recorded has 52.")
    label_characters: Number = Field(4_096, description="Of a label's value: paths and model names are far shorter.")

    def check_page(self, page: bytes, line_count: int) -> None:
        """Before a page is read. Raises PageLimitError."""
        if line_count > self.lines:
            raise PageLimitError(f"the page has {line_count} lines", "lines", self.lines)
        if (at := longer_line(page, self.line_bytes)) is not None:
            number = page.count(b"\n", 0, at) + 1
            end = page.find(b"\n", at)
            length = (len(page) if end < 0 else end) - at
            raise PageLimitError(f"line {number} has {length} bytes", "line_bytes", self.line_bytes)

    def check_samples(self, columns: Columns) -> None:
        """While a page is read. Raises PageLimitError."""
        if len(columns.values) > self.samples:
            seen = f"the first {columns.line_count} lines have {len(columns.values)} samples"
            raise PageLimitError(seen, "samples", self.samples)

    def check_series(self, page: bytes, layout: Layout) -> None:
        """Once a page is read. Raises PageLimitError."""
        if layout.within is self:
            return
        short = min(self.name_characters, self.label_characters, LABEL_CHARACTERS_AT_LEAST * self.labels)
        if longer_line(page, short) is not None:
            for what, limit, seen in zip(
                WIDTHS, (getattr(self, name) for name in WIDTHS), _widest(layout), strict=True
            ):
                if seen > limit:
                    raise PageLimitError(WIDTHS[what].format(seen), what, limit)
        layout.within = self


WIDTHS = {
    "labels": "a sample has {} labels",
    "name_characters": "a name has {} characters",
    "label_characters": "a label's value has {} characters",
}
DEFAULT = Limits()


def longer_line(page: bytes, limit: int) -> int | None:
    """Where the first line begins that is longer than `limit` bytes. It looks at one line feed per so many bytes."""
    start = 0
    while start + limit < len(page):
        end = page.rfind(b"\n", start, start + limit + 1)
        if end < 0:
            return start
        start = end + 1
    return None


def _widest(layout: Layout) -> tuple[int, int, int]:
    """The most labels of a sample, the longest name and the longest value. Buckets have `le` besides."""
    label_sets = {id(labels): labels for _, labels, _ in layout.series}.values()
    names = {name for name, _, _ in layout.series}.union(*label_sets)
    values = {value for labels in label_sets for value in labels.values()}
    bound_counts = (
        len(labels) + (le is not None) for (_, labels, _), le in zip(layout.series, layout.les, strict=True)
    )
    most = max(bound_counts, default=0)
    return most, max(map(len, names), default=0), max(map(len, values), default=0)
