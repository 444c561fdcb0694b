"""What a caller asks of a history, in words, and what it means.

A cursor belongs to one question. It says where the answer goes on, and of which time it is: `-6h` is another time on
each page. Whatever it is made to say, it leads to no more than any caller may ask for.
"""

import base64
import json
from collections.abc import Callable, Mapping
from hashlib import blake2b
from typing import NamedTuple, TypeVar

from collector.fields import read_fields
from collector.history import Question
from collector.timespan import LATEST_MS, STEPS_AT_MOST, Span, read_moment, read_step

CURSOR_FORM = 1
MOMENT_BYTES, CHECKSUM_BYTES = 6, 8

T = TypeVar("T")


class WrongError(Exception):
    """Words that mean nothing, by the field that they stand in."""

    def __init__(self, fields: Mapping[str, str]) -> None:
        super().__init__("; ".join(f"{field}: {words}" for field, words in fields.items()))
        self.fields = fields


class Asked(NamedTuple):
    engine: str
    instance_id: str
    start: str
    end: str
    step: str | None
    fields: str

    def read(self, cursor: str | None, now_ms: int) -> tuple[Question, int | None]:
        """What it means, and where to go on. Raises WrongError."""
        wrong: dict[str, str] = {}

        def read(field: str, reader: Callable[[], T]) -> T | None:
            try:
                return reader()
            except ValueError as exc:
                wrong[field] = str(exc)
                return None

        step = self.step
        step_ms = None if step is None else read("step", lambda: read_step(step))
        fields = read("fields", lambda: read_fields(self.fields))
        start_ms = end_ms = position = None
        if cursor is None:
            start_ms = read("start", lambda: read_moment(self.start, now_ms))
            end_ms = read("end", lambda: read_moment(self.end, now_ms))
        elif moments := read("cursor", lambda: self._read_cursor(cursor)):
            start_ms, end_ms, position = moments
        if wrong or fields is None or start_ms is None or end_ms is None:
            raise WrongError(wrong)
        if end_ms < start_ms:
            raise WrongError({"start": "it is after the end"})
        span = Span(start_ms, end_ms, step_ms)
        if span.steps > STEPS_AT_MOST:
            raise WrongError({"step": f"from start to end are more than {STEPS_AT_MOST:,} steps"})
        return Question(self.instance_id, self.engine, span, fields), position

    def cursor(self, span: Span, position: int) -> str:
        """It goes on behind a position."""
        moments = b"".join(moment.to_bytes(MOMENT_BYTES) for moment in (span.start_ms, span.end_ms, position + 1))
        return base64.urlsafe_b64encode(bytes([CURSOR_FORM]) + moments + self._checksum(moments)).decode()

    def _read_cursor(self, cursor: str) -> tuple[int, int, int]:
        """Raises ValueError."""
        content = base64.urlsafe_b64decode(cursor)
        moments, checksum = content[1 : 1 + 3 * MOMENT_BYTES], content[1 + 3 * MOMENT_BYTES :]
        if content[0] != CURSOR_FORM or checksum != self._checksum(moments):
            raise ValueError("this question has not given it")
        start, end, after = (
            int.from_bytes(moments[first : first + MOMENT_BYTES]) for first in range(0, len(moments), MOMENT_BYTES)
        )
        if not start <= after <= end + 1 <= LATEST_MS:
            raise ValueError("it leads nowhere")
        return start, end, after - 1

    def _checksum(self, moments: bytes) -> bytes:
        return blake2b(json.dumps(self).encode() + moments, digest_size=CHECKSUM_BYTES).digest()
