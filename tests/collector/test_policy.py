"""Where we may go: every spelling of an endpoint with its verdict, and the look-up behind a name."""

import ipaddress
import re
import socket
import threading
import time
from typing import Any

import pytest

from collector.errors import CollectorError, DeadlineError, DnsError, PolicyError
from collector.networks import NETWORKS
from collector.policy import DEFAULT_CIDRS, Destination, Resolver, Rules, check, inspect

OPEN = Rules(allow_loopback=True, trust_registered_targets=True).for_registered()


def leads_to(*addresses: str) -> Resolver:
    """A resolver that knows one answer."""

    def resolver(host: str, port: int, **_: Any) -> list[tuple[Any, ...]]:
        family = {True: socket.AF_INET6, False: socket.AF_INET}
        return [(family[":" in each], socket.SOCK_STREAM, 6, "", (each, port)) for each in addresses]

    return resolver


def forbidden_resolver(*_: Any, **__: Any) -> list[tuple[Any, ...]]:
    raise AssertionError("looked up what needs no look-up")


def checked(endpoint: str, rules: Rules = OPEN, resolver: Resolver = forbidden_resolver) -> Destination:
    return check(endpoint, rules, time.monotonic() + 5, resolver)


# The parts of an endpoint


@pytest.mark.parametrize(
    ("endpoint", "destination"),
    [
        pytest.param(
            "http://10.0.1.17:30000/metrics",
            Destination("http", "10.0.1.17", 30000, "/metrics", ("10.0.1.17",)),
            id="plain",
        ),
        pytest.param("http://10.0.1.17", Destination("http", "10.0.1.17", 80, "/", ("10.0.1.17",)), id="bare"),
        pytest.param("https://10.0.1.17/m", Destination("https", "10.0.1.17", 443, "/m", ("10.0.1.17",)), id="https"),
        pytest.param(
            "http://10.0.1.17/metrics?name[]=a&b=%41",
            Destination("http", "10.0.1.17", 80, "/metrics?name[]=a&b=%41", ("10.0.1.17",)),
            id="query",
        ),
        pytest.param(
            "http://10.0.1.17?x=/../y",
            Destination("http", "10.0.1.17", 80, "/?x=/../y", ("10.0.1.17",)),
            id="only-query",
        ),
        pytest.param(
            "http://10.0.1.17/@/a:b//c",
            Destination("http", "10.0.1.17", 80, "/@/a:b//c", ("10.0.1.17",)),
            id="odd-path",
        ),
        pytest.param(
            "HTTP://[FD12:3456::00A]:8000/metrics",
            Destination("http", "fd12:3456::a", 8000, "/metrics", ("fd12:3456::a",)),
            id="IPv6",
        ),
    ],
)
def test_an_endpoint_is_taken_apart(endpoint: str, destination: Destination) -> None:
    assert checked(endpoint) == destination


@pytest.mark.parametrize("host", ["gpu-1.internal", "gpu_1", "xn--bcher-kva.example", "1.gpu", "0x.gpu", "a" * 63])
def test_a_name_is_kept_and_its_addresses_are_pinned(host: str) -> None:
    resolver = leads_to("10.0.1.17", "10.0.1.18", "10.0.1.17", "fd12::1")
    assert checked(f"http://{host.upper()}:30000/metrics", Rules(), resolver) == Destination(
        "http", host, 30000, "/metrics", ("10.0.1.17", "10.0.1.18", "fd12::1")
    )


SCHEME = "does not begin with http:// or https://"
HOST = "host is not a name, an IPv4 address or an IPv6 address in brackets without a zone"
NAME = "host is not a name: letters, digits, - and _, with single dots between"
NUMBER = "host ends in a number and is not an IPv4 address of four decimal numbers"
PORT = "port is not a number from 1 to 65535"
CREDENTIALS = r"has credentials before its host \(@\): leave them out"
PATH = "path has a character that must be written as %XX, or a % without two digits"
SEGMENT = r"path has a \. or \.\. segment"


