"""Part of `make lint`: the licence of every package that the functions ship, and whether it is one we may ship.

It is read from the packages' own metadata: https://packaging.python.org/en/latest/specifications/core-metadata/
"""

import re
import sys
from collections.abc import Iterable
from importlib.metadata import PackageMetadata, PackageNotFoundError, distribution
from pathlib import Path

SHIPPED = Path(__file__).parents[2] / "functions/requirements.txt"
# They ask for their text to be passed on, which the build does, and for nothing else.
ALLOWED = {"Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "MIT", "MIT-0", "PSF-2.0"}
OPERATORS = re.compile(r"\s+(?:AND|OR)\s+|[()]")
SAYS_NOTHING = "says nothing"


def licence(metadata: PackageMetadata) -> str:
    """As an SPDX expression if the package has one, else in the words of its author."""
    return metadata.get("License-Expression") or metadata.get("License") or SAYS_NOTHING


def may_ship(expression: str) -> bool:
    """Whether every licence of an expression is allowed, those that one may choose between too."""
    names = [name for name in OPERATORS.split(expression) if name]
    return bool(names) and ALLOWED.issuperset(names)


def pins(text: str) -> list[tuple[str, str]]:
    return re.findall(r"^([A-Za-z0-9._-]+)==([^\s;]+)", text, re.MULTILINE)


def complaints(pinned: Iterable[tuple[str, str]]) -> list[str]:
    """A line for each package whose licence is not allowed or not known here. Prints all of them."""
    wrong = []
    for name, version in pinned:
        try:
            found = distribution(name)
        except PackageNotFoundError:
            wrong.append(f"{name} {version} is not installed: its licence is not known")
            continue
        said = licence(found.metadata)
        print(f"{name:24}{version:12}{said}")  # noqa: T201
        if found.version != version:
            wrong.append(f"{name} {version} is pinned, {found.version} is installed: its licence may differ")
        if not may_ship(said):
            wrong.append(f"{name} {version}: {said!r} is not among the licences allowed, {', '.join(sorted(ALLOWED))}")
    return wrong


if __name__ == "__main__":
    requirements = Path(sys.argv[1]) if sys.argv[1:] else SHIPPED
    if wrong := complaints(pins(requirements.read_text(encoding="utf-8"))):
        sys.exit("\n".join(wrong))
