"""The route of the fleet view: every registered target at a glance, worst first."""

import base64
from datetime import UTC, datetime
from typing import Annotated

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.openapi.params import Query
from aws_lambda_powertools.event_handler.router import APIGatewayHttpRouter
from pydantic import AfterValidator, BaseModel, Field, TypeAdapter

from collector import deployment, fleet, glance
from collector.glance import FleetRow, ModelSums, Place, Totals
from collector.item import milliseconds
from collector.targets import InstanceId
from collector.verdict import Status
from handlers.answers import INVALID, documented, reply

router = APIGatewayHttpRouter()

CURSOR_MARK = "fleet/1"
CURSOR: TypeAdapter[tuple[Status, int, str]] = TypeAdapter(
    tuple[Status, Annotated[int, Field(ge=0, le=glance.NEVER_MS)], InstanceId]
)


def _cursor(place: Place) -> str:
    content = f"{CURSOR_MARK} {glance.STATUSES[place.severity]} {place.since_ms} {place.instance_id}"
    return base64.urlsafe_b64encode(content.encode()).decode().rstrip("=")


def _place(cursor: str) -> Place:
    """The place that a cursor stands for; only what `_cursor` gives is one."""
    try:
        mark, *parts = base64.urlsafe_b64decode(f"{cursor}==").decode().split(" ")
        status, since_ms, instance_id = CURSOR.validate_python(parts)
        place = Place(glance.STATUSES.index(status), since_ms, instance_id)
        if mark == CURSOR_MARK and _cursor(place) == cursor:
            return place
    except ValueError:  # not base64, not text, not a place
        pass
    raise ValueError("not a cursor that this view has given")


def _given(cursor: str) -> str:
    _place(cursor)
    return cursor


Cursor = Annotated[str, AfterValidator(_given)]
ModelName = Annotated[str, Field(min_length=1, max_length=256)]


class FleetView(BaseModel):
    """A page of the fleet, worst first. Totals and sums are over all that the filters let through, not this page."""

    at: datetime = Field(description="When it was read; what is stale was found then.")
    totals: Totals
    models: list[ModelSums]
    targets: list[FleetRow]
    cursor: str | None = Field(description="For the next page; null at the end.")
    complete: bool = Field(description="False: the fleet is larger than is read at once, and the rest is left out.")


@router.get(
    "/fleet",
    summary="Every registered target at a glance, worst first",
    responses=documented(200, "A page, and what the fleet comes to.", FleetView) | INVALID,
)
def read_fleet(
    health: Annotated[
        list[Status] | None, Query(max_length=len(glance.STATUSES), description="Only these statuses, by commas.")
    ] = None,
    model: Annotated[
        list[ModelName] | None, Query(max_length=16, description="Only servers of these models, by commas.")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=1000, description="Rows of a page.")] = 100,
    cursor: Annotated[Cursor | None, Query(description="The cursor of the page before.")] = None,
) -> Response[str]:
    now = datetime.now(UTC)
    kept = fleet.read(milliseconds(now))
    shown = glance.only(glance.look(kept, now, deployment.base_thresholds()), health or (), model or ())
    rows, last = glance.page(shown, None if cursor is None else _place(cursor), limit)
    view = FleetView(
        at=now,
        totals=glance.totals(shown),
        models=glance.by_model(shown),
        targets=rows,
        cursor=_cursor(last) if last else None,
        complete=kept.whole,
    )
    return reply(200, view.model_dump_json())