@pytest.mark.parametrize(
    ("endpoint", "reason"),
    [
        ("", SCHEME),
        ("10.0.1.17:30000/metrics", SCHEME),
        ("//10.0.1.17/", SCHEME),
        ("http:/10.0.1.17/", SCHEME),
        ("http:10.0.1.17/", SCHEME),
        ("ftp://10.0.1.17/", SCHEME),
        ("file:///etc/passwd", SCHEME),
        ("unix:///run/docker.sock", SCHEME),
        ("http+unix://%2Frun%2Fdocker.sock/", SCHEME),
        ("gopher://10.0.1.17:70/_", SCHEME),
        ("javascript:http://10.0.1.17/", SCHEME),
        ("http://", NAME),
        ("http:///metrics", NAME),
        ("http://:30000/metrics", NAME),
        ("http://gpu..internal/", NAME),
        ("http://.gpu/", NAME),
        ("http://gpu./", NAME),
        ("http://10.0.1.17./", NAME),
        ("http://-gpu/", NAME),
        ("http://gpu-/", NAME),
        ("http://gpu%2einternal/", NAME),
        ("http://10.0.1.17%00.internal/", NAME),
        ("http://gpu,internal/", NAME),
        ("http://10.0.1.17;x/", NAME),
        (f"http://{'a' * 64}/", NAME),
        (f"http://{'a.' * 127}aa/", NAME),
        ("http://127.1/", NUMBER),
        ("http://127.0.1/", NUMBER),
        ("http://2130706433/", NUMBER),
        ("http://0177.0.0.1/", NUMBER),
        ("http://127.0.0.01/", NUMBER),
        ("http://0x7f.1/", NUMBER),
        ("http://0X7F000001/", NUMBER),
        ("http://0x7f.0.0.0x1/", NUMBER),
        ("http://127.0.0.0x/", NUMBER),
        ("http://017700000001/", NUMBER),
        ("http://256.0.0.1/", NUMBER),
        ("http://10.0.0.1.1/", NUMBER),
        ("http://gpu.1/", NUMBER),
        ("http://0/", NUMBER),
        ("http://fd12::1/", HOST),
        ("http://::1:80/", HOST),
        ("http://[fd12::1/", HOST),
        ("http://fd12::1]/", HOST),
        ("http://[fd12::1]x/", HOST),
        ("http://[fe80::1%25eth0]/", HOST),
        ("http://[fe80::1%eth0]/", HOST),
        ("http://[[fd12::1]]/", HOST),
        ("http://[10.0.1.17]/", "host is not an IPv6 address"),
        ("http://[]/", "host is not an IPv6 address"),
        ("http://[v1.x]/", "host is not an IPv6 address"),
        ("http://[fd12::00001]/", "host is not an IPv6 address"),
        ("http://[::ffff:0177.0.0.1]/", "host is not an IPv6 address"),
        ("http://10.0.1.17:/", PORT),
        ("http://10.0.1.17:0/", PORT),
        ("http://10.0.1.17:080/", PORT),
        ("http://10.0.1.17:65536/", PORT),
        ("http://10.0.1.17:+80/", PORT),
        ("http://10.0.1.17:-1/", PORT),
        ("http://10.0.1.17:80:80/", HOST),
        ("http://10.0.1.17:0x50/", PORT),
        ("http://user:secret@10.0.1.17/", CREDENTIALS),
        ("http://secret@10.0.1.17/", CREDENTIALS),
        ("http://@10.0.1.17/", CREDENTIALS),
        ("http://10.0.1.17:80@secret.test/", CREDENTIALS),
        ("http://user:secret#@10.0.1.17/", "has a fragment"),
        ("http://user:secret/@10.0.1.17/", PORT),
        ("http://10.0.1.17/metrics#secret", "has a fragment"),
        ("http://10.0.1.17/metrics#", "has a fragment"),
        ("http://10.0.1.17\\@secret.test/", r"character U\+005C at position 17"),
        ("http:\\\\10.0.1.17/", r"character U\+005C at position 6"),
        (" http://10.0.1.17/", r"character U\+0020 at position 1"),
        ("http://10.0.1.17/ ", r"character U\+0020"),
        ("http://10.0.1.17/\r\nHost: x", r"character U\+000D"),
        ("ht\ntp://10.0.1.17/", r"character U\+000A"),
        ("http://10.0.1.17\t/", r"character U\+0009"),
        ("http://10.0.1.17/\x00", r"character U\+0000"),
        ("http://10.0.1.17/\x7f", r"character U\+007F"),
        ("http://bücher.example/", r"character U\+00FC .* written in its xn-- form"),
        ("http://127。0。0。1/", r"character U\+3002"),
        ("http://１２７.0.0.1/", r"character U\+FF11"),
        ("http://ⓛocalhost/", r"character U\+24DB"),
        ("http://10.0.1.17//metadata.test:99999/", "path begins with //"),
        ("http://10.0.1.17/" + "a" * 2048, "is longer than 2048 characters"),
        ("http://10.0.1.17/<x>", PATH),
        ('http://10.0.1.17/"', PATH),
        ("http://10.0.1.17/%", PATH),
        ("http://10.0.1.17/%4", PATH),
        ("http://10.0.1.17/%zz", PATH),
        ("http://10.0.1.17/a%0d%0aX:%20y", "path has a control character"),
        ("http://10.0.1.17/%00", "path has a control character"),
        ("http://10.0.1.17/?x=%7F", "path has a control character"),
        ("http://10.0.1.17/a/../b", SEGMENT),
        ("http://10.0.1.17/..", SEGMENT),
        ("http://10.0.1.17/./b", SEGMENT),
        ("http://10.0.1.17/a/%2E%2e?x", SEGMENT),
        ("http://10.0.1.17/a/.%2e/b", SEGMENT),
    ],
)
def test_an_odd_endpoint_is_refused_with_the_part_that_is_odd(endpoint: str, reason: str) -> None:
    with pytest.raises(PolicyError, match=f"^the endpoint('s| has the|) {reason}") as caught:
        checked(endpoint)
    assert caught.value.code == "endpoint_forbidden"
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("port", [80, 443, 3000, 5000, 8000, 8002, 8999, 29000, 30000, 32767])
def test_the_ports_of_inference_servers_are_open(port: int) -> None:
    assert checked(f"http://10.0.1.17:{port}/", Rules()).port == port


