"""What the functions are made of is looked at: licences, and known vulnerabilities."""

import json
import subprocess
import sys

import pytest

from support import ROOT


def run(module, *arguments):
    command = [sys.executable, "-m", f"tests.supply_chain.{module}", *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr


def test_every_package_that_is_shipped_has_a_licence_that_is_allowed():
    status, output, errors = run("licences")
    assert (status, errors) == (0, "")
    shipped = (ROOT / "functions/requirements.txt").read_text().count("==")
    assert len(output.splitlines()) == shipped


@pytest.mark.parametrize(
    ("requirement", "complaint"),
    [
        pytest.param("nobody-wrote-this==1.0", "nobody-wrote-this 1.0 is not installed", id="not-installed"),
        pytest.param("pydantic==0.1", "pydantic 0.1 is pinned", id="another-version"),
        pytest.param("hypothesis==1", "'MPL-2.0' is not among the licences allowed", id="another-licence"),
    ],
)
def test_a_package_whose_licence_is_not_allowed_or_not_known_fails(tmp_path, requirement, complaint):
    file = tmp_path / "requirements.txt"
    file.write_text(f"{requirement} \\\n")
    status, _, errors = run("licences", file)
    assert status == 1
    assert complaint in errors


def stub(folder, output, errors="", status=0):
    """A pip-audit that says this."""
    (folder / "said").write_text(output)
    script = folder / "pip-audit"
    script.write_text(f"#!/bin/sh\ncat '{folder}/said'\necho '{errors}' >&2\nexit {status}\n")
    script.chmod(0o755)
    return script


def package(**found):
    return json.dumps({"dependencies": [{"name": "urllib3", "version": "2.8.0", "vulns": []} | found]})


@pytest.mark.parametrize(
    ("output", "status", "words"),
    [
        pytest.param(package(), 0, "1 packages audited, 0 known vulnerabilities", id="none"),
        pytest.param(
            package(vulns=[{"id": "CVE-1", "fix_versions": ["2.8.1"]}]), 1, "CVE-1, mended in 2.8.1", id="one"
        ),
        pytest.param(
            package().replace("[{", '[{"name": "jmespath", "skip_reason": "unknown"}, {', 1),
            1,
            "jmespath: not audited, unknown",
            id="skipped",
        ),
    ],
)
def test_the_audit_says_what_is_known(tmp_path, output, status, words):
    done = run("audit", stub(tmp_path, output))
    assert done[0] == status
    assert words in done[1]


@pytest.mark.parametrize(
    "output", [pytest.param("", id="no-answer"), pytest.param(package(skip_reason="ConnectionError"), id="none-found")]
)
def test_an_audit_without_advisories_says_that_nothing_was_audited(tmp_path, output):
    status, output, errors = run("audit", stub(tmp_path, output, "ERROR: ConnectionError", status=1))
    assert (status, output) == (2, "")
    assert "the advisories cannot be reached from here, so nothing was audited" in errors
    assert "ConnectionError" in errors
