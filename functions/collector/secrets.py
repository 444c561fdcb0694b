"""The secrets that registrations name: fetched when they are needed, kept in memory for a while, never told.

What goes wrong is a SecretError with the reference in it. No exception is raised where a library's own holds the value:
those of `json` and of encodings do.
"""

import base64
import functools
import json
import logging
import re
import ssl
import threading
import time
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from collector.auth import Auth
from collector.connections import private_context
from collector.errors import SecretError

# Rotation is seen at once where the server refuses the old secret; this is for a server that takes both for a while.
MAX_AGE_SECONDS = 900
# Of one reference: how soon what failed is tried again, and how soon a server's refusal has it fetched anew again.
PAUSE_SECONDS = 15.0
CLIENTS_CONNECTIONS = 64
# A shorter secret may stand in a page by chance.
ECHO_CHARACTERS = 8

# At debug level botocore logs each answer's body, of Secrets Manager too.
logging.getLogger("botocore.parsers").addFilter(lambda record: record.levelno > logging.DEBUG)


@dataclass(frozen=True, slots=True)
class Header:
    """A line for the request. Only its name is ever shown."""

    name: str
    value: str = field(repr=False)
    secrets: tuple[str, ...] = field(repr=False)

    def is_repeated_in(self, page: bytes) -> bool:
        return any(
            len(secret) >= ECHO_CHARACTERS and secret.encode(errors="replace") in page for secret in self.secrets
        )


def header(auth: Auth, deadline: float) -> Header:
    """What lets us in, from the cache or fetched by `deadline` (`time.monotonic()`). Raises SecretError."""
    return _header(auth, _fetch(auth.secret, deadline))


def renewed(auth: Auth, refused: Header, deadline: float) -> Header | None:
    """The header after a server refused one, if its secret has changed; None if it has not, or cannot be had.

    However many servers refuse, a reference is fetched anew once in PAUSE_SECONDS.
    """
    try:
        current = header(auth, deadline)  # another server's refusal may have brought the new one
        if current == refused:
            current = _header(auth, _fetch(auth.secret, deadline, anew=True))
    except SecretError:
        return None
    return current if current != refused else None


def authority(reference: str, deadline: float) -> ssl.SSLContext:
    """A TLS context that trusts this bundle of authorities alone, one for each bundle. Raises SecretError."""
    context = private_context(_fetch(reference, deadline))
    if context is None:
        raise SecretError(f"{reference}: holds no certificate in PEM")
    return context


# What a secret says


def _header(auth: Auth, secret: str) -> Header:
    if auth.type == "basic":
        user, password = _user_and_password(auth.secret, secret)
        pair = f"{user}:{password}"
        code = base64.b64encode(pair.encode(errors="replace")).decode()
        return Header("Authorization", f"Basic {code}", (password, pair, code))
    if not re.fullmatch(r"[!-~\xa0-\xff]([ -~\xa0-\xff]*[!-~\xa0-\xff])?", secret):
        raise SecretError(f"{auth.secret}: is empty or has characters that a header cannot have, such as a line's end")
    if auth.header:
        return Header(auth.header, secret, (secret,))
    return Header("Authorization", f"Bearer {secret}", (secret,))


def _user_and_password(reference: str, secret: str) -> tuple[str, str]:
    if secret.startswith("{"):
        content = _json(secret)
        user, password = content.get("username"), content.get("password")
    else:
        user, colon, password = secret.partition(":")
        password = password if colon else None
    if not (isinstance(user, str) and isinstance(password, str)) or ":" in user:
        raise SecretError(f"{reference}: is neither user:password nor JSON with username and password")
    if re.search(r"[\x00-\x1f\x7f]", user + password):
        raise SecretError(f"{reference}: has characters that a user or password cannot have, such as a line's end")
    return user, password


