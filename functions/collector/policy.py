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
from dataclasses import dataclass
from enum import Enum
from typing import Any, NamedTuple, Self

from collector.errors import DeadlineError, DnsError, PolicyError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
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


class Verdict(Enum):
    NEVER = "never allowed"
    PRIVATE = "always allowed"
    LOOPBACK = "ALLOW_LOOPBACK"
    PUBLIC = "ALLOW_PUBLIC_ADDRESSES"
    CARRIED = "judged by the IPv4 address in the last 32 bits"


class Network(NamedTuple):
    prefix: ipaddress.IPv4Network | ipaddress.IPv6Network
    verdict: Verdict
    reason: str


# The first row that holds an address decides. A table of our own, because what `ipaddress` calls private or global
# differs between Python versions. Ranges and purposes: IANA's special-purpose address registries (RFC 6890).
NETWORKS = tuple(
    Network(ipaddress.ip_network(prefix), verdict, reason)
    for prefix, verdict, reason in (
        ("0.0.0.0/8", Verdict.NEVER, "unspecified: this host itself"),
        ("10.0.0.0/8", Verdict.PRIVATE, "private"),
        ("100.64.0.0/10", Verdict.PRIVATE, "shared address space, as EKS pods use it"),
        ("127.0.0.0/8", Verdict.LOOPBACK, "loopback, where the function's own runtime listens"),
        ("169.254.0.0/16", Verdict.NEVER, "link-local, where instance metadata and container credentials are"),
        ("172.16.0.0/12", Verdict.PRIVATE, "private"),
        ("192.0.0.0/24", Verdict.NEVER, "reserved for protocol assignments"),
        ("192.0.2.0/24", Verdict.NEVER, "reserved for documentation"),
        ("192.88.99.0/24", Verdict.NEVER, "reserved: the former 6to4 relays"),
        ("192.168.0.0/16", Verdict.PRIVATE, "private"),
        ("198.18.0.0/15", Verdict.NEVER, "reserved for benchmarks"),
        ("198.51.100.0/24", Verdict.NEVER, "reserved for documentation"),
        ("203.0.113.0/24", Verdict.NEVER, "reserved for documentation"),
        ("224.0.0.0/4", Verdict.NEVER, "multicast"),
        ("255.255.255.255/32", Verdict.NEVER, "broadcast"),
        ("240.0.0.0/4", Verdict.NEVER, "reserved"),
        ("0.0.0.0/0", Verdict.PUBLIC, "public"),
        ("::/128", Verdict.NEVER, "unspecified: this host itself"),
        ("::1/128", Verdict.LOOPBACK, "loopback, where the function's own runtime listens"),
        ("::ffff:0:0/96", Verdict.CARRIED, "an IPv4-mapped address"),
        ("64:ff9b::/96", Verdict.CARRIED, "a NAT64 address"),
        ("2001::/23", Verdict.NEVER, "reserved for protocols, Teredo tunnels among them"),
        ("2001:db8::/32", Verdict.NEVER, "reserved for documentation"),
        ("2002::/16", Verdict.NEVER, "a 6to4 tunnel"),
        ("3fff::/20", Verdict.NEVER, "reserved for documentation"),
        ("2000::/3", Verdict.PUBLIC, "public"),
        ("fd00:ec2::/32", Verdict.NEVER, "Amazon's own services, where instance metadata and credentials are"),
        ("fc00::/7", Verdict.PRIVATE, "private"),
        ("fe80::/10", Verdict.NEVER, "link-local"),
        ("ff00::/8", Verdict.NEVER, "multicast"),
        ("::/0", Verdict.NEVER, "reserved"),
    )
)

SCHEME_PORTS = {"http": 80, "https": 443}
DEFAULT_PORTS = "80,443,3000,5000,8000-8999,29000,30000-32767"


def _ports(text: str) -> tuple[range, ...]:
    parts = [re.fullmatch(r"(\d{1,5})(?:-(\d{1,5}))?", part.strip()) for part in text.split(",")]
    ports = tuple(range(int(part[1]), int(part[2] or part[1]) + 1) for part in parts if part)
    if len(ports) < len(parts) or not all(ports):
        raise ValueError(f"ALLOWED_PORTS is {text!r}; write ports and ranges like {DEFAULT_PORTS!r}")
    return ports


def _flag(environment: Mapping[str, str], name: str) -> bool:
    value = environment.get(name) or "false"
    if value not in ("true", "false"):
        raise ValueError(f"{name} is {value!r}; it is 'true' or 'false'")
    return value == "true"


