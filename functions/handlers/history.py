"""The routes that read a server's past: its history as rows, and a page as it was scraped."""

import base64
import gzip
import json
import time
from collections.abc import Mapping
from typing import Annotated

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.openapi.params import Path, Query
from aws_lambda_powertools.event_handler.router import APIGatewayHttpRouter
from pydantic import BaseModel, Field

from collector import history, sheet, store
from collector.asked import Asked, WrongError
from collector.codec import UnreadableError
from collector.fields import DEFAULT, Value
from collector.history import Walk
from collector.response import ANSWER_BYTES_AT_MOST, bytes_in_answer
from collector.rows import ROW_FIELDS, scraped_at_ms
from collector.targets import Engine, InstanceId
from collector.timespan import iso, next_second_ms, read_moment
from handlers.answers import INVALID, ErrorAnswer, FieldError, documented, header, refuse, refuse_fields, reply

router = APIGatewayHttpRouter()

# The function itself ends after 29 s. A row takes less than a millisecond, unless its page has megabytes.
SECONDS_AT_MOST = 10.0
ROOM_FOR_THE_REST = 64 * 1024  # 50 names of fields, and the rows' envelope
EXPOSITION = "text/plain; version=0.0.4; charset=utf-8"
MOMENT = "ISO 8601 (UTC if it does not say), seconds since 1970, `-15m`, `-6h`, `-2d` or `now`"


class History(BaseModel):
    """A part of a server's history, oldest first."""

    instance_id: str
    engine: str
    start: str
    end: str
    step_seconds: int | None = Field(description="Null: a row for each scrape.")
    fields: list[str]
    rows: list[dict[str, Value]] = Field(
        description="Of each its `timestamp`; `code` and `error` as a collection has them, or `no_scrape`, `not_read`, "
        "`unreadable_page`; a `note` on what could not be said; and the fields, null where the server does not say."
    )
    next_cursor: str | None = Field(description="For the next part; null at the end.")


TEXT = {"schema": {"type": "string"}}
HISTORY = documented(
    200, "Rows; as `text/csv` where `Accept` says so.", History, X_Next_Cursor="`next_cursor`, where the rows are CSV."
)
HISTORY[200]["content"][sheet.MEDIA_TYPE] = TEXT
PAGE = {
    200: {
        "description": "The page.",
        "headers": {
            "X-Scraped-At": header("When it was scraped."),
            "Content-Encoding": header("`gzip`, where the page would not fit otherwise and `Accept-Encoding` has it."),
        },
        "content": {"text/plain": TEXT},
    }
}
NOT_FOUND = documented(404, "Nothing of the kind is stored, or it cannot be read any more.", ErrorAnswer)


@router.get(
    "/metrics/<engine>/<instance_id>/history",
    summary="A server's stored scrapes as rows, oldest first",
    responses=HISTORY | INVALID | NOT_FOUND,
)
def read_history(
    engine: Annotated[Engine, Path()],
    instance_id: Annotated[InstanceId, Path()],
    start: Annotated[str, Query(description=f"From when: {MOMENT}.")] = "-1h",
    end: Annotated[str, Query(description=f"Until when: {MOMENT}.")] = "now",
    step: Annotated[
        str | None,
        Query(
            description="`60s`, `5m`, `1h`, a day at most: a row for each step, of the last good page in it; rates and "
            "quantiles are the difference to the last one before it. Without it, a row for each scrape."
        ),
    ] = None,
    fields: Annotated[
        list[str] | None,
        Query(
            description="With commas between: fields of `metrics` by their path, as "
            "`interval.time_to_first_token.p95.value` or `health.status`; and metrics of the page, as "
            '`sglang:num_running_reqs{dp_rank="0"}`, which is the sum of the series that have these labels. '
            f"Without it: {', '.join(DEFAULT)}."
        ),
    ] = None,
    limit: Annotated[int, Query(ge=1, le=1000, description="Rows at most; there may be fewer, and yet more.")] = 1000,
    cursor: Annotated[
        str | None,
        Query(pattern=r"^[A-Za-z0-9_-]{36}$", description="`next_cursor` of the part before, to the same question."),
    ] = None,
) -> Response[str]:
    asked = Asked(engine, instance_id, start, end, step, ",".join(fields or DEFAULT))
    now_ms = next_second_ms(time.time())
    try:
        question, position = asked.read(cursor, now_ms)
    except WrongError as wrong:
        return _wrong(wrong.fields)
    walk = Walk(question, position, limit, now_ms)
    is_csv = _accepts(sheet.MEDIA_TYPE)
    rows, after = _render(walk, limit, is_csv)
    if not walk.has_found and store.newest_engine(instance_id) != engine:
        return refuse(404, "not_found", f"no scrape of {engine} server {instance_id} is stored")
    next_cursor = None if after is None else asked.cursor(question.span, after)
    texts = question.fields.texts
    if is_csv:
        body = sheet.line([*ROW_FIELDS, *texts]) + "".join(rows)
        return Response(
            200, f"{sheet.MEDIA_TYPE}; charset=utf-8", body, {"X-Next-Cursor": next_cursor} if next_cursor else {}
        )
    span = question.span
    answer = {
        "instance_id": instance_id,
        "engine": engine,
        "start": iso(span.start_ms),
        "end": iso(span.end_ms),
        "step_seconds": span.step_ms and span.step_ms // 1000,
        "fields": texts,
        "next_cursor": next_cursor,
    }
    return reply(200, f'{json.dumps(answer)[:-1]}, "rows": [{", ".join(rows)}]}}')


