"""What was kept last, as much of it as there is room for."""

from collections.abc import Callable, Iterator, MutableMapping
from typing import TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")


class Recent(MutableMapping[Key, Value]):
    """The newest values, whose weights add up to no more than `at_most`; setting one makes it the newest.

    One that is heavier by itself is not kept, nor is anything before it.
    """

    def __init__(self, weigh: Callable[[Value], int], at_most: int) -> None:
        self.at_most = at_most
        self._weigh = weigh
        self._weight = 0
        self._kept: dict[Key, Value] = {}

    def __getitem__(self, key: Key) -> Value:
        return self._kept[key]

    def __setitem__(self, key: Key, value: Value) -> None:
        self.pop(key, None)
        self._kept[key] = value
        self._weight += self._weigh(value)
        while self._weight > self.at_most:
            del self[next(iter(self))]

    def __delitem__(self, key: Key) -> None:
        self._weight -= self._weigh(self._kept.pop(key))

    def __iter__(self) -> Iterator[Key]:
        return iter(self._kept)

    def __len__(self) -> int:
        return len(self._kept)
