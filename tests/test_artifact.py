"""The package that is deployed: built for real, as `sam build` has it built, for both processors."""

import json
import os
import platform
import re
import shutil
import stat
import struct
import subprocess
import zipfile
from pathlib import Path

import boto3
import pytest

ROOT = Path(__file__).parent.parent
FUNCTIONS = ROOT / "functions"
# ELF's e_machine: https://refspecs.linuxfoundation.org/elf/gabi4+/ch4.eheader.html
MACHINES = {"x86_64": 62, "arm64": 183}
HERE = {"x86_64": "x86_64", "aarch64": "arm64"}.get(platform.machine()) if platform.system() == "Linux" else None
MEBIBYTE = 2**20

# Run by the functions' own Python: prints the modules whose bytecode it would not take, or would have to check.
UNSOUND_BYTECODE = """
import importlib.util, json, pathlib, sys
unsound = []
for source in pathlib.Path(sys.argv[1]).rglob("*.py"):
    bytecode = pathlib.Path(importlib.util.cache_from_source(source))
    header = bytecode.read_bytes()[:16] if bytecode.exists() else b""
    unchecked_hash = (1).to_bytes(4, "little") + importlib.util.source_hash(source.read_bytes())
    if header != importlib.util.MAGIC_NUMBER + unchecked_hash:
        unsound.append(str(source))
print(json.dumps(unsound))
"""

ASK_FOR_HEALTH = """
import json, sys, types
from handlers.api import handler
context = types.SimpleNamespace(
    function_name="Api", memory_limit_in_mb=1024, invoked_function_arn="arn", aws_request_id="request"
)
print(handler(json.load(sys.stdin), context)["body"])
"""


def make(folder, *arguments, **options):
    return subprocess.run(["make", "-C", folder, *arguments], capture_output=True, text=True, **options)


@pytest.fixture(scope="session")
def functions(tmp_path_factory):
    """The functions' folder copied aside, which is where sam too has them built."""
    return shutil.copytree(FUNCTIONS, tmp_path_factory.mktemp("sources") / "functions")


@pytest.fixture(scope="session")
def runtime_python():
    """The Python that the functions run on, as the build finds it."""
    found = make(FUNCTIONS, "--silent", "--no-print-directory", "runtime-python")
    if found.returncode:
        pytest.skip("no python3.13 here, which the functions are compiled with")
    return found.stdout.strip()


def build(functions, logical_id, artifacts, architecture, **options):
    told = (f"ARTIFACTS_DIR={artifacts}", f"ARCHITECTURE={architecture}")
    built = make(functions, f"build-{logical_id}", *told, **options)
    if built.returncode and "Retrying" in built.stderr:
        pytest.skip("the packages cannot be fetched here")
    assert built.returncode == 0, built.stderr
    return artifacts


@pytest.fixture(scope="session", params=MACHINES)
def architecture(request):
    return request.param


@pytest.fixture(scope="session")
def artifact(functions, runtime_python, architecture, tmp_path_factory):
    """The built package of one architecture, made by somebody whose files nobody else may read."""
    return build(functions, "Api", tmp_path_factory.mktemp(architecture) / "Api", architecture, umask=0o077)


def test_every_module_has_bytecode_that_is_taken_without_a_look_at_its_source(artifact, runtime_python):
    checked = subprocess.run(
        [runtime_python, "-c", UNSOUND_BYTECODE, artifact], capture_output=True, text=True, check=True
    )
    assert json.loads(checked.stdout) == []
    assert len(list(artifact.rglob("*.py"))) == len(list(artifact.rglob("*.pyc"))) > 100


def test_native_code_is_for_the_architecture_that_was_named(artifact, architecture):
    machines = {path.name: struct.unpack_from("<H", path.read_bytes(), 18)[0] for path in artifact.rglob("*.so")}
    assert any(name.startswith("_pydantic_core.cpython-313-") for name in machines)
    assert set(machines.values()) == {MACHINES[architecture]}


def test_our_own_code_is_packed_whole(artifact, functions):
    for package in ("handlers", "collector"):
        written = {path.relative_to(functions): path.read_bytes() for path in (functions / package).rglob("*.py")}
        assert {path.relative_to(artifact): path.read_bytes() for path in (artifact / package).rglob("*.py")} == written


def test_beside_our_own_code_only_the_pinned_packages_are_packed(artifact):
    pinned = re.findall(r"^([a-z0-9-]+)==", (FUNCTIONS / "requirements.txt").read_text(), re.MULTILINE)
    modules = {name.replace("-", "_") for name in pinned}
    top = {path.name.removesuffix(".py") for path in artifact.iterdir() if path.suffix != ".dist-info"}
    assert top == modules | {"handlers", "collector", "__pycache__"}
    assert not {"boto3", "botocore", "local", "tests"} & top


def test_of_each_packages_metadata_only_what_scanners_and_lawyers_read_is_kept(artifact):
    kept = {path.name.lower() for folder in artifact.glob("*.dist-info") for path in folder.iterdir()}
    assert kept == {"metadata", "license", "licenses"}