@router.get(
    "/metrics/<engine>/<instance_id>/raw",
    summary="A page as it was scraped",
    responses=PAGE | INVALID | NOT_FOUND,
)
def read_raw(
    engine: Annotated[Engine, Path()],
    instance_id: Annotated[InstanceId, Path()],
    at: Annotated[str, Query(description=f"The last page of that time or before: {MOMENT}.")] = "now",
) -> Response[str]:
    try:
        at_ms = read_moment(at, next_second_ms(time.time()))
    except ValueError as exc:
        return _wrong({"at": str(exc)})
    found = history.newest_page(instance_id, engine, at_ms)
    if found is None:
        return refuse(
            404, "not_found", f"no page of {engine} server {instance_id} is stored from {iso(at_ms)} or before"
        )
    item, told = found
    if isinstance(told, UnreadableError):
        return refuse(404, "unreadable_page", f"the page of {iso(scraped_at_ms(item))} cannot be read: {told}")
    return _page(told.lines.page(), {"X-Scraped-At": iso(scraped_at_ms(item))})


def _page(page: bytes, headers: dict[str, str]) -> Response[str]:
    """As text where it is text, for that is the shortest; packed where it would not fit an answer."""
    try:
        text = page.decode()
        if bytes_in_answer(text) <= ANSWER_BYTES_AT_MOST:
            return Response(200, EXPOSITION, text, headers)
    except UnicodeDecodeError:
        if answer := _of_bytes(page, headers):
            return answer
    packed = gzip.compress(page, 6, mtime=0)
    if "gzip" in _header("accept-encoding") and (answer := _of_bytes(packed, headers | {"Content-Encoding": "gzip"})):
        return answer
    words = f"the page has {len(page):,} bytes, and an answer no room for it: ask with Accept-Encoding: gzip"
    return refuse(422, "answer_too_large", words)


def _of_bytes(body: bytes, headers: dict[str, str]) -> Response[str] | None:
    """None where there is no room for it."""
    text = base64.b64encode(body).decode()
    if len(text) > ANSWER_BYTES_AT_MOST:
        return None
    answer = Response(200, EXPOSITION, text, headers)
    answer.base64_encoded = True  # given bytes, Powertools would want text in them to check
    return answer


def _render(walk: Walk, limit: int, is_csv: bool) -> tuple[list[str], int | None]:
    """Rows, as many as an answer and the time have room for; and the position to go on from, None at the end."""
    until = time.monotonic() + SECONDS_AT_MOST
    room = ANSWER_BYTES_AT_MOST - ROOM_FOR_THE_REST
    rows: list[str] = []
    after = None
    for position, row in walk:
        text = sheet.line(row.values()) if is_csv else json.dumps(row)
        room -= bytes_in_answer(text)
        if rows and (len(rows) == limit or room < 0 or time.monotonic() > until):
            return rows, after
        rows.append(text)
        after = position
    return rows, walk.position


def _wrong(fields: Mapping[str, str]) -> Response[str]:
    named = [FieldError(field=f"query.{field}", message=words) for field, words in fields.items()]
    return refuse_fields("invalid_request", named)


def _accepts(media_type: str) -> bool:
    return any(one.partition(";")[0].strip().lower() == media_type for one in _header("accept").split(","))


def _header(name: str) -> str:
    return router.current_event.headers.get(name) or ""
