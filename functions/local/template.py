"""`template.yaml` as far as a laptop needs it: tables, queues, and what each function is given."""

from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]


class Template:
    """The resources of a CloudFormation template. A resource's own name stands for its physical one."""

    def __init__(self, path: Path = ROOT / "template.yaml") -> None:
        self._template = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)  # noqa: S506 - a SafeLoader

    def default(self, parameter: str) -> Any:
        """What a parameter is when a deployment does not say."""
        return self._template["Parameters"][parameter]["Default"]

    def tables(self) -> dict[str, dict[str, Any]]:
        """Each DynamoDB table's properties, by its name."""
        return self._of_type("AWS::DynamoDB::Table")

    def queues(self) -> dict[str, dict[str, Any]]:
        """Each SQS queue's properties, by its name."""
        return self._of_type("AWS::SQS::Queue")

    def function(self, name: str) -> dict[str, Any]:
        """A function's properties, the globals merged in and every reference resolved that has a value on a laptop."""
        shared = self._template.get("Globals", {}).get("Function", {})
        own = self._template["Resources"][name]["Properties"]
        variables = {
            **shared.get("Environment", {}).get("Variables", {}),
            **own.get("Environment", {}).get("Variables", {}),
        }
        merged = {**shared, **own, "Environment": {"Variables": variables}}
        return {key: self._resolve(value) for key, value in merged.items()}

    def _of_type(self, kind: str) -> dict[str, dict[str, Any]]:
        return {
            name: resource.get("Properties", {})
            for name, resource in self._template["Resources"].items()
            if resource["Type"] == kind
        }

    def _resolve(self, value: Any) -> Any:
        match value:
            case {"Ref": str(name)}:
                return self._template["Parameters"].get(name, {}).get("Default", name)
            case dict():
                return {key: self._resolve(inner) for key, inner in value.items()}
            case list():
                return [self._resolve(inner) for inner in value]
        return value


class _Loader(yaml.SafeLoader):
    """Reads `!Ref x` as `{"Ref": x}`, and so every other short form of an intrinsic function."""


def _intrinsic(loader: yaml.SafeLoader, name: str, node: yaml.Node) -> dict[str, Any]:
    if isinstance(node, yaml.MappingNode):
        return {name: loader.construct_mapping(node, deep=True)}
    if isinstance(node, yaml.SequenceNode):
        return {name: loader.construct_sequence(node, deep=True)}
    return {name: loader.construct_scalar(node)}  # type: ignore[arg-type]


_Loader.add_multi_constructor("!", _intrinsic)
