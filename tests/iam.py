"""What IAM makes of the template's policies: a deployment's statements, evaluated against one request.

As much of the language as the template uses; any other word of it is an error here, not a guess. An explicit Deny wins.
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html
"""

import re
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from itertools import product
from typing import Any, NamedTuple, Self

from test_template import TEMPLATE

REGION, ACCOUNT = "eu-west-1", "123456789012"
PSEUDO = {
    "AWS::AccountId": ACCOUNT,
    "AWS::NoValue": None,
    "AWS::Partition": "aws",
    "AWS::Region": REGION,
    "AWS::StackName": "stack",
    "AWS::URLSuffix": "amazonaws.com",
}
ARNS = {
    "AWS::DynamoDB::Table": f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/{{}}",
    "AWS::Logs::LogGroup": f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{{}}:*",
    "AWS::SQS::Queue": f"arn:aws:sqs:{REGION}:{ACCOUNT}:{{}}",
    "AWS::Serverless::Function": f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{{}}",
}


def arn(name: str) -> str:
    """That of a resource. Its own name stands for its physical one."""
    return ARNS[TEMPLATE["Resources"][name]["Type"]].format(name)


class Request(NamedTuple):
    """What somebody wants to do, with as much of its circumstances as conditions ask for."""

    action: str
    resource: str
    context: tuple[tuple[str, frozenset[str]], ...] = ()

    @classmethod
    def of(cls, action: str, resource: str, **context: object) -> Self:
        """A circumstance is `dynamodb__LeadingKeys=...`: a name, or several."""
        told = {
            name.replace("__", ":"): frozenset({value} if isinstance(value, str) else value)
            for name, value in context.items()
        }
        return cls(action, resource, tuple(sorted(told.items())))


class Statement(NamedTuple):
    effect: str
    actions: tuple[str, ...]
    resources: tuple[str, ...]
    condition: Mapping[str, Mapping[str, tuple[str, ...]]]

    def matches(self, request: Request) -> bool:
        return (
            any(fnmatchcase(request.action, action) for action in self.actions)
            and any(fnmatchcase(request.resource, resource) for resource in self.resources)
            and all(
                _holds(operator, dict(request.context).get(key), wanted)
                for operator, keys in self.condition.items()
                for key, wanted in keys.items()
            )
        )

    def grants(self) -> Iterator[Self]:
        """The least that it is made of: one action on one resource, for one value of each condition."""
        conditions = [(operator, key, one) for operator, keys in self.condition.items() for key, one in keys.items()]
        for action, resource in product(self.actions, self.resources):
            for values in product(*(wanted for _, _, wanted in conditions)):
                condition: dict[str, dict[str, tuple[str, ...]]] = {}
                for (operator, key, _), value in zip(conditions, values, strict=True):
                    condition.setdefault(operator, {})[key] = (value,)
                yield self._replace(actions=(action,), resources=(resource,), condition=condition)


def allows(statements: list[Statement], request: Request) -> bool:
    matching = {statement.effect for statement in statements if statement.matches(request)}
    return matching == {"Allow"}


def _holds(operator: str, there: frozenset[str] | None, wanted: tuple[str, ...]) -> bool:
    match operator:
        case "ForAllValues:StringEquals":
            return (there or frozenset()) <= {*wanted}  # true of none at all, as IAM has it
        case "StringEquals":
            return there is not None and not there.isdisjoint(wanted)
        case "ArnLike":
            return there is not None and any(fnmatchcase(one, pattern) for one in there for pattern in wanted)
    raise NotImplementedError(f"this test does not know the condition {operator}")


class Deployment:
    """The template with its parameters at their defaults, but for those that are given."""

    def __init__(self, **parameters: str) -> None:
        self._parameters = {name: each["Default"] for name, each in TEMPLATE["Parameters"].items()} | parameters

    def of_role(self, name: str) -> list[Statement]:
        """What a role may do, by its own policies, by those it names and by those that name it."""
        role = TEMPLATE["Resources"][name]["Properties"]
        own = self._resolve(role["Policies"])
        attached = [*(self._resolve(role.get("ManagedPolicyArns", [])) or []), *self._attached_by_themselves(name)]
        documents = [policy["PolicyDocument"] for policy in own]
        return [one for document in documents for one in self._statements(document)] + [
            one for policy in attached for one in self.of_managed(policy)
        ]

    def _attached_by_themselves(self, role: str) -> Iterator[str]:
        for name, made in TEMPLATE["Resources"].items():
            named = made["Type"] == "AWS::IAM::ManagedPolicy" and {"!Ref": role} in made["Properties"].get("Roles", [])
            if named and self._is(TEMPLATE["Conditions"][made["Condition"]]):
                yield name

    def of_managed(self, name: str) -> list[Statement]:
        return self._statements(self._resolve(TEMPLATE["Resources"][name]["Properties"]["PolicyDocument"]))

    def _statements(self, document: dict[str, Any]) -> list[Statement]:
        assert document["Version"] == "2012-10-17"
        statements = []
        for one in document["Statement"]:
            assert one.keys() <= {"Effect", "Action", "Resource", "Condition"}, one
            condition = {
                operator: {key: _several(wanted) for key, wanted in keys.items()}
                for operator, keys in one.get("Condition", {}).items()
            }
            statements.append(Statement(one["Effect"], _several(one["Action"]), _several(one["Resource"]), condition))
        return statements

    def _resolve(self, value: Any) -> Any:
        match value:
            case {"!Ref": name}:
                return self._named(name)
            case {"!GetAtt": text}:
                name, attribute = text.split(".")
                assert attribute == "Arn", text
                return arn(name)
            case {"!Sub": text}:
                return re.sub(r"\$\{([^}]+)\}", lambda found: str(self._named(found[1])), text)
            case {"!If": [condition, one, other]}:
                return self._resolve(one if self._is(TEMPLATE["Conditions"][condition]) else other)
            case dict():
                return {key: self._resolve(inner) for key, inner in value.items()}
            case list():
                return [one for one in map(self._resolve, value) if one is not None]
        return value

    def _named(self, name: str) -> Any:
        return {**PSEUDO, **self._parameters}[name] if name in PSEUDO or name in self._parameters else name

    def _is(self, condition: Any) -> bool:
        match condition:
            case {"!Not": [inner]}:
                return not self._is(inner)
            case {"!Equals": [one, other]}:
                return self._text(one) == self._text(other)
        raise NotImplementedError(condition)

    def _text(self, value: Any) -> str:
        match value:
            case {"!Join": [separator, {"!Ref": name}]}:
                return separator.join(str(self._named(name)).split(","))
        return str(self._resolve(value))


def _several(value: str | list[str]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)
