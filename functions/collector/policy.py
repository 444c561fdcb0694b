"""Where we may go: an endpoint is taken apart, looked up once, and every address it leads to is judged.

What comes out is a `Destination` with the addresses that were judged, and the scrape connects to those and looks
nothing up again: a name that changes its answer between check and connection gains nothing.
"""

import ipaddress
import queue
import re
import socket
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

from collector.auth import ARN, SSM, Auth
from collector.errors import DeadlineError, DnsError, PolicyError, SecretForbidden
from collector.networks import Address, AddressRange, Judgement, Verdict, judge
from collector.spelling import Parts, is_name, literal, take_apart

Resolver = Callable[..., list[tuple[Any, ...]]]


@dataclass(frozen=True, slots=True)
class Destination:
    """Where a checked endpoint leads."""

    scheme: str
    """`http` or `https`."""
    host: str
    """The name or literal, lower-cased and without brackets: for the Host header and the certificate."""
    port: int
    path: str
    """Starts with a slash and includes the query."""
    addresses: tuple[str, ...]
    """All of the host's addresses, each judged, in the resolver's order. Connect to no other."""


# What is open without a parameter, each in the words of its parameter.
DEFAULT_PORTS = "80,443,3000,5000,8000-8999,29000,30000-32767"
DEFAULT_CIDRS = "10.0.0.0/8,100.64.0.0/10,172.16.0.0/12,192.168.0.0/16,fc00::/7"


def _ports(text: str) -> tuple[range, ...]:
    parts = [re.fullmatch(r"([0-9]{1,5})(?:-([0-9]{1,5}))?", part.strip()) for part in text.split(",")]
    ports = tuple(range(int(part[1]), int(part[2] or part[1]) + 1) for part in parts if part)
    if len(ports) < len(parts) or not all(ports):
        raise ValueError(f"ALLOWED_PORTS is {text!r}; write ports and ranges like {DEFAULT_PORTS!r}")
    return ports


def _cidrs(text: str) -> tuple[AddressRange, ...]:
    try:
        if all("/" in part for part in text.split(",")):
            return tuple(ipaddress.ip_network(part.strip()) for part in text.split(","))
        wrong = "one has no /"
    except ValueError as exc:
        wrong = str(exc)
    raise ValueError(f"ALLOWED_CIDRS is {text!r}: {wrong}; write networks like {DEFAULT_CIDRS!r}") from None


def _suffixes(text: str) -> tuple[str, ...]:
    suffixes = tuple(part.strip().lower().removeprefix(".") for part in text.split(",")) if text else ()
    if not all(map(is_name, suffixes)):
        raise ValueError(f"ALLOWED_HOST_SUFFIXES is {text!r}; write ends of names like 'internal,gpu.example.com'")
    return suffixes


def _flag(environment: Mapping[str, str], name: str) -> bool:
    value = environment.get(name) or "false"
    if value not in ("true", "false"):
        raise ValueError(f"{name} is {value!r}; it is 'true' or 'false'")
    return value == "true"


EVERY_PORT = (range(1, 65536),)
EVERYWHERE = _cidrs("0.0.0.0/0,::/0")


