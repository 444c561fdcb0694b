"""Pages in parts that can be changed: what is recorded is taken apart, and written again."""

import functools
import math
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from collector.exposition import parse

ESCAPED = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})
SPELLED = {math.inf: "+Inf", -math.inf: "-Inf"}


class Line(NamedTuple):
    name: str
    labels: dict[str, str]
    value: float

    @property
    def is_finite(self) -> bool:
        return math.isfinite(self.value)

    @property
    def text(self) -> str:
        labels = ",".join(f'{name}="{value.translate(ESCAPED)}"' for name, value in self.labels.items())
        value = "NaN" if math.isnan(self.value) else SPELLED.get(self.value, repr(self.value))
        return f"{self.name}{{{labels}}} {value}\n"

    def at(self, value: float) -> "Line":
        return self._replace(value=value)

    def labelled(self, **labels: str) -> "Line":
        return self._replace(labels=self.labels | labels)


class Family(NamedTuple):
    name: str
    kind: str | None
    lines: tuple[Line, ...]

    @property
    def text(self) -> str:
        declared = f"# TYPE {self.name} {self.kind}\n" if self.kind else ""
        return declared + "".join(line.text for line in self.lines)

    @property
    def counts(self) -> bool:
        return self.kind in ("counter", "histogram")

    def each(self, change: Callable[[Line], Line]) -> "Family":
        return self._replace(lines=tuple(map(change, self.lines)))

    def more(self, lines: Iterable[Line]) -> "Family":
        return self._replace(lines=(*self.lines, *lines))


Page = tuple[Family, ...]


def text_of(page: Page) -> bytes:
    return "".join(family.text for family in page).encode()


@functools.cache
def recorded(path: Path) -> Page:
    page = parse(path.read_bytes())
    families: dict[str, list[Line]] = {}
    for sample in page.samples:
        names = sample.name, re.sub("_(bucket|sum|count|total|created|info)$", "", sample.name)
        family = next((name for name in names if name in page.types), sample.name)
        families.setdefault(family, []).append(Line(sample.name, dict(sample.labels), sample.value))
    return tuple(Family(name, page.types.get(name), tuple(lines)) for name, lines in families.items())
