"""The registered targets, in the `Targets` table. Every change replaces a version that its author has seen.

| attribute | |
|---|---|
| `pk`, `sk` | the key: the word `target`, and the instance id. Other words are other modules' |
| `engine`, `endpoint`, `interval_seconds`, … | a field of `Settings` each, absent for None and for an empty map |
| `version`, `changed_by`, `changed_at` | which change this is, from 1, whose, and when (ISO 8601) |
"""

import logging
import os
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, TypeVar

from pydantic import ValidationError

from collector.dynamodb import client
from collector.targets import Registered, Registration, Settings

logger = logging.getLogger(__name__)

PARTITION = "target"
SETTINGS = tuple(Settings.model_fields)
ATTRIBUTES = tuple(name for name in Registered.model_fields if name != "instance_id")

Item = Mapping[str, Mapping[str, Any]]
AnyRegistration = TypeVar("AnyRegistration", bound=Registration)


class VersionConflict(Exception):
    """The registration is not at the version that was to be replaced. `current` is what stands there, if anything."""

    def __init__(self, instance_id: str, current: Registered | None) -> None:
        state = f"at version {current.version}" if current else "not registered"
        super().__init__(f"{instance_id} is {state}")
        self.current = current


def read(instance_id: str) -> Registered | None:
    """One registration as it is now; None when there is none."""
    answer = client().get_item(TableName=table_name(), Key=_key(instance_id), ConsistentRead=True)
    return Registered.model_validate(_fields(answer["Item"])) if "Item" in answer else None


def read_page(limit: int, after: str | None = None) -> tuple[list[Registered], str | None]:
    """Up to `limit` registrations in order of their ids, and the id to go on after; None at the end.

    The table gives at most 1 MB at once, so a page that is not the last may be shorter.
    """
    answer = _query(after, Limit=limit + 1, ConsistentRead=True)  # one more tells whether there is more
    items = answer["Items"][:limit]
    last = items[-1] if len(answer["Items"]) > limit else answer.get("LastEvaluatedKey")
    return list(_readable(Registered, items)), last["sk"]["S"] if last else None


def read_all() -> Iterator[Registration]:
    """Every registration, the disabled ones too, in order of their ids; 1 MB of the table is in memory at a time.

    A change shows within a second or so: reads are eventually consistent, at half the price.
    """
    names = {f"#{name}": name for name in SETTINGS}  # some are words of DynamoDB's own
    last: str | None = None
    while True:
        answer = _query(last, ProjectionExpression=", ".join(["sk", *names]), ExpressionAttributeNames=names)
        yield from _readable(Registration, answer["Items"])
        if "LastEvaluatedKey" not in answer:
            return
        last = answer["LastEvaluatedKey"]["sk"]["S"]


def put(registration: Registration, version: int | None, changed_by: str | None, changed_at: datetime) -> Registered:
    """Replace a version, or with None create the registration. What is there already is left and given back.

    So a caller who repeats a change whose answer was lost gets that answer. Raises VersionConflict.
    """
    current = read(registration.instance_id)
    if current and current.registration == registration:
        return current
    if version != (current.version if current else None):
        raise VersionConflict(registration.instance_id, current)
    registered = Registered(
        **registration.model_dump(), version=(version or 0) + 1, changed_by=changed_by, changed_at=changed_at
    )
    try:
        client().put_item(TableName=table_name(), Item=_item(registered), **_only_at(version))
    except client().exceptions.ConditionalCheckFailedException as exc:
        current = read(registration.instance_id)
        if current and current.registration == registration:  # a try of our own, whose answer was lost on the way
            return current
        raise VersionConflict(registration.instance_id, current) from exc
    return registered


def delete(instance_id: str, version: int) -> None:
    """Take a registration out; what was collected stays. Raises VersionConflict, also where there is none."""
    try:
        client().delete_item(TableName=table_name(), Key=_key(instance_id), **_only_at(version))
    except client().exceptions.ConditionalCheckFailedException as exc:
        raise VersionConflict(instance_id, read(instance_id)) from exc


def _query(after: str | None, **options: Any) -> dict[str, Any]:
    start = {"ExclusiveStartKey": _key(after)} if after else {}
    answer: dict[str, Any] = client().query(
        TableName=table_name(),
        KeyConditionExpression="pk = :pk",
        ExpressionAttributeValues={":pk": {"S": PARTITION}},
        **start,
        **options,
    )
    return answer


def _only_at(version: int | None) -> dict[str, Any]:
    if version is None:
        return {"ConditionExpression": "attribute_not_exists(pk)"}
    return {
        "ConditionExpression": "#version = :version",
        "ExpressionAttributeNames": {"#version": "version"},
        "ExpressionAttributeValues": {":version": {"N": str(version)}},
    }


def _key(instance_id: str) -> dict[str, dict[str, str]]:
    return {"pk": {"S": PARTITION}, "sk": {"S": instance_id}}


def _item(registered: Registered) -> dict[str, Any]:
    fields = registered.model_dump(mode="json", exclude={"instance_id"}, exclude_none=True)
    return _key(registered.instance_id) | {name: _typed(value) for name, value in fields.items() if value != {}}


def _typed(value: Any) -> dict[str, Any]:
    match value:
        case bool():
            return {"BOOL": value}
        case int() | float():
            return {"N": str(value)}
        case dict():
            return {"M": {name: _typed(inner) for name, inner in value.items()}}
    return {"S": value}


def _fields(item: Item) -> dict[str, Any]:
    return {"instance_id": item["sk"]["S"]} | {name: _plain(item[name]) for name in ATTRIBUTES if name in item}


def _plain(typed: Mapping[str, Any]) -> Any:
    [(kind, value)] = typed.items()
    if kind == "M":
        return {name: _plain(inner) for name, inner in value.items()}
    return None if kind == "NULL" else value


def _readable(model: type[AnyRegistration], items: Iterable[Item]) -> Iterator[AnyRegistration]:
    """The items as models. One that was put there by other hands must not keep the rest from being collected."""
    for item in items:
        try:
            yield model.model_validate(_fields(item))
        except ValidationError as exc:
            wrong = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in exc.errors())
            # Both may be any text of those hands, line feeds among it.
            logger.error("target %.160r cannot be read and is left out: %.500r", item["sk"]["S"], wrong)


def table_name() -> str:
    return os.environ["TARGETS_TABLE"]
