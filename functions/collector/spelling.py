"""An endpoint's text taken apart, in one spelling each.

Stricter than URL parsers are, so that no two readers of the same text can see two hosts in it. Messages quote nothing
that could be a password.
"""

import functools
import ipaddress
import re
from typing import NamedTuple

from collector.errors import PolicyError
from collector.networks import Address

SCHEME_PORTS = {"http": 80, "https": 443}
LONGEST = 2048
KEPT = 2048  # of what was taken apart: a fleet's endpoints come again with each scrape


class Parts(NamedTuple):
    scheme: str
    host: str
    port: int
    path: str


@functools.lru_cache(maxsize=KEPT)
def take_apart(endpoint: str) -> Parts:
    """Scheme, host, port and path of an endpoint, the host lower-cased and without brackets. Raises PolicyError."""
    if len(endpoint) > LONGEST:
        raise PolicyError(f"the endpoint is longer than {LONGEST} characters")
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
    return Parts(scheme, _host(parts[1].lower()), port, _path(rest[len(authority) :]))


def literal(host: str) -> Address | None:
    """The address that a host is itself; None of a name."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def is_name(host: str) -> bool:
    labels = host.split(".")
    return len(host) <= 253 and all(re.fullmatch(r"(?!-)[a-z0-9_-]{1,63}(?<!-)", label) for label in labels)


def _host(host: str) -> str:
    if host.startswith("["):
        try:
            return str(ipaddress.IPv6Address(host[1:-1]))
        except ValueError:
            raise PolicyError("the endpoint's host is not an IPv6 address") from None
    if not is_name(host):
        raise PolicyError("the endpoint's host is not a name: letters, digits, - and _, with single dots between")
    # To the C library these are addresses too: 127.1, 0x7f.1, 0177.0.0.1, 2130706433
    if re.fullmatch(r"\d+|0x[0-9a-f]*", host.rpartition(".")[2]) and not literal(host):
        raise PolicyError("the endpoint's host ends in a number and is not an IPv4 address of four decimal numbers")
    return host


def _path(path: str) -> str:
    path = path if path.startswith("/") else f"/{path}"
    if path.startswith("//"):
        raise PolicyError("the endpoint's path begins with //, after which others read a host")
    if not re.fullmatch(r"(?:[A-Za-z0-9\[\]._~!$&'()*+,;=:@/?-]|%[0-9A-Fa-f]{2})*", path):
        raise PolicyError("the endpoint's path has a character that must be written as %XX, or a % without two digits")
    if re.search(r"%(?:[01][0-9A-Fa-f]|7[Ff])", path):
        raise PolicyError("the endpoint's path has a control character (%00 to %1F, %7F)")
    if re.search(r"/(?:\.|%2[Ee]){1,2}(?:/|$)", path.partition("?")[0]):
        raise PolicyError("the endpoint's path has a . or .. segment: write where it leads")
    return path
