"""Endpoints that are to lead where nobody may go: spellings, names that change, redirects. Canaries stay silent."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from endpoint_spellings import ABROAD, GOOD, OPEN, SPELLINGS, ZONE, Spelling

from collector.errors import CollectorError, DnsError, PolicyError, RedirectError
from collector.policy import EVERY_PORT, Rules, check
from collector.scrape import Page, scrape
from connects import watched
from name_server import NameServer
from servers import PAGE, Server, header, keeps_alive, sends, whole
from support import ROOT

DEFAULT = Rules(allowed_ports=EVERY_PORT)
AS_OPEN_AS_CAN_BE = Rules(allow_public_addresses=True, trust_registered_targets=True).for_registered()
LAPTOP = Rules(allowed_ports=EVERY_PORT, allow_loopback=True)
REBINDING = {
    "rebinding.test": [["127.0.0.2"], ["0.0.0.0"]],  # noqa: S104
    "calmed.test": [["0.0.0.0"], ["127.0.0.2"]],  # noqa: S104
}

Serve = Callable[..., Server]


@pytest.fixture
def names() -> Iterator[NameServer]:
    with NameServer(ZONE | REBINDING | {"localhost": ["127.0.0.1", "::1"]}) as server:
        yield server


@pytest.fixture
def canaries(serve: Serve) -> list[Server]:
    """On 127.0.0.1, and where there is IPv6 on ::1, at the same port. Linux takes 0.0.0.0 and :: there too."""
    canaries = [serve(keeps_alive(whole(b"canary 1\n")))]
    with contextlib.suppress(OSError):
        canaries.append(serve(keeps_alive(whole(b"canary 1\n")), address="::1", port=canaries[0].port))
    return canaries


def fetch(endpoint: str, rules: Rules, names: NameServer) -> Page:
    """The way of a scrape, from the caller's text to the page."""
    deadline = time.monotonic() + 5
    return scrape(check(endpoint, rules, deadline, names.look_up), deadline)


def heard(canaries: list[Server]) -> int:
    return sum(canary.connections for canary in canaries)


# Spellings


def test_no_spelling_stands_twice() -> None:
    assert len(SPELLINGS) == len({spelling.endpoint for spelling in SPELLINGS})


@pytest.mark.parametrize("spelling", SPELLINGS, ids=lambda spelling: ascii(spelling.endpoint[:50])[1:-1])
def test_a_spelling_has_its_verdict(spelling: Spelling, names: NameServer) -> None:
    endpoint = spelling.endpoint.replace("PORT", "30000")
    if spelling.says == OPEN:
        assert {*check(endpoint, DEFAULT, time.monotonic() + 5, names.look_up).addresses} <= GOOD
        return
    with pytest.raises((PolicyError, DnsError)) as caught:
        check(endpoint, DEFAULT, time.monotonic() + 5, names.look_up)
    assert spelling.says in str(caught.value)
    assert "secret" not in str(caught.value)
    assert str(caught.value).isascii()


@pytest.mark.parametrize(
    ("rules", "elsewhere"),
    [pytest.param(DEFAULT, GOOD, id="default"), pytest.param(AS_OPEN_AS_CAN_BE, GOOD | ABROAD, id="as-open-as-can-be")],
)
def test_no_spelling_reaches_a_canary(
    names: NameServer, canaries: list[Server], rules: Rules, elsewhere: set[str]
) -> None:
    for spelling in SPELLINGS:
        # What is not known to lead elsewhere is let out, so that a canary would hear it.
        with watched(refuse=lambda address: address in elsewhere) as watch, contextlib.suppress(CollectorError):
            fetch(spelling.endpoint.replace("PORT", str(canaries[0].port)), rules, names)
        assert {address for address, _ in watch.connects} <= elsewhere, spelling
        assert watch.look_ups == []
    assert heard(canaries) == 0


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "loopback.test"])
def test_a_canary_hears_who_is_let_through(names: NameServer, canaries: list[Server], host: str) -> None:
    assert fetch(f"http://{host}:{canaries[0].port}/", LAPTOP, names).body == b"canary 1\n"
    assert heard(canaries) == 1


# Names that change


def test_a_name_that_changes_after_the_check_gains_nothing(
    names: NameServer, canaries: list[Server], serve: Serve
) -> None:
    port = canaries[0].port
    good = serve(keeps_alive(whole()), address="127.0.0.2", port=port)
    with watched(refuse=lambda address: False) as watch:
        assert fetch(f"http://rebinding.test:{port}/", LAPTOP, names).body == PAGE
    assert watch.connects == [("127.0.0.2", port)]
    assert names.queries == {"rebinding.test": 1}
    # Nor is the connection that was kept used for an answer that is refused.
    with pytest.raises(PolicyError, match=r"rebinding\.test leads to 0\.0\.0\.0, which is unspecified"):
        fetch(f"http://rebinding.test:{port}/", LAPTOP, names)
    assert (good.connections, len(good.requests), heard(canaries)) == (1, 1, 0)


def test_a_name_that_was_bad_is_good_when_it_is_good(names: NameServer, canaries: list[Server], serve: Serve) -> None:
    port = canaries[0].port
    serve(sends(whole()), address="127.0.0.2", port=port)
    with pytest.raises(PolicyError, match="unspecified"):
        fetch(f"http://calmed.test:{port}/", LAPTOP, names)
    assert fetch(f"http://calmed.test:{port}/", LAPTOP, names).body == PAGE
    assert heard(canaries) == 0