def test_lambdas_user_can_read_all_of_it(artifact):
    modes = {path: path.stat().st_mode for path in artifact.rglob("*")}
    assert [path for path, mode in modes.items() if not mode & stat.S_IROTH] == []


def test_it_is_small(artifact, tmp_path):
    files = [path for path in artifact.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 20 * MEBIBYTE
    with zipfile.ZipFile(tmp_path / "Api.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for path in files:
            archive.write(path, path.relative_to(artifact))
    assert (tmp_path / "Api.zip").stat().st_size < 8 * MEBIBYTE


def test_a_second_function_gets_the_same_files_without_a_second_build(artifact, architecture, functions):
    no_second_build = os.environ | {"RUNTIME_PYTHON": "false"}
    second = build(functions, "Worker", artifact.with_name("Worker"), architecture, env=no_second_build)
    assert {path.relative_to(second) for path in second.rglob("*")} == {
        path.relative_to(artifact) for path in artifact.rglob("*")
    }


@pytest.mark.skipif(HERE is None, reason="Lambda's packages run on Linux alone")
@pytest.mark.parametrize("architecture", [HERE], indirect=True)
def test_it_answers_from_its_bytecode_alone(artifact, runtime_python, tmp_path):
    package = shutil.copytree(artifact, tmp_path / "Api")
    for source in package.rglob("*.py"):
        source.write_text("raise AssertionError('the source was read')")
    runtimes_own = Path(boto3.__file__).parent.parent
    answer = subprocess.run(
        [runtime_python, "-c", ASK_FOR_HEALTH],
        input=(ROOT / "events/health.json").read_text(),
        env={
            "PYTHONPATH": f"{package}:{runtimes_own}",
            "POWERTOOLS_METRICS_NAMESPACE": "n",
            "POWERTOOLS_SERVICE_NAME": "s",
        },
        capture_output=True,
        text=True,
    )
    assert answer.returncode == 0, answer.stderr
    assert json.loads(answer.stdout.splitlines()[-1])["status"] == "ok"


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        pytest.param(["ARCHITECTURE=riscv"], "ARCHITECTURE is x86_64 or arm64, not riscv", id="unknown-architecture"),
        pytest.param(["RUNTIME_PYTHON="], "needs python3.13, as Lambda runs it", id="no-runtime-python"),
    ],
)
def test_a_build_that_cannot_be_says_why(arguments, complaint, tmp_path):
    refused = make(FUNCTIONS, "build-Api", f"ARTIFACTS_DIR={tmp_path}/Api", *arguments)
    assert refused.returncode == 2
    assert complaint in refused.stderr
    assert list(tmp_path.iterdir()) == []


def test_sams_own_configuration_names_the_architecture(tmp_path):
    shutil.copytree(FUNCTIONS, tmp_path / "functions")
    overrides = 'parameter_overrides = "LogLevel=\\"INFO\\" Architecture=\\"arm64\\""'
    (tmp_path / "samconfig.toml").write_text(f"[default.deploy.parameters]\n{overrides}\n")
    environment = {name: value for name, value in os.environ.items() if name != "ARCHITECTURE"}
    told = ("ARTIFACTS_DIR=/nowhere/Api", "RUNTIME_PYTHON=python")
    planned = make(tmp_path / "functions", "--dry-run", "build-Api", *told, env=environment)
    assert "--platform=manylinux2014_aarch64" in planned.stdout


def test_a_package_that_is_not_the_one_that_was_pinned_ends_the_build(functions, runtime_python, tmp_path):
    tampered = shutil.copytree(functions, tmp_path / "functions")
    file = tampered / "requirements.txt"
    file.write_text(re.sub(r"sha256:[0-9a-f]{64}", f"sha256:{64 * '0'}", file.read_text()))
    refused = make(tampered, "build-Api", f"ARTIFACTS_DIR={tmp_path}/built/Api", "ARCHITECTURE=x86_64")
    if "Retrying" in refused.stderr:
        pytest.skip("the packages cannot be fetched here")
    assert refused.returncode == 2
    assert "DO NOT MATCH THE HASHES" in refused.stderr
    assert not (tmp_path / "built/Api").exists()


@pytest.mark.parametrize(
    "name",
    [
        "functions/requirements",
        "tests/requirements",
        "tests/requirements-tools",
        "tests/requirements-schemathesis",
        "tests/requirements-audit",
    ],
)
def test_every_requirement_is_pinned_with_hashes_and_names_no_registry(name):
    text = (ROOT / f"{name}.txt").read_text()
    requirements = [line for line in text.splitlines() if line[0] not in "# "]
    assert requirements
    assert [line for line in requirements if not re.fullmatch(r"[a-z0-9-]+==\S+( ; .+)? \\", line)] == []
    assert "://" not in text


def test_what_is_tested_is_what_is_packed():
    pins = r"^[a-z0-9-]+==[^ ]+"
    packed = re.findall(pins, (FUNCTIONS / "requirements.txt").read_text(), re.MULTILINE)
    assert set(packed) <= set(re.findall(pins, (ROOT / "tests/requirements.txt").read_text(), re.MULTILINE))