@dataclass(frozen=True)
class Rules:
    """What the operator has opened, by the parameters that template.yaml declares.

    A list takes the place of its default. Ports are for every endpoint, suffixes for names alone, and networks for
    every address, a name's too: all have to agree. Nothing here opens what is never allowed.
    """

    allow_loopback: bool = False
    allow_public_addresses: bool = False
    allowed_ports: tuple[range, ...] = _ports(DEFAULT_PORTS)
    allowed_cidrs: tuple[AddressRange, ...] = _cidrs(DEFAULT_CIDRS)
    allowed_host_suffixes: tuple[str, ...] = ()
    """None: every name."""
    trust_registered_targets: bool = False
    secrets_prefix: str | None = None
    """What the names of secrets begin with that registrations may name; None: they may name none."""
    allow_secrets_over_http: bool = False

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Read the variables that are named as the fields; an empty one means its default.

        Raises ValueError for one that cannot be read: that is ours to mend, not a target's fault.
        """
        return cls(
            allow_loopback=_flag(environment, "ALLOW_LOOPBACK"),
            allow_public_addresses=_flag(environment, "ALLOW_PUBLIC_ADDRESSES"),
            allowed_ports=_ports(environment.get("ALLOWED_PORTS") or DEFAULT_PORTS),
            allowed_cidrs=_cidrs(environment.get("ALLOWED_CIDRS") or DEFAULT_CIDRS),
            allowed_host_suffixes=_suffixes(environment.get("ALLOWED_HOST_SUFFIXES") or ""),
            trust_registered_targets=_flag(environment, "TRUST_REGISTERED_TARGETS"),
            secrets_prefix=environment.get("SECRETS_PREFIX") or None,
            allow_secrets_over_http=_flag(environment, "ALLOW_SECRETS_OVER_HTTP"),
        )

    def for_registered(self) -> Self:
        """The rules for what stands in the registry: the same, or where it is trusted, all that is not never."""
        if not self.trust_registered_targets:
            return self
        return replace(self, allowed_ports=EVERY_PORT, allowed_cidrs=EVERYWHERE, allowed_host_suffixes=())

    def allow(self, judged: Judgement) -> bool:
        match judged.verdict:
            case Verdict.LOOPBACK:
                return self.allow_loopback
            case Verdict.PUBLIC if self.allow_public_addresses:
                return True
            case Verdict.PUBLIC | Verdict.LISTED:
                return any(judged.address in cidr for cidr in self.allowed_cidrs)
        return False


def check(endpoint: str, rules: Rules, deadline: float, resolver: Resolver = socket.getaddrinfo) -> Destination:
    """Say where an endpoint leads, if every part of it and every address behind it is allowed.

    One forbidden address among a name's several forbids the name: which one is connected to would be chance.
    `deadline` is in seconds of `time.monotonic()`; a resolver that hangs does not outlive it.

    Raises PolicyError, which names the part, the reason and the parameter that would open it; DnsError; DeadlineError.
    """
    parts = inspect(endpoint, rules)
    if literal(parts.host):
        return Destination(*parts, (parts.host,))
    addresses = _look_up(parts.host, parts.port, deadline, resolver)
    for address in addresses:
        _allow(address, f"{parts.host} leads to {address}, which is", rules)
    return Destination(*parts, tuple(map(str, addresses)))


def inspect(endpoint: str, rules: Rules) -> Parts:
    """An endpoint's scheme, host, port and path, judged as far as no look-up is needed.

    Raises PolicyError for its spelling, its port, its name, and for a forbidden address that it names itself.
    """
    parts = take_apart(endpoint)
    if not any(parts.port in ports for ports in rules.allowed_ports):
        raise PolicyError(f"port {parts.port} is not one that ALLOWED_PORTS lists")
    if address := literal(parts.host):
        _allow(address, f"{address} is", rules)
    elif rules.allowed_host_suffixes and not any(_ends(parts.host, suffix) for suffix in rules.allowed_host_suffixes):
        raise PolicyError(f"{parts.host} is not a name that ALLOWED_HOST_SUFFIXES lists the end of")
    return parts


def check_secrets(auth: Auth | None, ca: str | None, endpoint: str, rules: Rules) -> None:
    """Let a target have what it names, or raise SecretForbidden. No prefix allows nothing, an empty one everything.

    It does not quote the reference: somebody may have written the secret itself there.
    """
    for field, reference in (("auth.secret", auth.secret if auth else None), ("ca", ca)):
        if reference is None:
            continue
        if rules.secrets_prefix is None:
            raise SecretForbidden(field, f"{field}: SECRETS_PREFIX is not set, so no secret may be named")
        if not re.sub(f"^({SSM}|{ARN})", "", reference).startswith(rules.secrets_prefix):
            raise SecretForbidden(
                field, f"{field}: the name does not begin with {rules.secrets_prefix}, the SECRETS_PREFIX"
            )
    if auth and not rules.allow_secrets_over_http and not endpoint.lower().startswith("https:"):
        raise SecretForbidden(
            "endpoint", "endpoint: a secret goes over https alone, unless ALLOW_SECRETS_OVER_HTTP says otherwise"
        )


def _ends(host: str, suffix: str) -> bool:
    return f".{host}".endswith(f".{suffix}")


def _allow(address: Address, led: str, rules: Rules) -> None:
    """Raises PolicyError, with words that follow `led`."""
    judged = judge(address)
    if not rules.allow(judged):
        raise PolicyError(f"{led} {judged.reason}: {judged.verdict.value}")


# A look-up cannot be interrupted, only left behind. So many may hang at once; then later ones wait their turn, and a
# resolver that is down cannot fill the process with threads.
_LOOK_UPS = threading.BoundedSemaphore(64)


def _look_up(host: str, port: int, deadline: float, resolver: Resolver) -> list[Address]:
    given = max(0.0, deadline - time.monotonic())
    late = DeadlineError(f"{host}: the look-up of its addresses was not done within {given:.1f} s")
    if not _LOOK_UPS.acquire(timeout=given):
        raise late
    answer: queue.SimpleQueue[list[tuple[Any, ...]] | Exception] = queue.SimpleQueue()

    def resolve() -> None:
        try:
            answer.put(resolver(host, port, type=socket.SOCK_STREAM))
        except Exception as exc:
            answer.put(exc)
        finally:
            _LOOK_UPS.release()

    # Not an executor's: those are waited for at exit
    threading.Thread(target=resolve, name=f"look-up {host}", daemon=True).start()
    try:
        found = answer.get(timeout=max(0.0, deadline - time.monotonic()))
    except queue.Empty:
        raise late from None
    if isinstance(found, OSError):
        raise DnsError(f"{host}: the look-up gave no address: {found.strerror or found}") from found
    if isinstance(found, Exception):
        raise found
    if not found:
        raise DnsError(f"{host}: the look-up gave no address")
    return [ipaddress.ip_address(text) for text in dict.fromkeys(str(entry[4][0]) for entry in found)]