@pytest.mark.parametrize("port", [1, 22, 25, 2375, 3001, 6379, 7999, 9000, 29999, 32768, 65535])
def test_other_ports_are_closed_and_say_what_opens_them(port: int) -> None:
    with pytest.raises(PolicyError, match=f"port {port} is not one that ALLOWED_PORTS lists"):
        checked(f"http://gpu.internal:{port}/", Rules())


# Addresses

DEFAULT, LAPTOP, ABROAD = Rules(), Rules(allow_loopback=True), Rules(allow_public_addresses=True)


@pytest.mark.parametrize(
    "address",
    [
        *("10.0.0.0", "10.255.255.255", "172.16.0.1", "172.31.255.255", "192.168.0.1", "192.168.255.255"),
        *("100.64.0.1", "100.127.255.255", "fd12::1", "fc00::1", "fdff:ffff::1"),
        *("::ffff:10.0.0.1", "64:ff9b::10.0.0.1"),
    ],
)
def test_private_addresses_are_open(address: str) -> None:
    assert checked("http://gpu.internal/", DEFAULT, leads_to(address)).addresses == (
        str(ipaddress.ip_address(address)),
    )


LOOPBACK = ["127.0.0.1", "127.255.255.255", "::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1"]
PUBLIC = [
    *("8.8.8.8", "1.0.0.1", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "172.15.255.255"),
    *("172.32.0.0", "126.255.255.255", "128.0.0.0", "169.253.255.255", "169.255.0.0", "192.167.255.255"),
    *("223.255.255.255", "2600:1f18::1", "2001:200::1", "2a05:d018::1", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8"),
]
NEVER = [
    *("0.0.0.0", "0.1.2.3", "169.254.169.254", "169.254.170.2", "169.254.0.1", "169.254.255.255"),  # noqa: S104
    *("192.0.0.1", "192.0.0.192", "192.0.2.1", "192.88.99.1"),
    *("198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255"),
    *("::", "::2", "::127.0.0.1", "::10.0.0.1", "100::1", "64:ff9b:1::1", "5f00::1", "4000::1", "fec0::1"),
    *("fe80::1", "febf::1", "fe80::1%lo", "ff02::1", "ff0e::1", "fd00:ec2::254", "fd00:ec2::253", "fd00:ec2::23"),
    *(
        "::ffff:169.254.169.254",
        "::ffff:0.0.0.0",
        "::ffff:0:127.0.0.1",
        "::ffff:0:10.0.0.1",
        "::ffff:224.0.0.1",
        "::ffff:255.255.255.255",
    ),
    *("64:ff9b::169.254.169.254", "64:ff9b::a9fe:aa02", "64:ff9b::0.0.0.0"),
    *("fd12::5efe:127.0.0.1", "2600::200:5efe:169.254.169.254", "fd12:3456::5efe:10.0.0.1", "64:ff9b:1::10.0.0.1"),
    *("2002:7f00:1::1", "2002:a9fe:a9fe::1", "2002:808:808::1"),
    *("2001::1", "2001:0:7f00:1::", "2001:0:a9fe:a9fe::", "2001:10::1", "2001:20::1", "2001:db8::1", "3fff::1"),
]


def verdict(address: str, rules: Rules, besides: str = "10.0.0.1") -> str:
    """What is said of a name with a good address and this one, and of the literal, which must be the same."""
    with pytest.raises(PolicyError) as by_name:
        checked("http://gpu.internal/", rules, leads_to(besides, address))
    if "%" in address:
        return str(by_name.value)
    literal = f"[{address}]" if ":" in address else address
    with pytest.raises(PolicyError) as by_literal:
        checked(f"http://{literal}/", rules)
    assert str(by_name.value).removeprefix("gpu.internal leads to ").replace(", which is", " is", 1) == str(
        by_literal.value
    )
    return str(by_name.value)


@pytest.mark.parametrize("address", LOOPBACK)
def test_loopback_is_open_on_a_laptop_only(address: str) -> None:
    assert checked("http://gpu.internal/", LAPTOP, leads_to(address))
    for rules in (DEFAULT, ABROAD):
        assert "where the function's own runtime listens: allowed with ALLOW_LOOPBACK=true only" in verdict(
            address, rules
        )


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_open_by_parameter(address: str) -> None:
    assert checked("http://gpu.internal/", ABROAD, leads_to(address))
    for rules in (DEFAULT, LAPTOP):
        assert "is public: allowed with ALLOW_PUBLIC_ADDRESSES=true only, or where ALLOWED_CIDRS lists it" in verdict(
            address, rules
        )


@pytest.mark.parametrize("address", NEVER)
def test_some_addresses_are_never_open(address: str) -> None:
    for rules in (DEFAULT, LAPTOP, ABROAD, OPEN):
        assert verdict(address, rules).endswith(": never allowed")


@pytest.mark.parametrize("address", ["198.18.0.1", "198.19.255.255", "::ffff:198.19.0.1"])
def test_what_eks_may_give_to_pods_is_open_by_parameter(address: str) -> None:
    listed = Rules(allowed_cidrs=(ipaddress.ip_network("198.19.0.0/16"), ipaddress.ip_network("198.18.0.0/16")))
    assert checked("http://gpu.internal/", listed, leads_to(address))
    for rules in (DEFAULT, LAPTOP, ABROAD):
        assert "benchmarks, which EKS may give to pods: allowed where ALLOWED_CIDRS lists it only" in verdict(
            address, rules, besides="10.0.0.1"
        )


def test_a_carried_address_is_named_with_its_reason() -> None:
    assert "a NAT64 address for 169.254.169.254, which is link-local" in verdict("64:ff9b::a9fe:a9fe", OPEN)


def test_every_network_in_the_table_can_be_reached_by_an_address() -> None:
    deciding = {
        next(network.prefix for network in NETWORKS if ipaddress.ip_address(address) in network.prefix)
        for address in (
            *LOOPBACK,
            *PUBLIC,
            *NEVER,
            "10.0.0.1",
            "100.64.0.1",
            "172.16.0.1",
            "192.168.0.1",
            "198.18.0.1",
            "fc00::1",
        )
    }
    assert deciding == {network.prefix for network in NETWORKS}


# Looking up


def test_a_name_is_looked_up_once_and_a_literal_never() -> None:
    looked_up: list[tuple[Any, ...]] = []

    def rebinding(host: str, port: int, **options: Any) -> list[tuple[Any, ...]]:
        looked_up.append((host, port, options))
        return leads_to("127.0.0.1" if len(looked_up) > 1 else "10.0.1.17")(host, port)

    assert checked("http://gpu.internal:30000/", Rules(), rebinding).addresses == ("10.0.1.17",)
    assert looked_up == [("gpu.internal", 30000, {"type": socket.SOCK_STREAM})]
    assert checked("http://10.0.1.17:30000/", Rules(), forbidden_resolver).addresses == ("10.0.1.17",)


def test_the_systems_resolver_is_used() -> None:
    destination = check("http://localhost:30000/", LAPTOP, time.monotonic() + 5)
    assert destination.host == "localhost"
    assert set(destination.addresses) <= {"127.0.0.1", "::1"}


def test_a_name_that_leads_to_loopback_is_refused() -> None:
    with pytest.raises(PolicyError, match=r"localhost leads to (127\.0\.0\.1|::1), which is loopback"):
        check("http://localhost:30000/", Rules(), time.monotonic() + 5)


def failing(exception: Exception) -> Resolver:
    def resolver(*_: Any, **__: Any) -> list[tuple[Any, ...]]:
        raise exception

    return resolver


@pytest.mark.parametrize(
    ("resolver", "reason"),
    [
        pytest.param(failing(socket.gaierror(-2, "Name not known")), ": Name not known", id="unknown"),
        pytest.param(failing(OSError("out of order")), ": out of order", id="other"),
        pytest.param(leads_to(), "", id="nothing"),
    ],
)
def test_a_name_without_an_address_is_a_dns_error(resolver: Resolver, reason: str) -> None:
    with pytest.raises(DnsError, match=f"^gpu.internal: the look-up gave no address{re.escape(reason)}$") as caught:
        checked("http://gpu.internal/", Rules(), resolver)
    assert caught.value.code == "dns_failed"


def test_a_fault_of_ours_in_the_look_up_is_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError):
        checked("http://gpu.internal/", Rules(), failing(ZeroDivisionError()))


