"""What each address is, and what opens it: a table, and the two forms in which one address hides in another."""

import ipaddress
from enum import Enum
from typing import NamedTuple

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
AddressRange = ipaddress.IPv4Network | ipaddress.IPv6Network


class Verdict(Enum):
    NEVER = "never allowed"
    LOOPBACK = "allowed with ALLOW_LOOPBACK=true only"
    LISTED = "allowed where ALLOWED_CIDRS lists it only"
    PUBLIC = "allowed with ALLOW_PUBLIC_ADDRESSES=true only, or where ALLOWED_CIDRS lists it"
    CARRIED = "judged by the IPv4 address in the last 32 bits"


class Network(NamedTuple):
    prefix: AddressRange
    verdict: Verdict
    reason: str


# The first row that holds an address decides. A table of our own, because what `ipaddress` calls private or global
# differs between Python versions. Ranges and purposes: IANA's special-purpose address registries (RFC 6890); EKS pods':
# https://aws.amazon.com/about-aws/whats-new/2018/10/amazon-eks-now-supports-additional-vpc-cidr-blocks/
NETWORKS = tuple(
    Network(ipaddress.ip_network(prefix), verdict, reason)
    for prefix, verdict, reason in (
        ("0.0.0.0/8", Verdict.NEVER, "unspecified: this host itself"),
        ("10.0.0.0/8", Verdict.LISTED, "private"),
        ("100.64.0.0/10", Verdict.LISTED, "shared address space, as EKS pods use it"),
        ("127.0.0.0/8", Verdict.LOOPBACK, "loopback, where the function's own runtime listens"),
        ("169.254.0.0/16", Verdict.NEVER, "link-local, where instance metadata and container credentials are"),
        ("172.16.0.0/12", Verdict.LISTED, "private"),
        ("192.0.0.0/24", Verdict.NEVER, "reserved for protocol assignments"),
        ("192.0.2.0/24", Verdict.NEVER, "reserved for documentation"),
        ("192.88.99.0/24", Verdict.NEVER, "reserved: the former 6to4 relays"),
        ("192.168.0.0/16", Verdict.LISTED, "private"),
        ("198.18.0.0/15", Verdict.LISTED, "reserved for benchmarks, which EKS may give to pods"),
        ("198.51.100.0/24", Verdict.NEVER, "reserved for documentation"),
        ("203.0.113.0/24", Verdict.NEVER, "reserved for documentation"),
        ("224.0.0.0/4", Verdict.NEVER, "multicast"),
        ("255.255.255.255/32", Verdict.NEVER, "broadcast"),
        ("240.0.0.0/4", Verdict.NEVER, "reserved"),
        ("0.0.0.0/0", Verdict.PUBLIC, "public"),
        ("::/128", Verdict.NEVER, "unspecified: this host itself"),
        ("::1/128", Verdict.LOOPBACK, "loopback, where the function's own runtime listens"),
        ("::/96", Verdict.NEVER, "an IPv4-compatible address"),
        ("::ffff:0:0/96", Verdict.CARRIED, "an IPv4-mapped address"),
        ("::ffff:0:0:0/96", Verdict.NEVER, "an IPv4-translated address"),
        ("64:ff9b::/96", Verdict.CARRIED, "a NAT64 address"),
        ("64:ff9b:1::/48", Verdict.NEVER, "a NAT64 address of a network's own"),
        ("2001::/32", Verdict.NEVER, "a Teredo tunnel"),
        ("2001::/23", Verdict.NEVER, "reserved for protocols"),
        ("2001:db8::/32", Verdict.NEVER, "reserved for documentation"),
        ("2002::/16", Verdict.NEVER, "a 6to4 tunnel"),
        ("3fff::/20", Verdict.NEVER, "reserved for documentation"),
        ("2000::/3", Verdict.PUBLIC, "public"),
        ("fd00:ec2::/32", Verdict.NEVER, "Amazon's own services, where instance metadata and credentials are"),
        ("fc00::/7", Verdict.LISTED, "private"),
        ("fe80::/10", Verdict.NEVER, "link-local"),
        ("ff00::/8", Verdict.NEVER, "multicast"),
        ("::/0", Verdict.NEVER, "reserved"),
    )
)

# An ISATAP interface's own half of an address, before the IPv4 address: under any prefix, so no row of the table.
# The bit that is left out says whether that IPv4 address is unique in the world. RFC 5214, 6.1
ISATAP, ISATAP_MASK = 0x0000_5EFE_0000_0000, 0xFDFF_FFFF_0000_0000


class Judgement(NamedTuple):
    verdict: Verdict
    reason: str
    """In words that follow "is"."""
    address: Address
    """The one that was judged: of a carried one, the IPv4 address."""


def judge(address: Address) -> Judgement:
    """What an address is. Never CARRIED: that is taken off first."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.scope_id is not None:
            return Judgement(Verdict.NEVER, "in a zone of this host", address)
        if int(address) & ISATAP_MASK == ISATAP:
            return Judgement(Verdict.NEVER, "an ISATAP tunnel", address)
    network = next(network for network in NETWORKS if address in network.prefix)
    if network.verdict is not Verdict.CARRIED:
        return Judgement(network.verdict, network.reason, address)
    carried = judge(ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF))
    return carried._replace(reason=f"{network.reason} for {carried.address}, which is {carried.reason}")
