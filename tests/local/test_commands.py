"""`make demo`, `make collect` and `make serve` as processes, with the real handler and the embedded DynamoDB."""

import http.client
import json
import re
import signal
import socket

import pytest
from processes import children, end, is_alive

from local.simulator.server import SimulatedServer


@pytest.fixture
def simulator():
    with SimulatedServer() as server:
        yield server


class TestDemo:
    def test_it_shows_what_was_running_and_where_it_was_stored(self, run):
        status, output, errors = run("demo")
        assert (status, errors) == (0, "")
        total, *ranks = map(
            int, re.search(r"^Running requests: (\d+) = (\d+) \+ (\d+),", output, re.MULTILINE).groups()
        )
        assert total == sum(ranks) > 0
        assert [int(n) for n in re.findall(r"^  dp \d +(\d+) ", output, re.MULTILINE)] == ranks
        assert int(re.search(r"^  all +(\d+) ", output, re.MULTILINE)[1]) == total
        assert re.search(
            r"^Stored in DynamoDB: table Snapshots, instance_id sglang-001, slot \d{13}, [\d,]+ bytes\.$",
            output,
            re.MULTILINE,
        )
        assert "make collect URL=http://your-host:30000/metrics" in output

    def test_it_writes_no_log_and_no_colour_into_a_pipe(self, run):
        _, output, _ = run("demo", TERM="xterm")
        assert "\033" not in output
        assert "{" not in output

    def test_the_users_own_aws_and_proxy_do_not_come_in_between(self, run):
        status, _, errors = run(
            "demo",
            AWS_PROFILE="no-such-profile",
            AWS_ENDPOINT_URL_DYNAMODB="http://127.0.0.1:9",
            AWS_REGION="nowhere-1",
            HTTP_PROXY="http://127.0.0.1:9",
            ALLOWED_PORTS="80",
            PERSIST_STATE="1",
        )
        assert (status, errors) == (0, "")


class TestCollect:
    def test_it_shows_the_servers_numbers(self, run, simulator):
        status, output, errors = run("collect", simulator.metrics_url)
        assert (status, errors) == (0, "")
        assert output.startswith(f"127.0.0.1:{simulator.port}  {simulator.metrics_url}\n")
        assert int(re.search(r"^  running +(\d+)$", output, re.MULTILINE)[1]) == simulator.simulation.truth()["running"]

    @pytest.mark.parametrize(
        ("arguments", "variables"), [(["--json"], {}), ([], {"JSON": "1"})], ids=["option", "variable"]
    )
    def test_it_gives_the_raw_answer(self, run, simulator, arguments, variables):
        status, output, _ = run("collect", simulator.metrics_url, *arguments, **variables)
        answer = json.loads(output)
        assert (status, answer["success"]) == (0, True)
        assert answer["metrics"]["raw_metrics"]

    @pytest.mark.parametrize(
        ("path", "words"),
        [
            pytest.param("http://127.0.0.1:{port}/nothing", "http_status: ", id="not-found"),
            pytest.param("http://127.0.0.1:9/metrics", "connection_refused: ", id="nobody-there"),
            pytest.param("http://169.254.169.254/metrics", "endpoint_forbidden: ", id="forbidden"),
            pytest.param("not a url", "invalid_request: ", id="no-url"),
        ],
    )
    def test_a_failure_is_said_with_its_code(self, run, simulator, path, words):
        status, output, errors = run("collect", path.format(port=simulator.port))
        assert (status, output) == (1, "")
        assert words in errors

    def test_an_unknown_engine_is_refused(self, run, simulator):
        status, _, errors = run("collect", simulator.metrics_url, ENGINE="no-such-engine")
        assert status == 1
        assert "engine" in errors

    def test_without_a_url_it_says_how(self, run):
        status, _, errors = run("collect")
        assert status == 2
        assert "usage: make collect URL=" in errors


class Api:
    """`make serve`, asked over HTTP."""

    def __init__(self, process):
        self.process = process
        self.welcome = ""
        while not self.welcome.endswith("/docs in a browser\n"):
            line = process.stdout.readline()
            assert line, process.communicate()
            self.welcome += line
        self.port = int(re.search(r"http://127\.0\.0\.1:(\d+)", self.welcome)[1])

    def ask(self, method, path, body=None, **headers):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return answer, answer.read()
        finally:
            connection.close()

    def collect(self, endpoint):
        body = json.dumps({"instance_id": "sglang-001", "endpoint": endpoint})
        return self.ask("POST", "/api/v1/collect/sglang", body, **{"Content-Type": "application/json"})


