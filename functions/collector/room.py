"""Room for large pages: few are held at once, so that no number of servers can take all of a process's memory."""

import threading
import time

# Five times the largest page that was recorded: a thousand of these fit a worker beside the large ones.
SMALL_PAGE_BYTES = 1024 * 1024
LARGE_PAGES_AT_ONCE = 2


class Room:
    """For the pages of one collection. What an earlier one left behind, in threads that still run, takes none of it."""

    def __init__(self) -> None:
        self.places = threading.Semaphore(LARGE_PAGES_AT_ONCE)


class Place:
    """A page's own, from where it proves large until it is given back."""

    def __init__(self, room: Room) -> None:
        self._places = room.places
        self._is_taken = False

    def take(self, until: float) -> bool:
        """Wait for one that is free, no longer than `until` (`time.monotonic()`); whether there was one."""
        self._is_taken = self._is_taken or self._places.acquire(timeout=max(0.0, until - time.monotonic()))
        return self._is_taken

    def give_back(self) -> None:
        if self._is_taken:
            self._is_taken = False
            self._places.release()


NO_PLACE = Place(Room())  # of a page that was not fetched