@dataclass(frozen=True)
class Rules:
    """What the operator has opened, by the parameters that template.yaml declares."""

    allow_loopback: bool = False
    allow_public_addresses: bool = False
    allowed_ports: tuple[range, ...] = _ports(DEFAULT_PORTS)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Read ALLOW_LOOPBACK, ALLOW_PUBLIC_ADDRESSES and ALLOWED_PORTS; an empty one means its default.

        Raises ValueError for one that cannot be read: that is ours to mend, not a target's fault.
        """
        return cls(
            allow_loopback=_flag(environment, "ALLOW_LOOPBACK"),
            allow_public_addresses=_flag(environment, "ALLOW_PUBLIC_ADDRESSES"),
            allowed_ports=_ports(environment.get("ALLOWED_PORTS") or DEFAULT_PORTS),
        )

    def allow(self, verdict: Verdict) -> bool:
        opened = {
            Verdict.PRIVATE: True,
            Verdict.LOOPBACK: self.allow_loopback,
            Verdict.PUBLIC: self.allow_public_addresses,
        }
        return opened.get(verdict, False)


def check(endpoint: str, rules: Rules, deadline: float, resolver: Resolver = socket.getaddrinfo) -> Destination:
    """Say where an endpoint leads, if every part of it and every address behind it is allowed.

    `deadline` is in seconds of `time.monotonic()`; a resolver that hangs does not outlive it.

    Raises PolicyError, which names the part, the reason and the parameter that would open it; DnsError; DeadlineError.
    """
    scheme, host, port, path = inspect(endpoint, rules)
    literal = _literal(host)
    addresses = [literal] if literal else _look_up(host, port, deadline, resolver)
    if not literal:
        for address in addresses:
            _allow(address, f"{host} leads to {address}, which is", rules)
    return Destination(scheme, host, port, path, tuple(map(str, addresses)))


def inspect(endpoint: str, rules: Rules) -> tuple[str, str, int, str]:
    """An endpoint's scheme, host, port and path, judged as far as no look-up is needed.

    Raises PolicyError for its spelling, its port, and for a forbidden address that it names itself.
    """
    scheme, host, port, path = _take_apart(endpoint)
    if not any(port in ports for ports in rules.allowed_ports):
        raise PolicyError(f"port {port} is not one that ALLOWED_PORTS lists")
    if literal := _literal(host):
        _allow(literal, f"{literal} is", rules)
    return scheme, host, port, path


def _allow(address: Address, led: str, rules: Rules) -> None:
    """Raises PolicyError, with words that follow `led`."""
    verdict, reason = judge(address)
    if not rules.allow(verdict):
        opens = verdict.value if verdict is Verdict.NEVER else f"allowed with {verdict.value}=true only"
        raise PolicyError(f"{led} {reason}: {opens}")


def judge(address: Address) -> tuple[Verdict, str]:
    """The verdict of NETWORKS on an address, and its reason in words that follow "is"."""
    network = next(network for network in NETWORKS if address in network.prefix)
    if network.verdict is Verdict.CARRIED:
        carried = ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
        verdict, reason = judge(carried)
        return verdict, f"{network.reason} for {carried}, which is {reason}"
    return network.verdict, network.reason


def _take_apart(endpoint: str) -> tuple[str, str, int, str]:
    """Scheme, host, port and path of an endpoint, in one spelling each.

    Stricter than URL parsers are, so that no two readers of the same text can see two hosts in it. Messages quote
    nothing that could be a password.
    """
    if odd := re.search(r"[^!-\[\]-~]", endpoint):
        raise PolicyError(
            f"the endpoint has the character U+{ord(odd[0]):04X} at position {odd.start() + 1}: only visible ASCII is "
            "allowed, and no backslash; an international name is written in its xn-- form"
        )
    scheme, separator, rest = endpoint.partition("://")
    scheme = scheme.lower()
    if not separator or scheme not in SCHEME_PORTS:
        raise PolicyError("the endpoint does not begin with http:// or https://")
    if "#" in rest:
        raise PolicyError("the endpoint has a fragment (#): leave it out")
    authority = re.split("[/?]", rest, maxsplit=1)[0]
    if "@" in authority:
        raise PolicyError("the endpoint has credentials before its host (@): leave them out")
    parts = re.fullmatch(r"(\[[^\[\]%]*\]|[^\[\]:]*)(?::([^\[\]:]*))?", authority)
    if not parts:
        raise PolicyError(
            "the endpoint's host is not a name, an IPv4 address or an IPv6 address in brackets without a zone"
        )
    if parts[2] is not None and not (re.fullmatch(r"[1-9]\d{0,4}", parts[2]) and int(parts[2]) <= 65535):
        raise PolicyError("the endpoint's port is not a number from 1 to 65535")
    port = int(parts[2] or SCHEME_PORTS[scheme])
    return scheme, _host(parts[1].lower()), port, _path(rest[len(authority) :])


def _host(host: str) -> str:
    if host.startswith("["):
        try:
            return str(ipaddress.IPv6Address(host[1:-1]))
        except ValueError:
            raise PolicyError("the endpoint's host is not an IPv6 address") from None
    labels = host.split(".")
    if len(host) > 253 or not all(re.fullmatch(r"(?!-)[a-z0-9_-]{1,63}(?<!-)", label) for label in labels):
        raise PolicyError("the endpoint's host is not a name: letters, digits, - and _, with single dots between")
    # To the C library these are addresses too: 127.1, 0x7f.1, 0177.0.0.1, 2130706433
    if re.fullmatch(r"\d+|0x[0-9a-f]*", labels[-1]) and not _literal(host):
        raise PolicyError("the endpoint's host ends in a number and is not an IPv4 address of four decimal numbers")
    return host


def _path(path: str) -> str:
    path = path if path.startswith("/") else f"/{path}"
    if not re.fullmatch(r"(?:[A-Za-z0-9\[\]._~!$&'()*+,;=:@/?-]|%[0-9A-Fa-f]{2})*", path):
        raise PolicyError("the endpoint's path has a character that must be written as %XX, or a % without two digits")
    if re.search(r"%(?:[01][0-9A-Fa-f]|7[Ff])", path):
        raise PolicyError("the endpoint's path has a control character (%00 to %1F, %7F)")
    if re.search(r"/(?:\.|%2[Ee]){1,2}(?:/|$)", path.partition("?")[0]):
        raise PolicyError("the endpoint's path has a . or .. segment: write where it leads")
    return path


def _literal(host: str) -> Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


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
