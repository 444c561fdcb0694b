"""Every connection that this process makes, seen at the socket, where nothing of ours has a say any more."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import local
from typing import Any


@dataclass
class Watch:
    """What happened in this thread."""

    refuse: Callable[[str], bool]
    connects: list[tuple[str, int]] = field(default_factory=list)
    look_ups: list[str] = field(default_factory=list)


_this_thread = local()


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if event not in ("socket.connect", "socket.getaddrinfo"):
        return
    watch: Watch | None = getattr(_this_thread, "watch", None)
    if watch is None:
        return
    if event == "socket.getaddrinfo":
        watch.look_ups.append(arguments[0])
        return
    watch.connects.append(arguments[1][:2])
    if watch.refuse(arguments[1][0]):
        raise ConnectionRefusedError("not let out by a test")


sys.addaudithook(_hook)  # for good: Python takes none away


@contextmanager
def watched(refuse: Callable[[str], bool] = lambda address: True) -> Iterator[Watch]:
    """This thread's connections for as long as the block lasts. Those to be refused are, before a packet is sent.

    Events: https://docs.python.org/3/library/audit_events.html
    """
    _this_thread.watch = watch = Watch(refuse)
    try:
        yield watch
    finally:
        del _this_thread.watch
