"""The collection response as JSON: the snapshot, and every sample of the page as far as an answer has room."""

import json
import math
from collections.abc import Iterable
from datetime import datetime
from itertools import accumulate, takewhile
from typing import Any

from collector.exposition import Sample
from collector.original import with_original_names
from collector.snapshot import CollectionResponse, Snapshot
from collector.verdict import Health

# Lambda's 6 MB for a synchronous answer, less room for its envelope of status and headers.
# https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
ANSWER_BYTES_AT_MOST = 6 * 1024 * 1024 - 64 * 1024


def render(
    instance_id: str,
    timestamp: datetime,
    snapshot: Snapshot | None,
    samples: Iterable[Sample] = (),
    error: str | None = None,
    code: str | None = None,
    health: Health | None = None,
) -> str:
    """One collection as the JSON text of a `CollectionResponse`, never longer than a Lambda may answer.

    `samples` become `raw_metrics`; those that do not fit are left out and counted in `raw_metrics_omitted`.
    """
    response = CollectionResponse(
        success=snapshot is not None,
        instance_id=instance_id,
        timestamp=timestamp,
        error=error,
        error_code=code,
        health=health,
        metrics=snapshot,
    )
    answer = response.model_dump(mode="json")
    if answer["metrics"] is None:
        return json.dumps(answer)
    answer["metrics"] = with_original_names(answer["metrics"])
    # Plain dicts and one json.dumps: a model for each sample costs ten times as much.
    answer["metrics"]["raw_metrics"] = raw = [raw_metric(sample) for sample in samples]
    text = json.dumps(answer)
    if bytes_in_answer(text) > ANSWER_BYTES_AT_MOST:
        answer["metrics"]["raw_metrics"] = []
        fitting = _fitting(raw, ANSWER_BYTES_AT_MOST - bytes_in_answer(json.dumps(answer)))
        answer["metrics"] |= {"raw_metrics": fitting, "raw_metrics_omitted": len(raw) - len(fitting)}
        text = json.dumps(answer)
    return text


def raw_metric(sample: Sample) -> dict[str, Any]:
    """A sample as `RawMetric` describes it; what JSON has no number for is a string, spelled as Prometheus does."""
    return {
        "name": sample.name,
        "type": sample.type,
        "value": sample.value if math.isfinite(sample.value) else _special(sample.value),
        "labels": sample.labels,
    }


def _special(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    return "+Inf" if value > 0 else "-Inf"


def _fitting(raw: list[dict[str, Any]], room_bytes: int) -> list[dict[str, Any]]:
    """The first samples that fit, with a little kept for the count of the others."""
    sizes = accumulate(bytes_in_answer(json.dumps(sample)) + len(", ") for sample in raw)
    return raw[: sum(1 for _ in takewhile(lambda size: size <= room_bytes - 32, sizes))]


def bytes_in_answer(text: str) -> int:
    """A body travels as a JSON string inside Lambda's answer, so each quote in it costs two bytes."""
    return len(json.dumps(text))
