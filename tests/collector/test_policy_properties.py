"""Any address in any form and spelling: what Python's own `ipaddress` would not let through is refused.

And where a connection is made, it is made to an address that was judged, and nothing is looked up on the way.
"""

import ipaddress
import socket
import time
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address, ip_network
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from collector.errors import CollectorError, PolicyError, ScrapeError
from collector.policy import EVERY_PORT, EVERYWHERE, Resolver, Rules, check
from collector.scrape import scrape
from connects import watched

Address = IPv4Address | IPv6Address

# Forms: an IPv4 address inside an IPv6 address. RFC 4291 2.5.5, 6052 2.1, 3056 2, 4380 4, 5214 6.1, 2765 2.1
INSIDE: dict[str, Callable[[int, int], int]] = {
    "mapped": lambda four, _: 0xFFFF << 32 | four,
    "compatible": lambda four, _: four,
    "translated": lambda four, _: 0xFFFF << 48 | four,
    "NAT64": lambda four, _: 0x64_FF9B << 96 | four,
    "own NAT64": lambda four, noise: 0x64_FF9B_0001 << 80 | (noise & 0xFFFF_FFFF_FFFF) << 32 | four,
    "6to4": lambda four, noise: 0x2002 << 112 | four << 80 | noise & (1 << 80) - 1,
    "Teredo": lambda four, noise: 0x2001_0000 << 96 | (noise & (1 << 64) - 1) << 32 | four ^ 0xFFFF_FFFF,
    "Teredo's server": lambda four, noise: 0x2001_0000 << 96 | four << 64 | noise & (1 << 64) - 1,
    "ISATAP": lambda four, noise: (noise & (1 << 64) - 1) << 64 | 0x5EFE << 32 | four,
    "ISATAP, unique": lambda four, noise: 0xFD << 120 | (noise & (1 << 56) - 1) << 64 | 0x0200_5EFE << 32 | four,
}
TUNNELS = {*INSIDE} - {"mapped", "NAT64"}
"""Refused whatever they carry."""
LOOPBACK_SIX = IPv6Address("::1")
"""Itself, though it is written as a compatible address of 0.0.0.1 is."""

FOUR = ("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16",
        "198.18.0.0/15", "224.0.0.0/4", "240.0.0.0/4", "255.255.255.255/32", "169.254.169.254/32", "169.254.170.2/32",
        "169.254.170.23/32", "0.0.0.0/0")  # fmt: skip
SIX = ("::/128", "::1/128", "::/96", "fc00::/7", "fd00:ec2::/32", "fe80::/10", "fec0::/10", "ff00::/8", "2000::/3",
       "2001::/23", "64:ff9b::/32", "::/0")  # fmt: skip

