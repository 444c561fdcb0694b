"""The routes of the registry: which servers are collected, and how often.

A version is an ETag. `If-Match` names the version that a change replaces; a PUT without it creates. A change that is
there already is answered as done (RFC 9110, 13.1.1), so a request whose answer was lost can be sent again.
"""

import base64
from datetime import UTC, datetime
from typing import Annotated, Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.openapi.params import Header, Path, Query
from aws_lambda_powertools.event_handler.router import APIGatewayHttpRouter
from pydantic import AfterValidator, BaseModel, TypeAdapter

from collector import deployment, policy, registry
from collector.errors import PolicyError, SecretForbidden
from collector.registry import VersionConflict
from collector.targets import InstanceId, Registered, Registration, Settings
from handlers.answers import INVALID, ErrorAnswer, FieldError, documented, refuse, refuse_fields, reply

logger = Logger()
router = APIGatewayHttpRouter()

CURSOR_MARK = "targets/1:"
INSTANCE_ID: TypeAdapter[str] = TypeAdapter(InstanceId)
ANY_VERSION = "*"


def _cursor(instance_id: str) -> str:
    return base64.urlsafe_b64encode(f"{CURSOR_MARK}{instance_id}".encode()).decode().rstrip("=")


def _position(cursor: str) -> str:
    """The id that a cursor stands for; only what `_cursor` gives is one."""
    try:
        content = base64.urlsafe_b64decode(f"{cursor}==").decode()
        instance_id = INSTANCE_ID.validate_python(content.removeprefix(CURSOR_MARK))
        if _cursor(instance_id) == cursor:
            return instance_id
    except ValueError:  # not base64, not text, not an id
        pass
    raise ValueError("not a cursor that this list has given")


Position = Annotated[str, AfterValidator(_position)]
IfMatch = Annotated[
    str | None,
    Header(
        alias="If-Match",
        pattern=r'^(\*|"[0-9]{1,15}")$',
        description='The version that is replaced, as its ETag: `"3"`. `*` replaces whichever there is.',
    ),
]


class TargetList(BaseModel):
    """A page of the registry, in order of the ids."""

    targets: list[Registered]
    cursor: str | None


ETAG = "The version that is there, for `If-Match`."
REGISTERED = documented(200, "The target as it is registered.", Registered, ETag=ETAG)
CREATED = documented(201, "The target is registered now.", Registered, ETag=ETAG)
DELETED: dict[int, Any] = {204: {"description": "It is registered no more.", "content": {}}}
NOT_FOUND = documented(404, "No such target is registered.", ErrorAnswer)
CONFLICT = documented(
    412, "The target is not at the version that was to be replaced.", ErrorAnswer, ETag=f"{ETAG} None: no target is."
)
UNCONDITIONAL = documented(428, "`If-Match` is missing.", ErrorAnswer)


@router.get("/targets", summary="The registered targets", responses=documented(200, "A page.", TargetList) | INVALID)
def list_targets(
    limit: Annotated[int, Query(ge=1, le=1000, description="A page may be shorter than this.")] = 100,
    cursor: Annotated[Position | None, Query(description="The cursor of the page before.")] = None,
) -> Response[str]:
    found, after = registry.read_page(limit, cursor)
    return reply(200, TargetList(targets=found, cursor=_cursor(after) if after else None).model_dump_json())


@router.get("/targets/<instance_id>", summary="One registered target", responses=REGISTERED | INVALID | NOT_FOUND)
def read_target(instance_id: Annotated[InstanceId, Path()]) -> Response[str]:
    found = registry.read(instance_id)
    return _registered(200, found) if found else _not_registered(instance_id)


@router.put(
    "/targets/<instance_id>",
    summary="Register a target, or replace its registration",
    responses=REGISTERED | CREATED | INVALID | CONFLICT,
)
def put_target(
    instance_id: Annotated[InstanceId, Path()], settings: Settings, if_match: IfMatch = None
) -> Response[str]:
    rules = deployment.rules().for_registered()
    try:
        policy.inspect(settings.endpoint, rules)
        policy.check_secrets(settings.auth, settings.ca, settings.endpoint, rules)
    except PolicyError as error:
        return refuse_fields(error.code, [FieldError(field="body.endpoint", message=str(error))])
    except SecretForbidden as error:
        return refuse_fields(error.code, [FieldError(field=f"body.{error.field}", message=str(error))])
    registration = Registration(instance_id=instance_id, **settings.model_dump())
    now = datetime.now(UTC)
    try:
        version = _version(instance_id, if_match) if if_match else None
        registered = registry.put(registration, version, _caller(), now)
    except VersionConflict as conflict:
        return _conflict(conflict)
    changed = registered.changed_at == now
    if changed:
        logger.info("target registered", instance_id=instance_id, version=registered.version, by=registered.changed_by)
    return _registered(201 if changed and registered.version == 1 else 200, registered)


@router.delete(
    "/targets/<instance_id>",
    summary="Collect a target no longer; what was collected stays",
    responses=DELETED | INVALID | NOT_FOUND | CONFLICT | UNCONDITIONAL,
)
def delete_target(instance_id: Annotated[InstanceId, Path()], if_match: IfMatch = None) -> Response[str]:
    if if_match is None:
        return refuse(428, "if_match_required", 'say which version is deleted, as in If-Match: "3"; * is whichever')
    try:
        registry.delete(instance_id, _version(instance_id, if_match))
    except VersionConflict as conflict:
        return _conflict(conflict) if conflict.current else _not_registered(instance_id)
    logger.info("target deleted", instance_id=instance_id, by=_caller())
    return Response(204, body="")


def registered_at(instance_id: str, endpoint: str) -> Registered | None:
    """The registration that a caller means who names both. It goes by the registry's rules, and with its secrets."""
    rules = deployment.rules()
    if not (rules.trust_registered_targets or rules.secrets_prefix):
        return None  # nothing else differs, so nothing else is worth the read
    registered = registry.read(instance_id)
    return registered if registered and registered.endpoint == endpoint else None


def _version(instance_id: str, if_match: str) -> int:
    if if_match != ANY_VERSION:
        return int(if_match.strip('"'))
    if current := registry.read(instance_id):
        return current.version
    raise VersionConflict(instance_id, None)


def _caller() -> str | None:
    """The IAM identity that signed the request; None on a laptop, where nobody does."""
    authorizer = router.current_event.request_context.authorizer
    return authorizer.iam.user_arn or None if authorizer and authorizer.iam else None


def _registered(status: int, registered: Registered) -> Response[str]:
    return reply(status, registered.model_dump_json(), _etag(registered))


def _not_registered(instance_id: str) -> Response[str]:
    return refuse(404, "not_found", f"no target {instance_id} is registered")


def _conflict(conflict: VersionConflict) -> Response[str]:
    return refuse(412, "version_conflict", str(conflict), _etag(conflict.current) if conflict.current else None)


def _etag(registered: Registered) -> dict[str, str]:
    return {"ETag": f'"{registered.version}"'}