# Redirects


@pytest.mark.parametrize("status", ["300 Choices", "301 Moved", "302 Found", "303 Other", "307 Same", "308 Same"])
@pytest.mark.parametrize(
    "location",
    [
        "http://127.0.0.1:PORT/hidden",
        "//127.0.0.1:PORT/hidden",
        "http://localhost:PORT/hidden",
        "http://user:hidden@[::1]:PORT/hidden",
        "http://2130706433:PORT/hidden",
        "http://0.0.0.0:PORT/hidden",
    ],
)
def test_a_redirect_is_not_followed_and_not_told(
    names: NameServer, canaries: list[Server], serve: Serve, status: str, location: str
) -> None:
    port = canaries[0].port
    answer = whole(
        b"hidden", f"Location: {location.replace('PORT', str(port))}", "Refresh: 0;url=/hidden", status=status
    )
    server = serve(sends(answer), address="127.0.0.2")
    with pytest.raises(RedirectError) as caught:
        fetch(f"http://127.0.0.2:{server.port}/", LAPTOP, names)
    said = f"127.0.0.2:{server.port}: answered {status[:3]} and points to another host; it is not followed"
    assert str(caught.value) == said
    assert (server.connections, heard(canaries)) == (1, 0)


# What a caller learns


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(whole(b"hidden", status="500 hidden"), id="status"),
        pytest.param(whole(b"hidden", "Location: http://hidden.test/", status="302 hidden"), id="redirect"),
        pytest.param(whole(b'{"detail": "hidden"}', "Server: hidden", status="404 hidden"), id="404"),
        pytest.param(whole(b"hidden", "Content-Encoding: hidden"), id="encoding"),
        pytest.param(whole(b"hidden", "Transfer-Encoding: hidden"), id="transfer"),
        pytest.param(header("Content-Length: hidden") + b"hidden", id="length"),
        pytest.param(header("Transfer-Encoding: chunked") + b"hidden\r\n", id="chunk"),
        pytest.param(header("hidden without a colon") + b"hidden", id="header"),
        pytest.param(b"hidden\r\n", id="no-http"),
        pytest.param(b"HTTP/hidden 200\r\n\r\n", id="version"),
        pytest.param(b"HTTP/1.1 hidden\r\n\r\n", id="no-status"),
        pytest.param(whole(b"hidden", "Content-Encoding: gzip"), id="no-gzip"),
        pytest.param(header("Content-Length: 99") + b"hidden", id="cut"),
        pytest.param(header() + b"hidden", id="half-a-line"),
    ],
)
def test_a_failure_quotes_nothing_of_the_answer(names: NameServer, serve: Serve, answer: bytes) -> None:
    server = serve(sends(answer))
    with pytest.raises(CollectorError) as caught:
        fetch(f"http://127.0.0.1:{server.port}/metrics", LAPTOP, names)
    assert "hidden" not in str(caught.value).lower()


# A network of its own, with the system's resolver and every address on this host


@pytest.fixture(scope="module")
def hostile_network() -> dict[str, Any]:
    enter = ["unshare", "--mount", "--net", *([] if os.geteuid() == 0 else ["--user", "--map-root-user"]), "--"]
    if not (shutil.which("unshare") and shutil.which("ip")):
        pytest.skip("unshare and ip are not here")
    if subprocess.run([*enter, "true"], capture_output=True).returncode:
        pytest.skip("a network of its own may not be made here")
    script = Path(__file__).parent / "hostile_network.py"
    paths = os.pathsep.join(map(str, (ROOT / "functions", ROOT / "tests")))
    ran = subprocess.run(
        [*enter, sys.executable, str(script)], capture_output=True, text=True, env=os.environ | {"PYTHONPATH": paths}
    )
    assert ran.returncode == 0, ran.stderr
    told: dict[str, Any] = json.loads(ran.stdout)
    return told


def test_in_a_network_where_every_address_answers_only_the_good_ones_are_reached(
    hostile_network: dict[str, Any],
) -> None:
    """The listener hears whoever connects to any address at all: it has shown so for those that are never allowed."""
    assert {"169.254.169.254", "169.254.170.2", "127.0.0.1", "8.8.8.8", "::1"} <= {*hostile_network["control"]}
    assert {"fd00:ec2::254", "2002:7f00:1::1", "64:ff9b::a9fe:a9fe", "fd66::5efe:7f00:1"} <= {
        *hostile_network["control"]
    }
    assert {*hostile_network["reached"]} == {"10.66.0.1", "fd66::1"}


def test_in_that_network_every_spelling_has_its_verdict_from_the_whole_way(hostile_network: dict[str, Any]) -> None:
    assert len(hostile_network["outcomes"]) == len(SPELLINGS)
    for spelling, (code, words) in zip(SPELLINGS, hostile_network["outcomes"], strict=True):
        if spelling.says == OPEN:
            assert code is None, (spelling, words)
        else:
            assert code in ("endpoint_forbidden", "dns_failed"), (spelling, words)
            assert spelling.says in words


def test_in_that_network_a_rebinding_name_server_gains_nothing(hostile_network: dict[str, Any]) -> None:
    first, second = hostile_network["rebinding"]
    assert first == [None, ""]
    assert second[0] == "endpoint_forbidden"
    assert "169.254.169.254, which is link-local" in second[1]
    assert hostile_network["queries"]["rebinding.test"] == 2
