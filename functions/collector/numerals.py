"""The numbers and bounds of many lines, read together where all are in the plain spelling; else by `grammar`."""

import math
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import cast

from collector.grammar import normal_number, number

# Numbers, a line each, that `float` reads as `grammar` does, if none overflows.
_are_plain_numbers = re.compile(r"(?:[0-9.\n-]++|e[+-][0-9]++|(?<!-)NaN)*+").fullmatch
# Bounds, a line each, that are spelled as Prometheus spells them, if those with many digits need them all.
_are_normal_bounds = re.compile(
    r"(?:(?:(?:[1-9][0-9]{0,5}+|0(?!\.0000))\.(?:0|[0-9]{0,30}[1-9])"
    r"|\+Inf|[1-9](?:\.[0-9]{0,13}[1-9])?e\+(?:0[6-9]|1[0-5]))\n)*+"
).fullmatch
_SURE_DIGITS = 15


def read_numbers(texts: Sequence[str]) -> list[float]:
    """Raises ValueError. Most of a page's numbers are there more than once."""
    different = set(texts)
    read = float if _are_plain_numbers("\n".join(different)) else number
    values = dict(zip(different, map(read, different), strict=True))
    if math.inf in values.values() or -math.inf in values.values():
        values = {text: number(text) for text in different}
    return list(map(values.__getitem__, texts))


def read_bounds(les: list[str | None]) -> list[str | None]:
    """As Prometheus spells them: the same list if they are. Raises LineError."""
    bounds = cast(set[str], set(les))
    bounds.discard(None)
    unsure = [bound for bound in bounds if len(bound) > _SURE_DIGITS + 1]
    if _are_normal_bounds("\n".join([*bounds, ""])) and all(map(_is_shortest, unsure)):
        return les
    normals = {bound: normal_number(bound) for bound in bounds}
    return [None if le is None else normals[le] for le in les]


@lru_cache(maxsize=4096)
def _is_shortest(bound: str) -> bool:
    return repr(float(bound)) == bound