class TestServe:
    @pytest.fixture
    def api(self, start):
        return Api(start("serve", PORT="0", SIMULATOR_PORT="0"))

    def test_a_method_that_no_route_has_is_404_as_in_aws(self, api):
        for method in ("TRACE", "QUERY"):
            answer, body = api.ask(method, "/api/v1/health")
            assert (answer.status, json.loads(body)["error_code"]) == (404, "no_such_route")

    def test_its_document_asks_for_no_signature(self, api):
        answer, body = api.ask("GET", "/openapi.json")
        assert answer.status == 200
        assert "security" not in json.loads(body)

    def test_the_lines_that_it_greets_with_work(self, start, free_port):
        api = Api(start("serve", "--port=0", f"--simulator-port={free_port}"))
        body = re.search(r"-d '(.*)'$", api.welcome, re.MULTILINE)[1]
        answer, collected = api.ask("POST", "/api/v1/collect/sglang", body, **{"Content-Type": "application/json"})
        assert answer.status == 200
        assert json.loads(collected)["metrics"]["endpoint"] == f"http://127.0.0.1:{free_port}/metrics"
        answer, newest = api.ask("GET", "/api/v1/metrics/sglang/sglang-001")
        assert answer.status == 200
        assert json.loads(newest)["metrics"] == json.loads(collected)["metrics"]
        answer, page = api.ask("GET", "/docs")
        assert (answer.status, answer.headers["Content-Type"]) == (200, "text/html")
        assert b"swagger" in page.lower()

    def test_a_query_string_collects_too(self, api, simulator):
        answer, body = api.ask("GET", f"/api/v1/metrics/sglang/sglang-001?endpoint={simulator.metrics_url}&raw=false")
        assert answer.status == 200
        assert (
            json.loads(body)["metrics"]["system_metrics"]["num_requests_running"]
            == simulator.simulation.truth()["running"]
        )

    def test_without_a_simulated_server_the_port_is_only_in_the_example(self, api):
        assert "simulated server" not in api.welcome

    @pytest.mark.parametrize(
        ("method", "path", "status"),
        [
            pytest.param("GET", "/api/v1/health", 200, id="health"),
            pytest.param("HEAD", "/api/v1/health", 404, id="no-such-method"),
            pytest.param("GET", "/nothing", 404, id="no-such-route"),
            pytest.param("GET", "/api/v1/metrics/sglang/nobody", 404, id="nothing-stored"),
            pytest.param("GET", "/api/v1/metrics/sglang/n%20b", 422, id="no-such-id"),
        ],
    )
    def test_the_handlers_answers_come_through(self, api, method, path, status):
        assert api.ask(method, path)[0].status == status

    @pytest.mark.parametrize(
        ("head", "status"),
        [
            pytest.param(b"POST /x HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n", 413, id="body-too-large"),
            pytest.param(b"POST /x HTTP/1.1\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n", 413, id="length-endless"),
            pytest.param(b"GET /api/v1/health HTTP/1.1\r\nHost: pages.example\r\n\r\n", 421, id="another-host"),
            pytest.param(b"GET /api/v1/health HTTP/1.1\r\nHost: localhost:8002\r\n\r\n", 200, id="localhost"),
            pytest.param(b"POST /x HTTP/1.1\r\nContent-Length: x\r\n\r\n", 400, id="length-not-a-number"),
            pytest.param(b"POST /x HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400, id="length-negative"),
            pytest.param(b"POST /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 411, id="chunked"),
            pytest.param(b"GET /x HTTP/1.1\r\nA: " + b"a" * 11_000 + b"\r\n\r\n", 431, id="head-too-large"),
            pytest.param(b"GET /" + b"a" * 11_000 + b" HTTP/1.1\r\n\r\n", 431, id="path-too-large"),
        ],
    )
    def test_what_the_gateway_refuses_and_what_not(self, api, head, status):
        with socket.create_connection(("127.0.0.1", api.port), timeout=60) as connection:
            connection.sendall(head)
            assert connection.makefile("rb").readline().split()[1] == str(status).encode()

    def test_a_large_body_is_answered_although_it_is_not_read(self, api):
        answer, body = api.ask("POST", "/api/v1/collect/sglang", b"x" * 11_000_000)
        assert (answer.status, json.loads(body)) == (413, {"message": answer.reason})

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
    def test_it_stops_when_told_and_leaves_nothing_behind(self, api, simulator, number):
        assert api.collect(simulator.metrics_url)[0].status == 200
        started = children(api.process.pid)
        assert started
        with socket.create_connection(("127.0.0.1", api.port)):  # an open connection does not keep it
            api.process.send_signal(number)
            _, errors = api.process.communicate(timeout=60)
        assert (api.process.returncode, errors) == (0, "")
        assert not any(map(is_alive, started))

    def test_it_leaves_nothing_behind_when_it_is_killed(self, api):
        started = children(api.process.pid)
        api.process.kill()
        api.process.communicate(timeout=60)
        assert started
        assert end(started)

    @pytest.mark.parametrize("option", ["--port", "--simulator-port"])
    def test_a_taken_port_is_said(self, run, simulator, free_port, option):
        ports = {"--port": free_port, "--simulator-port": 0, option: simulator.port}
        status, _, errors = run("serve", *(f"{name}={port}" for name, port in ports.items()))
        assert status == 1
        assert f"cannot listen on 127.0.0.1:{simulator.port}" in errors
        assert "PORT=" in errors
