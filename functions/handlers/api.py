"""The HTTP API: collect a server now, read back its newest snapshot; `registry`, `history`, `fleet` have more routes.

An API Gateway HTTP API (payload 2.0) in front, IAM in front of that. A target that cannot be scraped is an answer, 200
with `success: false`; a caller's mistake is 422 with the field named; our own fault is 500 with a correlation id and no
internals.
"""

import base64
import binascii
import json
import os
import time
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.event_handler import APIGatewayHttpResolver, Response
from aws_lambda_powertools.event_handler.exceptions import NotFoundError
from aws_lambda_powertools.event_handler.openapi.exceptions import (
    RequestUnsupportedContentType,
    RequestValidationError,
)
from aws_lambda_powertools.event_handler.openapi.params import Path, Query
from aws_lambda_powertools.logging import correlation_paths
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext
from pydantic import BaseModel, ConfigDict

from collector import deployment, health, pipeline, store
from collector.codec import UnreadableError
from collector.errors import PolicyError
from collector.outcome import Outcome, Unfinished
from collector.reading import recall
from collector.response import render
from collector.snapshot import CollectionResponse
from collector.targets import Endpoint, Engine, InstanceId, Target, TimeoutSeconds
from handlers import fleet, history, registry
from handlers.answers import INVALID, ErrorAnswer, FieldError, documented, refuse, refuse_fields, reply

VERSION = "0.1.0"
BEFORE_THE_SCRAPE_SECONDS = 1.0
ON_A_LAPTOP = os.environ.get("ENABLE_DOCS") == "true"
FORMS = ("multipart/form-data", "application/x-www-form-urlencoded")

logger = Logger()
metrics = Metrics()
app = APIGatewayHttpResolver(enable_validation=True)
app.include_router(registry.router, prefix="/api/v1")
app.include_router(history.router, prefix="/api/v1")
app.include_router(fleet.router, prefix="/api/v1")

# What is wrong there stops the function when it starts, in words.
deployment.base_thresholds()
deployment.page_limits()
deployment.rules()

WithRaw = Annotated[bool, Query(description="Whether the answer carries every sample of the page.")]


class CollectRequest(BaseModel):
    """Which server to scrape."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    instance_id: InstanceId
    endpoint: Endpoint
    timeout: TimeoutSeconds = 10.0


class OwnHealth(BaseModel):
    status: Literal["ok"]
    version: str


COLLECTED = documented(200, "What came of the scrape, success or failure.", CollectionResponse)
FORBIDDEN = documented(403, "Policy forbids the endpoint.", CollectionResponse)
QUERY_OFF = documented(403, "Policy forbids the endpoint, or that a query names one.", CollectionResponse | ErrorAnswer)
NOT_FOUND = documented(404, "Nothing is stored under that name.", ErrorAnswer)


@app.post(
    "/api/v1/collect/<engine>",
    summary="Scrape a server now and store what came of it",
    responses=COLLECTED | FORBIDDEN | INVALID,
)
def collect(engine: Annotated[Engine, Path()], request: CollectRequest, raw: WithRaw = True) -> Response[str]:
    return _collect(engine, request, raw)


@app.get(
    "/api/v1/metrics/<engine>/<instance_id>",
    summary="The newest stored scrape; with an endpoint, a new one",
    responses=COLLECTED | QUERY_OFF | INVALID | NOT_FOUND,
)
def read_metrics(
    engine: Annotated[Engine, Path()],
    instance_id: Annotated[InstanceId, Path()],
    endpoint: Annotated[Endpoint | None, Query(description="Scrape this page now; without it, read the store.")] = None,
    timeout: Annotated[TimeoutSeconds, Query()] = 10.0,
    raw: WithRaw = True,
) -> Response[str]:
    if endpoint is not None:
        if os.environ.get("ALLOW_ENDPOINT_QUERY") == "false":
            return refuse(403, "endpoint_query_off", "collecting by query string is switched off: POST to /collect")
        return _collect(engine, CollectRequest(instance_id=instance_id, endpoint=endpoint, timeout=timeout), raw)
    stored = store.read_newest(instance_id)
    if stored is None or stored.target.engine != engine:
        return refuse(404, "not_found", f"no scrape of {engine} server {instance_id} is stored")
    verdict, code, error = stored.health, stored.code, stored.error
    if isinstance(stored.told, UnreadableError):
        code, error = "unreadable_page", f"the stored page cannot be read: {stored.told}"
    if verdict and stored.target.interval_seconds:
        now, thresholds = datetime.now(UTC), deployment.thresholds_of(stored.target)
        verdict = health.stale(verdict, stored.scraped_at, stored.target.interval_seconds, now, thresholds)
    reading = recall(stored)
    snapshot = reading.with_verdict(stored.health) if reading else None
    samples = reading.exposition.samples if reading and raw else ()
    return reply(200, render(instance_id, stored.scraped_at, snapshot, samples, error, code, verdict))


@app.get("/api/v1/health", summary="The collector's own health")
def own_health() -> OwnHealth:
    return OwnHealth(status="ok", version=VERSION)


@app.get("/openapi.json", include_in_schema=False)
def openapi() -> Response[str]:
    from handlers.document import document  # it is seldom asked for, and a cold start has no time for it

    return reply(200, json.dumps(document(app, VERSION, signed=not ON_A_LAPTOP)))


if ON_A_LAPTOP:  # behind IAM no browser can open it
    app.enable_swagger(path="/docs", title="sglang-collector", version=VERSION)


@app.exception_handler(RequestValidationError)
def invalid(error: RequestValidationError) -> Response[str]:
    fields = [
        FieldError(field=".".join(str(part) for part in wrong["loc"]), message=wrong.get("msg", wrong["type"]))
        for wrong in error.errors()
    ]
    return refuse_fields("invalid_request", fields)


@app.exception_handler(RequestUnsupportedContentType)
def unsupported(error: RequestUnsupportedContentType) -> Response[str]:
    return refuse(415, "unsupported_content_type", "the body has to be application/json")


@app.exception_handler([UnicodeDecodeError, binascii.Error])
def not_text(error: ValueError) -> Response[str]:
    """API Gateway hands on what is not UTF-8 in base64; Powertools does not expect that. Any other is a bug of ours."""
    event = app.current_event
    if event.is_base64_encoded and event.body and not _is_text(event.body):
        return refuse_fields("invalid_request", [FieldError(field="body", message="it is not UTF-8")])
    return fault()


@app.exception_handler(RecursionError)
def too_deep(error: RecursionError) -> Response[str]:
    """Of the body, if it is that; any other is a bug of ours."""
    try:
        json.loads(app.current_event.decoded_body or "")
    except RecursionError:
        return refuse_fields("invalid_request", [FieldError(field="body", message="its JSON is nested too deep")])
    except ValueError:
        pass
    return fault()


@app.not_found
def not_found(error: NotFoundError) -> Response[str]:
    return refuse(404, "no_such_route", f"no route {app.current_event.http_method} {app.current_event.path}")


@app.exception_handler(Exception)
def our_fault(error: Exception) -> Response[str]:
    return fault()


def fault() -> Response[str]:
    """What the exception that is being handled is to the caller."""
    logger.exception("request failed")
    metrics.add_metric(name="InternalErrors", unit=MetricUnit.Count, value=1)
    return refuse(500, "internal_error", "internal error; the log has it", correlation_id=logger.get_correlation_id())


@logger.inject_lambda_context(correlation_id_path=correlation_paths.API_GATEWAY_HTTP)
@metrics.log_metrics
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answer one API Gateway event, payload 2.0."""
    metrics.add_metric(name="Requests", unit=MetricUnit.Count, value=1)
    return app.resolve(_without_forms(event), context)


