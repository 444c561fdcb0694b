"""A fleet's file: what it says, what is wrong in it and where, and what it changes."""

from datetime import UTC, datetime

import pytest

from collector.policy import Rules
from collector.targets import Registered, Registration
from local.fleet import FleetError, compare, read_fleet

RULES = Rules()


@pytest.fixture
def read(tmp_path):
    def of_text(text):
        path = tmp_path / "fleet.yaml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return read_fleet(path, RULES)

    return of_text


def registration(instance_id="a", **changes):
    fields = {"engine": "sglang", "endpoint": "http://10.0.1.17:30000/metrics"}
    return Registration.model_validate({"instance_id": instance_id} | fields | changes)


def registered(instance_id="a", **changes):
    return Registered(
        **registration(instance_id, **changes).model_dump(), version=3, changed_at=datetime(2026, 11, 24, tzinfo=UTC)
    )


def test_the_entries_own_fields_win_over_the_defaults_and_labels_and_thresholds_are_added_up(read):
    text = """
defaults:
  engine: sglang
  interval_seconds: 30
  retention_days: 7
  labels: {team: search, zone: a}
  thresholds: {stalled_seconds: 60, first_token_seconds: 2}
targets:
  - {instance_id: a, endpoint: "http://10.0.1.17:30000/metrics"}
  - instance_id: b
    endpoint: http://10.0.1.17:30000/metrics
    interval_seconds: 15
    retention_days: null
    labels: {zone: b, model: llama}
    thresholds: {first_token_seconds: 9.5}
    enabled: false
"""
    assert read(text) == [
        registration(
            "a",
            interval_seconds=30,
            retention_days=7,
            labels={"team": "search", "zone": "a"},
            thresholds={"stalled_seconds": 60, "first_token_seconds": 2},
        ),
        registration(
            "b",
            interval_seconds=15,
            labels={"team": "search", "zone": "b", "model": "llama"},
            thresholds={"stalled_seconds": 60, "first_token_seconds": 9.5},
            enabled=False,
        ),
    ]


def test_a_file_without_defaults_says_everything_in_its_entries(read):
    assert read('targets: [{instance_id: a, engine: sglang, endpoint: "http://10.0.1.17:30000/metrics"}]') == [
        registration("a")
    ]


def test_an_anchor_can_be_merged(read):
    text = """
defaults: {engine: sglang}
targets:
  - &first {instance_id: a, endpoint: "http://10.0.1.17:30000/metrics"}
  - {<<: *first, instance_id: b}
"""
    assert read(text) == [registration("a"), registration("b")]


GOOD = "endpoint: http://10.0.1.17:30000/metrics, engine: sglang"


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        pytest.param("", ["the file: Input should be a valid dictionary or instance of Fleet"], id="empty"),
        pytest.param("defaults: {}", ["targets: Field required"], id="no-targets"),
        pytest.param("targets: {a: {}}", ["targets: Input should be a valid list"], id="targets-not-a-list"),
        pytest.param("targets: [a]", ["targets.0: Input should be a valid dictionary"], id="entry-not-a-mapping"),
        pytest.param("targets: []\nservers: []", ["servers: Extra inputs are not permitted"], id="another-key"),
        pytest.param(
            "defaults: {intervall_seconds: 30}\ntargets: []",
            ["defaults: intervall_seconds: Extra inputs are not permitted"],
            id="defaults-misspelt",
        ),
        pytest.param(
            f"defaults: {{interval_seconds: 10}}\ntargets: [{{instance_id: a, {GOOD}}}, {{instance_id: b, {GOOD}}}]",
            ["defaults: interval_seconds: Input should be greater than or equal to 15"],
            id="defaults-wrong-are-said-once",
        ),
        pytest.param(
            f"targets: [{{instance_id: a, {GOOD}}}, "
            f"{{instance_id: b, {GOOD}, interval_seconds: 15, timeout_seconds: 15}}]",
            ["target 2 (b): timeout_seconds: 15 s is not less than the interval, 15 s"],
            id="entry-wrong",
        ),
        pytest.param(
            f"targets: [{{instance_id: a}}, {{{GOOD}}}, {{instance_id: 7, {GOOD}}}]",
            [
                "target 1 (a): engine: Field required",
                "target 1 (a): endpoint: Field required",
                "target 2 (no instance_id): instance_id: Field required",
                "target 3 (7): instance_id: Input should be a valid string",
            ],
            id="every-entry-and-field",
        ),
        pytest.param(
            f"targets: [{{instance_id: a, {GOOD}}}, {{instance_id: b, {GOOD}}}, {{instance_id: a, {GOOD}}}]",
            ["target 3 (a): instance_id: target 1 has it already"],
            id="twice",
        ),
        pytest.param(
            f"targets: [{{instance_id: a, labels: {{shard: 1}}, {GOOD}}}]",
            ["target 1 (a): labels.shard: Input should be a valid string"],
            id="label-is-a-number",
        ),
        pytest.param(
            f"targets: [{{instance_id: a, thresholds: {{idle_ratio: 90}}, {GOOD}}}]",
            ["target 1 (a): thresholds: idle_ratio is 90.0: input should be less than or equal to 1"],
            id="threshold-out-of-its-limits",
        ),
        pytest.param(
            "targets: [{instance_id: a, engine: sglang, endpoint: 'http://10.0.1.17:22/metrics'}]",
            ["target 1 (a): endpoint: port 22 is not one that ALLOWED_PORTS lists"],
            id="endpoint-that-policy-forbids",
        ),
        pytest.param(b"targets: \xff", ["not UTF-8: invalid start byte at byte 9"], id="not-text"),
    ],
)
def test_what_is_wrong_is_said_with_its_entry_and_field(read, text, lines):
    with pytest.raises(FleetError) as raised:
        read(text)
    assert raised.value.lines == lines


@pytest.mark.parametrize(
    ("text", "words"),
    [
        pytest.param("targets: [{instance_id: a, instance_id: b}]", "instance_id stands twice", id="key-twice"),
        pytest.param("targets: [", "line 1, column 11", id="not-yaml"),
        pytest.param("targets: !!python/object:os.system {}", "could not determine a constructor", id="a-program"),
    ],
)
def test_what_is_not_yaml_is_said_with_its_place(read, text, words):
    with pytest.raises(FleetError) as raised:
        read(text)
    [line] = raised.value.lines
    assert words in line
    assert "line 1" in line


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(f"targets: [{{instance_id: a, {GOOD}, labels: [hunter2]}}]", id="field"),
        pytest.param("targets: [{instance_id: a, engine: sglang, endpoint: 'http://me:hunter2@10.0.0.1/'}]", id="url"),
        pytest.param("password: hunter2: hunter2", id="not-yaml"),
    ],
)
def test_no_message_quotes_what_could_be_a_password(read, text):
    with pytest.raises(FleetError) as raised:
        read(text)
    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize("prune", [False, True])
def test_the_difference_is_what_is_new_changed_gone_and_as_it_was(prune):
    there = [registered("same"), registered("changed"), registered("gone")]
    wanted = [registration("new"), registration("changed", enabled=False), registration("same")]
    difference = compare(wanted, there, prune)
    assert difference.added == [wanted[0]]
    assert difference.changed == [(there[1], wanted[1])]
    assert (difference.removed, difference.left) == ((there[2:], []) if prune else ([], there[2:]))
    assert (difference.unchanged, len(difference)) == (1, 3 if prune else 2)