def test_a_resolver_that_hangs_is_left_behind_at_the_deadline() -> None:
    ended = threading.Event()

    def hanging(*_: Any, **__: Any) -> list[tuple[Any, ...]]:
        ended.wait(60)
        return []

    try:
        started = time.monotonic()
        outcomes = [attempt(hanging, started + 0.3) for _ in range(2)]
        assert time.monotonic() - started < 3
    finally:
        ended.set()
    assert [(type(outcome), outcome.code) for outcome in outcomes] == [(DeadlineError, "timeout")] * 2
    assert re.fullmatch(r"gpu\.internal: the look-up of its addresses was not done within 0\.3 s", str(outcomes[0]))


def test_resolvers_that_hang_do_not_pile_up() -> None:
    ended = threading.Event()
    running: list[int] = []

    def hanging(*_: Any, **__: Any) -> list[tuple[Any, ...]]:
        running.append(1)
        ended.wait(60)
        return leads_to("10.0.1.17")("", 0)

    try:
        for _ in range(200):
            attempt(hanging, time.monotonic() + 0.005)
        assert len(running) <= 64
    finally:
        ended.set()
    assert checked("http://gpu.internal/", Rules(), leads_to("10.0.1.17"))


def attempt(resolver: Resolver, deadline: float) -> CollectorError:
    with pytest.raises(CollectorError) as caught:
        check("http://gpu.internal/", Rules(), deadline, resolver)
    return caught.value