def _json(secret: str) -> dict[str, Any]:
    try:
        content = json.loads(secret)
    except (ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


# Fetching


_ONE_AT_A_TIME = threading.Lock()
Answer = tuple[str | None, str]
_UNDER_WAY: dict[tuple[str, bool], Future[Answer]] = {}
_FAILED: dict[str, tuple[float, str]] = {}
_RENEWED: dict[str, float] = {}


def _fetch(reference: str, deadline: float, *, anew: bool = False) -> str:
    """A secret; all who want the same one at once wait for one fetch, each no longer than its own deadline."""
    with _ONE_AT_A_TIME:
        now = time.monotonic()
        if (kept := _kept(reference)) is not None and not anew:
            return kept
        failed_at, why = _FAILED.get(reference, (-PAUSE_SECONDS, ""))
        under_way = _UNDER_WAY.get((reference, anew))
        if under_way is None:
            if anew and now < _RENEWED.get(reference, -PAUSE_SECONDS) + PAUSE_SECONDS and kept is not None:
                return kept
            if now < failed_at + PAUSE_SECONDS:
                raise SecretError(why)
            if anew:
                _RENEWED[reference] = now
            under_way = _UNDER_WAY[reference, anew] = Future()
            # Not an executor's: those are waited for at exit
            threading.Thread(target=_ask, args=(reference, anew, under_way), name="secret", daemon=True).start()
    try:
        value, why = under_way.result(max(0.0, deadline - time.monotonic()))
    except TimeoutError:
        raise SecretError(f"{reference}: did not come in time: is there a VPC endpoint for its service?") from None
    if value is None:
        raise SecretError(why)
    return value


def _ask(reference: str, anew: bool, future: "Future[Answer]") -> None:
    value, why = answer = _get(reference, anew)
    with _ONE_AT_A_TIME:
        _UNDER_WAY.pop((reference, anew), None)
        if value is None:
            _FAILED[reference] = time.monotonic(), why
    future.set_result(answer)


def _get(reference: str, anew: bool) -> Answer:
    """The value, or why there is none: AWS's code, or the name of what went wrong."""
    try:
        provider, name, options = _place(reference)
        value = provider.get(name, max_age=MAX_AGE_SECONDS, force_fetch=anew, **options)
    except Exception as exc:  # Powertools puts all into one error without a cause
        response = getattr(exc.__context__, "response", {})
        why = response.get("Error", {}).get("Code") or type(exc.__context__ or exc).__name__
        return None, f"{reference}: cannot be had: {why}"
    return (value, "") if isinstance(value, str) else (None, f"{reference}: is binary")


def _kept(reference: str) -> str | None:
    """From Powertools' cache, without a thread. Bytes are told as an error by who fetches."""
    provider, name, _ = _place(reference)
    key = provider._build_cache_key(name=name)
    value = provider.fetch_from_cache(key) if provider.has_not_expired_in_cache(key) else None
    return value if isinstance(value, str) else None


def _place(reference: str) -> tuple[Any, str, dict[str, bool]]:
    if reference.startswith("ssm:"):
        return _provider("ssm"), reference.removeprefix("ssm:"), {"decrypt": True}
    return _provider("secretsmanager"), reference, {}


@functools.cache
def _provider(service: str) -> Any:
    """Made on first use, kept while the Lambda is warm: a cold start without secrets imports none of it."""
    import boto3
    from aws_lambda_powertools.utilities.parameters import SecretsProvider, SSMProvider
    from botocore.config import Config

    config = Config(
        connect_timeout=1,
        read_timeout=2,
        retries={"mode": "standard", "total_max_attempts": 3},
        max_pool_connections=CLIENTS_CONNECTIONS,
    )
    client = boto3.client(service, config=config)
    return SSMProvider(boto3_client=client) if service == "ssm" else SecretsProvider(boto3_client=client)


def forget() -> None:
    """As a new process: for tests."""
    _provider.cache_clear()
    for known in (_UNDER_WAY, _FAILED, _RENEWED):
        known.clear()
