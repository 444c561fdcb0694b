"""The OpenAPI document: what Powertools tells from the routes and their models, made true where it is not.

Format: https://spec.openapis.org/oas/v3.1.0
"""

import json
from typing import Any

from aws_lambda_powertools.event_handler import APIGatewayHttpResolver

Node = dict[str, Any]

DESCRIPTION = """\
Reads the metrics pages of LLM inference servers. A server that cannot be scraped is an answer: 200, `success: false`.

API Gateway answers before the collector does: 403 to who may not call a route, 413 and 431 to what is too long, 429 \
to too many requests, 503 where no function could start, each with `{"message": …}`."""
# https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-swagger-extensions-authtype.html
SIGNED = {
    "type": "apiKey",
    "name": "Authorization",
    "in": "header",
    "x-amazon-apigateway-authtype": "awsSigv4",
    "description": "AWS Signature Version 4, service `execute-api`.",
}
NO_ROUTE, NOT_JSON, FAULT = "404", "415", "500"
TOO_LONG = "431"
# What `api.py` answers on behalf of every route, beside what the routes say themselves.
COMMON = {
    NO_ROUTE: "No such route: a part of the path has a character that none may have, or none at all.",
    NOT_JSON: "The body is said to be something other than `application/json`.",
    FAULT: "Our own fault; the log has it under the correlation id.",
}
MESSAGE = {
    "application/json": {
        "schema": {"type": "object", "required": ["message"], "properties": {"message": {"type": "string"}}}
    }
}
SCHEMAS = "#/components/schemas/"


def document(app: APIGatewayHttpResolver, version: str, signed: bool = True) -> Node:
    """The document as JSON's values, its routes in order of their paths; `signed` where requests have to be."""
    told: Node = json.loads(app.get_openapi_json_schema(title="sglang-collector", version=version))
    told["info"]["description"] = DESCRIPTION
    told["paths"] = dict(sorted(told["paths"].items()))
    for item in told["paths"].values():
        for operation in item.values():
            _complete(operation)
    _keep_what_is_used(told)
    if signed:
        told["components"]["securitySchemes"] = {"sigv4": SIGNED}
        told["security"] = [{"sigv4": []}]
    return told


def _complete(operation: Node) -> None:
    parameters, answers = operation.get("parameters", []), operation["responses"]
    for parameter in parameters:
        parameter["schema"] = _without_null(parameter["schema"])
    has_body = "requestBody" in operation
    if not parameters and not has_body:
        del answers["422"]  # Powertools says it of every route; nothing can be wrong here
    in_path = any(parameter["in"] == "path" for parameter in parameters)
    for status, is_common in ((NO_ROUTE, in_path), (NOT_JSON, has_body), (FAULT, True)):
        if is_common:
            answers.setdefault(status, _error(COMMON[status]))
    answers[TOO_LONG] = {
        "description": "API Gateway's own: the address and the headers pass 10 KB.",
        "content": MESSAGE,
    }
    operation["responses"] = dict(sorted(answers.items()))


def _without_null(schema: Node) -> Node:
    """A parameter is left out where it is None: there is no null in a URL."""
    match schema.get("anyOf"):
        case [alternative, {"type": "null"}]:
            return {**alternative} | {name: value for name, value in schema.items() if name != "anyOf"}
    return schema


def _error(description: str) -> Node:
    return {
        "description": description,
        "content": {"application/json": {"schema": {"$ref": f"{SCHEMAS}ErrorAnswer"}}},
    }


def _keep_what_is_used(told: Node) -> None:
    """Without Powertools' own schemas of errors, which we do not answer with."""
    schemas = told["components"]["schemas"]
    used: set[str] = set()
    found = _referred(told["paths"])
    while found:
        used |= found
        found = {name for one in found for name in _referred(schemas[one])} - used
    told["components"]["schemas"] = {name: schemas[name] for name in sorted(used)}


def _referred(node: Any) -> set[str]:
    if isinstance(node, dict):
        own = {node["$ref"].removeprefix(SCHEMAS)} if isinstance(node.get("$ref"), str) else set()
        return own.union(*map(_referred, node.values()))
    return set().union(*map(_referred, node)) if isinstance(node, list) else set()
