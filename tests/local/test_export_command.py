"""`make export` as a person runs it, against an AWS on this machine."""

import csv
import os
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest

from collector import batches, pages
from past import Past

FUNCTIONS = Path(__file__).parents[2] / "functions"
PATIENCE_SECONDS = 60
T0 = time.time_ns() // 60_000_000_000 * 60_000 - 3_600_000
PAGE = "# TYPE sglang:num_requests_total counter\nsglang:num_requests_total {}\n"


def forget_clients():
    batches.client.cache_clear()
    pages.forget()


@pytest.fixture
def instance():
    return f"sglang-{uuid.uuid4()}"


@pytest.fixture
def tables(aws, monkeypatch, instance):
    """The variables of a process that reads them; one server's history is there."""
    names = {"SNAPSHOTS_TABLE": "Snapshots", "SHAPES_TABLE": "Shapes"}
    for name, value in (aws.environment() | names).items():
        monkeypatch.setenv(name, value)
    forget_clients()
    past = Past(instance_id=instance)
    for minute in range(3):
        past.good(
            T0 + 60_000 * minute, f"# TYPE sglang:num_requests_total counter\nsglang:num_requests_total {minute}\n"
        )
    past.failed(T0 + 180_000)
    yield aws.environment() | {"TABLE": "Snapshots", "SHAPES": "Shapes"}
    forget_clients()


def export(environment, instance, **variables):
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
    return subprocess.run(
        [sys.executable, "-m", "local.export", instance],
        env=kept | environment | {"PYTHONPATH": str(FUNCTIONS)} | variables,
        capture_output=True,
        timeout=PATIENCE_SECONDS,
        text=True,
    )


def test_a_history_is_written_row_by_row(tables, instance):
    done = export(tables, instance, START="-2h", FIELDS="sglang:num_requests_total,interval.requests_finished")
    assert (done.returncode, done.stderr) == (0, "4 rows\n")
    header, *rows = csv.reader(done.stdout.splitlines())
    assert header[4:] == ["sglang:num_requests_total", "interval.requests_finished"]
    assert [row[4:] for row in rows] == [["0.0", ""], ["1.0", "1"], ["2.0", "1"], ["", ""]]
    assert [row[1] for row in rows] == ["", "", "", "connection_refused"]


def test_steps_go_to_a_file(tables, instance, tmp_path):
    file = tmp_path / "day.csv"
    done = export(
        tables,
        instance,
        START=str(T0 / 1000),
        END=str(T0 / 1000 + 120),
        STEP="2m",
        FIELDS="interval.requests_finished",
        FILE=str(file),
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "1 rows\n")
    assert file.read_bytes().splitlines()[1].endswith(b",,,,2")


@pytest.mark.parametrize(
    ("other", "variables", "words"),
    [
        ("nobody", {}, "no scrape of nobody is stored"),
        (None, {"START": "yesterday"}, "START= 'yesterday' is no time"),
        (None, {"FIELDS": "a.b"}, "FIELDS= 'a.b' is neither"),
        (None, {"TABLE": "Nowhere"}, "ResourceNotFoundException"),
        (None, {"TABLE": ""}, "say whose history: STACK= or TABLE="),
        (None, {"SHAPES": ""}, "with TABLE= goes SHAPES="),
    ],
)
def test_what_is_wrong_is_said(tables, instance, other, variables, words):
    done = export(tables, other or instance, **variables)
    assert done.returncode != 0
    assert words in done.stderr
    assert "Traceback" not in done.stderr
