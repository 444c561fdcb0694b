"""The simulated server over HTTP, and as a command."""

import gzip
import http.client
import json
import re
import signal
import socket
import threading
import urllib.request

import pytest
from prometheus_client.parser import text_string_to_metric_families

from local.loopback import PortTakenError
from local.simulator.server import SimulatedServer


@pytest.fixture
def server():
    with SimulatedServer() as running:
        yield running


@pytest.fixture
def connection(server):
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    yield connection
    connection.close()


def get(connection, path, **headers):
    connection.request("GET", path, headers=headers)
    answer = connection.getresponse()
    return answer, answer.read()


def fetch(url):
    with urllib.request.urlopen(url, timeout=30) as answer:  # noqa: S310
        return answer.read()


def running_in(page):
    families = {family.name: family for family in text_string_to_metric_families(page.decode())}
    return [sample.value for sample in families["sglang:num_running_reqs"].samples]


def test_the_page_comes_in_chunks_as_from_a_real_server(connection):
    answer, page = get(connection, "/metrics")
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert answer.headers["Transfer-Encoding"] == "chunked"
    assert "Content-Length" not in answer.headers
    assert len(page) > 100_000


def test_the_page_is_compressed_for_who_takes_that(connection):
    answer, body = get(connection, "/metrics", **{"Accept-Encoding": "gzip, deflate"})
    assert answer.headers["Content-Encoding"] == "gzip"
    assert running_in(gzip.decompress(body))


def test_open_metrics_is_negotiated(connection):
    answer, page = get(connection, "/metrics", Accept="application/openmetrics-text;version=1.0.0;escaping=allow-utf-8")
    assert answer.headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
    assert page.endswith(b"# EOF\n")


def test_the_truth_is_that_of_the_last_page(connection):
    for _ in range(5):
        _, page = get(connection, "/metrics")
        _, truth = get(connection, "/truth")
        truth = json.loads(truth)
        assert running_in(page) == [rank["running"] for rank in truth["ranks"]]
        assert sum(running_in(page)) == truth["running"]


def test_anything_else_is_not_found(connection):
    answer, body = get(connection, "/nothing")
    assert answer.status == 404
    assert json.loads(body) == {"detail": "Not Found"}


def test_head_has_no_body(connection):
    connection.request("HEAD", "/metrics")
    answer = connection.getresponse()
    assert answer.status == 200
    assert answer.read() == b""
    assert get(connection, "/metrics")[0].status == 200


def test_many_scrapes_at_once_are_each_answered_whole(server):
    pages = []

    def scrape():
        pages.append(fetch(server.metrics_url))

    threads = [threading.Thread(target=scrape) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    scrapes = [
        int(re.search(rb'http_requests_total{endpoint="/metrics",method="GET"} (\d+)', page)[1]) for page in pages
    ]
    assert sorted(scrapes) == list(range(1, 17))


def test_an_open_connection_does_not_keep_it_alive():
    with SimulatedServer() as server:
        idle = socket.create_connection(("127.0.0.1", server.port))
        idle.sendall(b"GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n")
        assert idle.recv(12) == b"HTTP/1.1 404"
        port = server.port
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))
    idle.close()


def test_a_taken_port_is_said(server):
    with pytest.raises(PortTakenError, match=rf"127\.0\.0\.1:{server.port}"):
        SimulatedServer(server.port)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
def test_the_command_says_where_it_is_and_stops_when_told(start, number):
    process = start("simulator", SIMULATOR_PORT="0")
    line = process.stdout.readline()
    url = re.fullmatch(r"simulated SGLang server: (http://127\.0\.0\.1:\d+/metrics)\n", line)[1]
    assert fetch(url).startswith(b"# HELP sglang:")
    process.send_signal(number)
    assert process.communicate(timeout=30) == ("", "")
    assert process.returncode == 0


def test_the_command_says_that_its_port_is_taken(run, server):
    status, output, errors = run("simulator", SIMULATOR_PORT=str(server.port))
    assert (status, output) == (1, "")
    assert f"cannot listen on 127.0.0.1:{server.port}" in errors
    assert "SIMULATOR_PORT=" in errors