PRIVATE = ("10.0.0.0/8", "100.64.0.0/10", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")

fours = st.sampled_from(FOUR).flatmap(lambda text: st.ip_addresses(network=text))
sixes = st.sampled_from(SIX).flatmap(lambda text: st.ip_addresses(network=text))
noise = st.integers(0, (1 << 128) - 1)
embedded = st.builds(
    lambda form, four, noise: (form, IPv6Address(INSIDE[form](int(four), noise))),
    st.sampled_from([*INSIDE]),
    fours,
    noise,
)
addresses = st.one_of(st.tuples(st.just("plain"), fours), st.tuples(st.just("plain"), sixes), embedded)

# Spellings of an address as a host.
ODD_FOUR: dict[str, Callable[[IPv4Address], str]] = {
    "decimal": lambda four: str(int(four)),
    "hexadecimal": lambda four: hex(int(four)),
    "octal": lambda four: f"0{int(four):o}",
    "parts hexadecimal": lambda four: ".".join(map(hex, four.packed)),
    "parts octal": lambda four: ".".join(f"0{part:o}" for part in four.packed),
    "padded": lambda four: ".".join(f"{part:03}" if part < 100 else f"0{part}" for part in four.packed),
    "two parts": lambda four: f"{four.packed[0]}.{int(four) & 0xFF_FFFF}",
    "three parts": lambda four: f"{four.packed[0]}.{four.packed[1]}.{int(four) & 0xFFFF}",
    "dot behind": lambda four: f"{four}.",
    "full-width": lambda four: str(four).translate({ord("0") + n: 0xFF10 + n for n in range(10)}),
    "ideographic dots": lambda four: str(four).replace(".", "。"),
    "escaped": lambda four: "".join(f"%{ord(each):02x}" for each in str(four)),
    "in brackets": lambda four: f"[{four}]",
    "as a user's host": lambda four: f"gpu.test@{four}",
    "wrapped": lambda four: str(int(four) + (1 << 32)),
}
PLAIN_SIX: dict[str, Callable[[IPv6Address], str]] = {
    "short": lambda six: f"[{six.compressed}]",
    "in full": lambda six: f"[{six.exploded}]",
    "capitals": lambda six: f"[{six.exploded.upper()}]",
    "end as IPv4": lambda six: f"[{six.exploded[:29]}:{IPv4Address(int(six) & 0xFFFF_FFFF)}]",
}
ODD_SIX: dict[str, Callable[[IPv6Address], str]] = {
    "no brackets": lambda six: six.exploded,
    "zone": lambda six: f"[{six}%lo]",
    "zone escaped": lambda six: f"[{six}%25lo]",
    "one number": lambda six: str(int(six)),
    "colons escaped": lambda six: f"[{six.exploded.replace(':', '%3a')}]",
}

SOME_RULES = st.builds(
    Rules,
    allow_loopback=st.booleans(),
    allow_public_addresses=st.booleans(),
    allowed_ports=st.just(EVERY_PORT),
    allowed_cidrs=st.sampled_from([Rules().allowed_cidrs, EVERYWHERE, (ip_network("10.0.0.0/8"), ip_network("::/0"))]),
)


def may_be_reached(form: str, address: Address, rules: Rules) -> bool:
    """By `ipaddress` alone, and no more than it says: at least this has to be refused."""
    if form in TUNNELS and address != LOOPBACK_SIX:
        return False
    if isinstance(address, IPv6Address) and (address.ipv4_mapped or address in ip_network("64:ff9b::/96")):
        address = IPv4Address(int(address) & 0xFFFF_FFFF)
    if address.is_loopback:
        return rules.allow_loopback
    if address.is_link_local or address.is_multicast or address.is_unspecified or address in ip_network("0.0.0.0/8"):
        return False
    if isinstance(address, IPv6Address):
        if address in ip_network("fd00:ec2::/32") or address.is_reserved or address.is_site_local:
            return False
        if address.sixtofour or address.teredo:
            return False
    elif address.is_reserved:
        return False
    if any(address in cidr for cidr in rules.allowed_cidrs):
        return True
    return rules.allow_public_addresses and address.is_global


def leads_to(*addresses: str) -> Resolver:
    def resolver(host: str, port: int, **_: Any) -> list[tuple[Any, ...]]:
        return [(socket.AF_UNSPEC, socket.SOCK_STREAM, 6, "", (each, port)) for each in addresses]

    return resolver


def connected(endpoint: str, rules: Rules, *answers: str) -> list[str]:
    """Where the way of a scrape connects to; what it may never be is a look-up beside the check's."""
    deadline = time.monotonic() + 60
    destination = check(endpoint, rules, deadline, leads_to(*answers))
    with watched() as watch, pytest.raises(ScrapeError):
        scrape(destination, deadline)
    assert watch.look_ups == []
    assert [address for address, _ in watch.connects] == list(destination.addresses)
    return list(destination.addresses)


@given(addresses, SOME_RULES)
@example(("mapped", IPv6Address("::ffff:169.254.169.254")), Rules(allowed_cidrs=EVERYWHERE, allowed_ports=EVERY_PORT))
def test_an_address_behind_a_name_is_reached_only_if_it_may_be(form: tuple[str, Address], rules: Rules) -> None:
    name, address = form
    try:
        reached = connected("http://gpu.test:30000/", rules, str(address))
    except PolicyError:
        return
    assert reached == [str(address)]
    assert may_be_reached(name, address, rules)


@given(st.lists(addresses, min_size=2, max_size=5), SOME_RULES)
def test_of_several_addresses_all_may_be_reached_or_none_is(forms: list[tuple[str, Address]], rules: Rules) -> None:
    answers = list(dict.fromkeys(str(address) for _, address in forms))
    try:
        reached = connected("http://gpu.test:30000/", rules, *answers)
    except PolicyError:
        return
    assert reached == answers
    assert all(may_be_reached(form, address, rules) for form, address in forms)


@example(("compatible", LOOPBACK_SIX), "short", Rules(allow_loopback=True, allowed_ports=EVERY_PORT))
@given(embedded | st.tuples(st.just("plain"), sixes), st.sampled_from([*PLAIN_SIX]), SOME_RULES)
def test_every_plain_spelling_of_an_ipv6_address_is_judged_alike(
    form: tuple[str, IPv6Address], spelling: str, rules: Rules
) -> None:
    name, address = form
    host = PLAIN_SIX[spelling](address)
    try:
        reached = connected(f"http://{host}:30000/", rules)
    except PolicyError:
        with pytest.raises(PolicyError):
            check("http://gpu.test/", rules, time.monotonic() + 60, leads_to(str(address)))
        return
    assert [ipaddress.ip_address(each) for each in reached] == [address]
    assert may_be_reached(name, address, rules)


@given(fours, st.sampled_from([*ODD_FOUR]), SOME_RULES)
def test_no_odd_spelling_of_an_ipv4_address_is_taken(address: IPv4Address, spelling: str, rules: Rules) -> None:
    with pytest.raises(PolicyError):
        check(f"http://{ODD_FOUR[spelling](address)}:30000/", rules, time.monotonic() + 60, leads_to(str(address)))


@given(sixes, st.sampled_from([*ODD_SIX]), SOME_RULES)
def test_no_odd_spelling_of_an_ipv6_address_is_taken(address: IPv6Address, spelling: str, rules: Rules) -> None:
    with pytest.raises(PolicyError):
        check(f"http://{ODD_SIX[spelling](address)}:30000/", rules, time.monotonic() + 60, leads_to(str(address)))


@given(sixes, SOME_RULES)
def test_a_resolvers_zone_is_never_followed(address: IPv6Address, rules: Rules) -> None:
    with pytest.raises(PolicyError):
        check("http://gpu.test:30000/", rules, time.monotonic() + 60, leads_to(f"{address}%lo"))


@given(st.sampled_from(PRIVATE).flatmap(lambda text: st.ip_addresses(network=text)))
def test_private_addresses_are_reached(address: Address) -> None:
    if address in ip_network("fd00:ec2::/32") or int(address) >> 32 & 0xFDFF_FFFF == 0x5EFE:
        return
    host = f"[{address}]" if address.version == 6 else str(address)
    assert connected(f"http://{host}:30000/", Rules()) == [str(address)]


@given(st.text(max_size=80) | st.from_regex(r"https?://[ -~]{0,60}", fullmatch=True))
def test_any_text_is_an_endpoint_or_refused(text: str) -> None:
    try:
        destination = check(text, Rules(allowed_ports=EVERY_PORT), time.monotonic() + 60, leads_to("10.66.0.1"))
    except CollectorError:
        return
    assert destination.host in text.lower() or ipaddress.ip_address(destination.host)
    assert destination.path.startswith("/")
    assert not destination.path.startswith("//")