# Parameters

NARROW = (ipaddress.ip_network("10.20.0.0/16"), ipaddress.ip_network("fd12::/16"))


@pytest.mark.parametrize(
    ("environment", "rules"),
    [
        pytest.param({}, Rules(), id="none"),
        pytest.param({"ALLOW_LOOPBACK": "", "ALLOW_PUBLIC_ADDRESSES": "", "ALLOWED_PORTS": ""}, Rules(), id="empty"),
        pytest.param({"ALLOW_LOOPBACK": "false", "ALLOW_PUBLIC_ADDRESSES": "false"}, Rules(), id="false"),
        pytest.param({"ALLOW_LOOPBACK": "true"}, LAPTOP, id="loopback"),
        pytest.param({"ALLOW_PUBLIC_ADDRESSES": "true"}, ABROAD, id="public"),
        pytest.param({"TRUST_REGISTERED_TARGETS": "true"}, Rules(trust_registered_targets=True), id="trust"),
        pytest.param({"ALLOWED_CIDRS": "10.20.0.0/16, fd12::/16"}, Rules(allowed_cidrs=NARROW), id="networks"),
        pytest.param({"ALLOWED_CIDRS": DEFAULT_CIDRS}, Rules(), id="the-default-networks"),
        pytest.param(
            {"ALLOWED_HOST_SUFFIXES": "Internal, .gpu.example.com"},
            Rules(allowed_host_suffixes=("internal", "gpu.example.com")),
            id="suffixes",
        ),
        pytest.param(
            {"ALLOWED_PORTS": "80, 8000-8002"}, Rules(allowed_ports=(range(80, 81), range(8000, 8003))), id="ports"
        ),
    ],
)
def test_rules_come_from_the_environment(environment: dict[str, str], rules: Rules) -> None:
    assert Rules.from_environment(environment) == rules


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ALLOW_LOOPBACK", "yes"),
        ("ALLOW_LOOPBACK", "True"),
        ("ALLOW_PUBLIC_ADDRESSES", "1"),
        ("ALLOWED_PORTS", "80;443"),
        ("ALLOWED_PORTS", "80,"),
        ("ALLOWED_PORTS", "9000-8000"),
        ("ALLOWED_PORTS", "all"),
        ("ALLOWED_PORTS", "-80"),
        ("ALLOWED_PORTS", "٨٠"),
        ("ALLOWED_CIDRS", "10.20.0.1/16"),
        ("ALLOWED_CIDRS", "10.20.0.0"),
        ("ALLOWED_CIDRS", "10.20.0.0/16,"),
        ("ALLOWED_CIDRS", "10.20.0.0/33"),
        ("ALLOWED_CIDRS", "all"),
        ("ALLOWED_HOST_SUFFIXES", "internal,"),
        ("ALLOWED_HOST_SUFFIXES", "*.internal"),
        ("ALLOWED_HOST_SUFFIXES", "..internal"),
        ("TRUST_REGISTERED_TARGETS", "yes"),
    ],
)
def test_a_parameter_that_cannot_be_read_is_our_fault_and_stops_us(name: str, value: str) -> None:
    with pytest.raises(ValueError, match=re.escape(f"{name} is {value!r}")):
        Rules.from_environment({name: value})


