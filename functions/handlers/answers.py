"""How every route answers: JSON, and what went wrong in one shape."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from aws_lambda_powertools.event_handler import Response, content_types
from pydantic import BaseModel, Field


class FieldError(BaseModel):
    field: str = Field(description="Where it stands: `body.timeout`, `path.instance_id`, …")
    message: str


class ErrorAnswer(BaseModel):
    """What went wrong with a request."""

    error: str = Field(description="In words.")
    error_code: str = Field(description="For programs.")
    fields: list[FieldError] = Field(default=[], description="The fields that are wrong.")
    correlation_id: str | None = Field(None, description="What to look for in the log.")


def documented(status: int, description: str, model: Any, **headers: str) -> dict[int, Any]:
    """An answer for the OpenAPI document: its body's model, or several; and what its headers say, by their names."""
    return {
        status: {
            "description": description,
            "headers": {name.replace("_", "-"): header(words) for name, words in headers.items()},
            "content": {content_types.APPLICATION_JSON: {"model": model}},
        }
    }


def header(words: str) -> dict[str, Any]:
    """A header for the OpenAPI document."""
    return {"description": words, "schema": {"type": "string"}}


INVALID = documented(422, "A field of the request is wrong.", ErrorAnswer)


def reply(status: int, body: str, headers: Mapping[str, str] | None = None) -> Response[str]:
    return Response(
        HTTPStatus(status), content_type=content_types.APPLICATION_JSON, body=body, headers={**(headers or {})}
    )


def refuse(status: int, code: str, words: str, headers: Mapping[str, str] | None = None, **more: Any) -> Response[str]:
    return reply(status, ErrorAnswer(error=words, error_code=code, **more).model_dump_json(), headers)


def refuse_fields(code: str, fields: list[FieldError]) -> Response[str]:
    """422, with every wrong field named."""
    return refuse(422, code, "; ".join(f"{wrong.field}: {wrong.message}" for wrong in fields), fields=fields)
