"""Values made of other values, as words for engine tables."""

from collections.abc import Callable

from collector.engines.page import Reading
from collector.engines.tables import Source


class Constant:
    """What is known without a page."""

    def __init__(self, value: float) -> None:
        self._value = value

    def read(self, at: Reading) -> float:
        return self._value


class First:
    """The first source that says something: a table's order of preference, inside a formula."""

    def __init__(self, *sources: Source) -> None:
        self._sources = sources

    def read(self, at: Reading) -> float | None:
        return next((value for source in self._sources if (value := source.read(at)) is not None), None)


class Sum:
    """Of those sources that say something; None where none does."""

    def __init__(self, *sources: Source) -> None:
        self._sources = sources

    def read(self, at: Reading) -> float | None:
        said = [value for source in self._sources if (value := source.read(at)) is not None]
        return sum(said) if said else None


class Formula:
    """What a formula makes of its sources; None where one of them says nothing."""

    def __init__(self, formula: Callable[..., float | None], *sources: Source) -> None:
        self._formula = formula
        self._sources = sources

    def read(self, at: Reading) -> float | None:
        said: list[float] = []
        for source in self._sources:
            value = source.read(at)
            if value is None:
                return None
            said.append(value)
        return self._formula(*said)


def ratio(part: Source, whole: Source) -> Formula:
    """None where the whole is 0."""
    return Formula(lambda whole, part: part / whole if whole else None, whole, part)


def share(part: Source, whole: Source) -> Formula:
    """A ratio of 0 to 1; None also where a part is said to be more than the whole: one of them is wrong."""
    return Formula(lambda whole, part: part / whole if whole and 0 <= part / whole <= 1 else None, whole, part)


def product(one: Source, other: Source) -> Formula:
    return Formula(lambda one, other: one * other, one, other)


class WhileRunning:
    """0 where `running` is 0; else a gauge, if there is any. It keeps its last value when the work ends."""

    def __init__(self, running: Source, gauge: Source | None = None) -> None:
        self._running = running
        self._gauge = gauge

    def read(self, at: Reading) -> float | None:
        if self._running.read(at) == 0:
            return 0.0
        value: float | None = self._gauge.read(at) if self._gauge else None
        return value