@pytest.mark.parametrize("address", ["10.20.0.1", "fd12::1", "::ffff:10.20.0.1", "64:ff9b::10.20.0.1"])
def test_listed_networks_are_open(address: str) -> None:
    assert checked("http://gpu.internal/", Rules(allowed_cidrs=NARROW), leads_to(address))


@pytest.mark.parametrize("address", ["10.21.0.1", "192.168.0.1", "fd13::1", "100.64.0.1", "::ffff:10.21.0.1"])
def test_a_list_of_networks_takes_the_place_of_the_private_ones(address: str) -> None:
    refused = verdict(address, Rules(allowed_cidrs=NARROW), besides="10.20.0.1")
    assert refused.endswith(": allowed where ALLOWED_CIDRS lists it only")


def test_a_public_network_can_be_listed_without_opening_the_others() -> None:
    rules = Rules(allowed_cidrs=(ipaddress.ip_network("8.8.8.0/24"),))
    assert checked("http://8.8.8.8/", rules)
    with pytest.raises(PolicyError, match=r"8\.8\.9\.8 is public"):
        checked("http://8.8.9.8/", rules)


@pytest.mark.parametrize("address", [*NEVER, *LOOPBACK])
def test_nothing_that_can_be_listed_or_registered_opens_what_is_never_allowed(address: str) -> None:
    everything = {"ALLOWED_CIDRS": "0.0.0.0/0,::/0,169.254.0.0/16,127.0.0.0/8,::1/128,fe80::/10,fd00:ec2::/32"}
    rules = Rules.from_environment(
        everything | {"ALLOW_PUBLIC_ADDRESSES": "true", "ALLOWED_PORTS": "1-65535", "TRUST_REGISTERED_TARGETS": "true"}
    )
    for each in (rules, rules.for_registered()):
        assert re.search(": never allowed$|: allowed with ALLOW_LOOPBACK=true only$", verdict(address, each))


