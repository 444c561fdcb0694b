"""A fleet in a YAML file: defaults and a list of targets, each checked, and what it would change in a registry."""

from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import Field, ValidationError

from collector import policy
from collector.errors import PolicyError, SecretForbidden
from collector.targets import Model, Registered, Registration, Settings


class FleetError(Exception):
    """What is wrong in a fleet's file: a line for each place, with the entry and the field."""

    def __init__(self, lines: list[str]) -> None:
        super().__init__("\n".join(lines))
        self.lines = lines


class Fleet(Model):
    """The file. An entry's own fields win over the defaults; its labels and thresholds are added to theirs."""

    defaults: dict[str, Any] = Field({})
    targets: list[dict[str, Any]]


@dataclass(frozen=True)
class Difference:
    """What has to happen for a registry to be as the file says."""

    added: list[Registration]
    changed: list[tuple[Registered, Registration]]
    removed: list[Registered]
    left: list[Registered]
    """Not in the file, and not to be removed."""
    unchanged: int

    def __len__(self) -> int:
        return len(self.added) + len(self.changed) + len(self.removed)


def read_fleet(path: Path, rules: policy.Rules) -> list[Registration]:
    """The file's targets in its order, endpoints judged by `rules`. Raises FleetError, OSError."""
    try:
        fleet = Fleet.model_validate(yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader))  # noqa: S506
    except yaml.MarkedYAMLError as exc:  # its own words would quote the line
        mark = exc.problem_mark
        raise FleetError(
            [f"line {mark.line + 1}, column {mark.column + 1}: {exc.problem}" if mark else "no YAML"]
        ) from exc
    except yaml.YAMLError as exc:
        raise FleetError([" ".join(str(exc).split())]) from exc
    except UnicodeDecodeError as exc:
        raise FleetError([f"not UTF-8: {exc.reason} at byte {exc.start}"]) from exc
    except ValidationError as exc:
        raise FleetError(list(_wrong(exc))) from exc
    if lines := [f"defaults: {line}" for line in _wrong_defaults(fleet.defaults)]:
        raise FleetError(lines)
    registrations: list[Registration] = []
    first_places: dict[str, int] = {}
    for place, entry in enumerate(fleet.targets, 1):
        name = f"target {place} ({entry.get('instance_id', 'no instance_id')})"
        try:
            registration = Registration.model_validate(_with_defaults(entry, fleet.defaults))
            policy.inspect(registration.endpoint, rules)
            policy.check_secrets(registration.auth, registration.ca, registration.endpoint, rules)
        except ValidationError as exc:
            lines += [f"{name}: {line}" for line in _wrong(exc)]
            continue
        except PolicyError as exc:
            lines.append(f"{name}: endpoint: {exc}")
            continue
        except SecretForbidden as exc:  # it names the field
            lines.append(f"{name}: {exc}")
            continue
        first = first_places.setdefault(registration.instance_id, place)
        if first != place:
            lines.append(f"{name}: instance_id: target {first} has it already")
        registrations.append(registration)
    if lines:
        raise FleetError(lines)
    return registrations


def compare(wanted: Iterable[Registration], registered: Iterable[Registered], prune: bool) -> Difference:
    """What the file adds and changes; what it does not name is removed only when pruned."""
    there = {each.instance_id: each for each in registered}
    added, changed, unchanged = [], [], 0
    for registration in wanted:
        current = there.pop(registration.instance_id, None)
        if current is None:
            added.append(registration)
        elif current.registration == registration:
            unchanged += 1
        else:
            changed.append((current, registration))
    others = list(there.values())
    return Difference(added, changed, others if prune else [], [] if prune else others, unchanged)


def _with_defaults(entry: dict[str, Any], defaults: dict[str, Any]) -> dict[str, Any]:
    merged = defaults | entry
    for field in ("labels", "thresholds"):
        match defaults.get(field), entry.get(field):
            case dict(shared), dict(own):
                merged[field] = shared | own
    return merged


def _wrong_defaults(defaults: dict[str, Any]) -> Iterator[str]:
    try:
        Settings.model_validate(defaults)
    except ValidationError as exc:
        yield from _wrong(exc, besides="missing")


def _wrong(error: ValidationError, besides: str = "") -> Iterator[str]:
    """Fields and reasons, without the values: those may be secrets in the wrong place."""
    for each in error.errors(include_input=False):
        if each["type"] != besides:
            field = ".".join(map(str, each["loc"])) or "the file"
            yield f"{field}: {each['msg'].removeprefix('Value error, ')}"


class _Loader(yaml.SafeLoader):
    """Refuses a key that stands twice in a mapping, of which YAML's other readers take the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if key.value in seen:
                raise yaml.constructor.ConstructorError(None, None, f"{key.value} stands twice", key.start_mark)
            if isinstance(key.value, str) and key.value != "<<":
                seen.add(key.value)
        return super().construct_mapping(node, deep)