def _without_forms(event: dict[str, Any]) -> dict[str, Any]:
    """Powertools reads forms too, and fails over one without a boundary; a type that it does not know it refuses."""
    headers = event.get("headers") or {}
    if headers.get("content-type", "").strip().lower().startswith(FORMS):
        return event | {"headers": headers | {"content-type": "form"}}
    return event


def _is_text(body: str) -> bool:
    """Whether it is the base64 of UTF-8: API Gateway sends any body in base64 that is not declared as text."""
    try:
        base64.b64decode(body, validate=True).decode()
    except ValueError:
        return False
    return True


def _collect(engine: Engine, request: CollectRequest, raw: bool) -> Response[str]:
    registered = registry.registered_at(request.instance_id, request.endpoint)
    target = Target(
        instance_id=request.instance_id,
        engine=engine,
        endpoint=request.endpoint,
        timeout_seconds=request.timeout,
        slot_ms=time.time_ns() // 1_000_000,
        auth=registered and registered.auth,
        ca=registered and registered.ca,
    )
    allowed = deployment.rules().for_registered() if registered else deployment.rules()
    [outcome] = pipeline.collect([target], time.monotonic() + request.timeout + BEFORE_THE_SCRAPE_SECONDS, allowed)
    if isinstance(outcome, Unfinished):
        raise outcome.reason
    _report(outcome)
    samples = outcome.exposition.samples if raw and outcome.exposition else ()
    error = str(outcome.error) if outcome.error else None
    answer = render(
        target.instance_id, outcome.asked_at, outcome.snapshot, samples, error, outcome.code, outcome.health
    )
    return reply(403 if isinstance(outcome.error, PolicyError) else 200, answer)


def _report(outcome: Outcome) -> None:
    metrics.add_metric(name="Scrapes", unit=MetricUnit.Count, value=1)
    metrics.add_metric(name="FailedScrapes", unit=MetricUnit.Count, value=0 if outcome.snapshot else 1)
    facts = outcome.snapshot.scrape if outcome.snapshot else None
    logger.info(
        "collected",
        instance_id=outcome.target.instance_id,
        engine=outcome.target.engine,
        code=outcome.code,
        samples=facts and facts.samples,
        page_bytes=facts and facts.page_bytes,
        scrape_seconds=facts and facts.duration_seconds,
    )