@pytest.mark.parametrize("name", ["internal", "gpu-1.internal", "a.b.internal", "GPU.Example.COM", "1.gpu.example.com"])
def test_a_name_with_a_listed_end_is_open(name: str) -> None:
    rules = Rules(allowed_host_suffixes=("internal", "gpu.example.com"))
    assert checked(f"http://{name}/", rules, leads_to("10.0.0.1")).host == name.lower()
    with pytest.raises(PolicyError, match="is link-local"):
        checked(f"http://{name}/", rules, leads_to("169.254.169.254"))


@pytest.mark.parametrize("name", ["notinternal", "internal.test", "example.com", "xgpu.example.com", "localhost"])
def test_a_name_with_another_end_is_refused_and_not_looked_up(name: str) -> None:
    with pytest.raises(PolicyError, match=f"^{name} is not a name that ALLOWED_HOST_SUFFIXES lists the end of$"):
        checked(f"http://{name}/", Rules(allowed_host_suffixes=("internal", "gpu.example.com")))


def test_an_address_needs_no_listed_end() -> None:
    assert checked("http://10.0.0.1/", Rules(allowed_host_suffixes=("internal",)))


def test_what_is_registered_goes_by_the_same_rules_unless_it_is_trusted() -> None:
    assert Rules().for_registered() == Rules()
    trusted = Rules(allowed_cidrs=NARROW, allowed_host_suffixes=("internal",), trust_registered_targets=True)
    for endpoint in ("http://8.8.8.8/", "http://10.0.0.1:22/", "http://gpu.test/"):
        assert checked(endpoint, trusted.for_registered(), leads_to("8.8.8.8"))
        with pytest.raises(PolicyError):
            checked(endpoint, trusted, leads_to("8.8.8.8"))


# Without a look-up


def test_a_name_is_judged_without_a_look_up_by_what_it_says() -> None:
    assert inspect("http://GPU-1.internal:30000/metrics", Rules()) == ("http", "gpu-1.internal", 30000, "/metrics")


@pytest.mark.parametrize(
    ("endpoint", "words"),
    [
        pytest.param("http://gpu-1.internal:22/metrics", "port 22", id="port"),
        pytest.param("http://gpu-1..internal:30000/metrics", "not a name", id="spelling"),
        pytest.param("http://169.254.169.254/latest", "link-local", id="address"),
        pytest.param("http://[::1]:30000/", "ALLOW_LOOPBACK", id="address-that-a-parameter-opens"),
    ],
)
def test_what_needs_no_look_up_is_refused_before_one(endpoint: str, words: str) -> None:
    with pytest.raises(PolicyError, match=words) as inspected:
        inspect(endpoint, Rules())
    with pytest.raises(PolicyError) as refused:
        checked(endpoint, Rules())
    assert str(inspected.value) == str(refused.value)
