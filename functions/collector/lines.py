"""A page as its lines and its numbers: what repeats from page to page, and what moves.

Any text can be taken apart so, whatever it says, and be put together again byte for byte.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Self

# A spelling costs half a microsecond, and most numbers of a page were on others before.
SPELLINGS_KEPT = 50_000
# With more digits before the point, Prometheus' Python library writes an exponent.
# https://github.com/prometheus/client_python/blob/master/prometheus_client/utils.py
DIGITS_AT_MOST = 6
_find_whole_number = re.compile(rb" [0-9]++(\.0)?\n").search
_SPECIAL = {"inf": "+Inf", "-inf": "-Inf", "nan": "NaN"}


@dataclass(frozen=True)
class Heads:
    """The lines of a page without their numbers: of each its text up to the number, or all where it ends in none."""

    lines: list[str]

    @cached_property
    def pieces(self) -> tuple[Sequence[str], str]:
        """The text before each number, from the number before on; and what follows the last."""
        pieces: list[str] = []
        begun: list[str] = []
        for line in self.lines:
            begun.append(line)
            if has_number(line):
                pieces.append("\n".join(begun))
                begun = [""]
        return pieces, "\n".join(begun)


@dataclass(frozen=True, slots=True)
class Lines:
    """A page's `heads`, and its numbers' `values` in their order.

    A number that is spelled as no library would has 0 there, and its text in `odd`, by its place among the values.
    """

    heads: Heads
    values: Sequence[float]
    odd: Mapping[int, str] = field(default_factory=dict)
    bare: bool = False
    """Whole numbers stand without `.0`, as Rust writes them."""
    ends: bool = True
    """The last line ends in a line feed."""

    @classmethod
    def of(cls, page: bytes) -> Self:
        """Any page, taken apart."""
        text = page.decode("utf-8", "surrogateescape")
        lines = text.removesuffix("\n").split("\n")
        heads = [line[: line.rfind(" ") + 1] or line if line > "$" else line for line in lines]
        written = [line[len(head) :] for line, head in zip(lines, heads, strict=True) if has_number(head)]
        values = list(map(_read, written))
        is_bare = sum(map(str.isdigit, written)) > text.count(".0\n")
        spelt = map((_bare if is_bare else _usual).__getitem__, values)
        odd = {at: own for at, (own, other) in enumerate(zip(written, spelt, strict=True)) if own != other}
        for at in odd:
            values[at] = 0.0
        return cls(Heads(heads), values, odd, is_bare, text.endswith("\n"))

    @classmethod
    def known(cls, page: bytes, heads: Heads, values: Sequence[float]) -> Self:
        """As `of`, for a page whose lines and numbers have been read already."""
        whole_number = _find_whole_number(page)
        is_bare = whole_number is not None and whole_number[1] is None
        lines = cls(heads, values, bare=is_bare, ends=page.endswith(b"\n"))
        return lines if lines.page() == page else cls.of(page)

    def page(self) -> bytes:
        """The page as it was."""
        spell = (_bare if self.bare else _usual).__getitem__
        numbers = list(map(spell, self.values))
        for at, own in self.odd.items():
            numbers[at] = own
        pieces, rest = self.heads.pieces
        texts = [*pieces, *pieces, rest, "\n" * self.ends]
        texts[:-2:2], texts[1:-2:2] = pieces, numbers
        text = "".join(texts)
        return text.encode("utf-8", "surrogateescape")


def has_number(head: str) -> bool:
    """Whether a number follows, odd or not: none does in a comment, or in a line without a blank."""
    return head > "$" and head[-1] == " "


def usual_spelling(value: float) -> str:
    """A number as Prometheus' Python library writes it."""
    text = repr(value)
    point = text.find(".")
    if value > 0 and point > DIGITS_AT_MOST:
        digits = f"{text[0]}.{text[1:point]}{text[point + 1 :]}"
        return f"{digits.rstrip('0.')}e+0{point - 1}"
    return _SPECIAL.get(text, text)


def bare_spelling(value: float) -> str:
    """A number as Rust writes it."""
    text = repr(value)
    return _SPECIAL.get(text, text.removesuffix(".0"))


class _Spellings(dict[float, str]):
    """Numbers' texts. A zero with a sign is spelled as one without: so it is odd."""

    def __init__(self, spell: Callable[[float], str]) -> None:
        self._spell = spell
        self[0.0] = spell(0.0)

    def __missing__(self, value: float) -> str:
        if len(self) > SPELLINGS_KEPT:
            self.clear()
            self[0.0] = self._spell(0.0)
        text = self._spell(value)
        if value == value:  # each NaN would be kept anew
            self[value] = text
        return text


_usual, _bare = _Spellings(usual_spelling), _Spellings(bare_spelling)


def _read(written: str) -> float:
    try:
        return float(written)
    except ValueError:
        return 0.0
