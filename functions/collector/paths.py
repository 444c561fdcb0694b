"""Which paths lead to one value of a model, as `ranks.0.kv_usage_ratio` or `http_responses_by_class.2xx` do."""

from collections.abc import Iterator, Sequence
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel

# Each row of a history has them of itself, or they are no field but the whole page.
NOT_FIELDS = ("timestamp", "code", "error", "note", "raw_metrics", "raw_metrics_omitted")


def check_path(name: str, annotation: Any, rest: Sequence[str]) -> None:
    """Raises ValueError where a snapshot has no such field, or it is no single value."""
    kinds = list(_kinds(annotation))
    model = next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)), None)
    several = next((kind for kind in kinds if get_origin(kind) is tuple), None)
    if model:
        if not rest:
            raise ValueError(f"{name!r} is a group: choose one of its fields, {_some(model)}")
        if rest[0] not in model.model_fields:
            raise ValueError(f"{name!r}: there is no {rest[0]!r}; there are {_some(model)}")
        check_path(name, model.model_fields[rest[0]].annotation, rest[1:])
    elif several:
        [one, *_] = get_args(several)
        is_model = isinstance(one, type) and issubclass(one, BaseModel)
        if rest or is_model:
            if not (rest and rest[0].isascii() and rest[0].isdigit() and len(rest[0]) < 5):
                raise ValueError(f"{name!r} is a list: choose one by its number, from 0 on")
            check_path(name, one, rest[1:])
    elif any(get_origin(kind) is dict for kind in kinds):
        if not any(rest):
            raise ValueError(f"{name!r} is a group: choose one by its name, as `.2xx`")
    elif rest:
        raise ValueError(f"{name!r}: there is nothing below {name.removesuffix('.' + '.'.join(rest))!r}")


def _kinds(annotation: Any) -> Iterator[Any]:
    """The types that an annotation allows, but for None."""
    if get_origin(annotation) is Annotated:
        yield from _kinds(get_args(annotation)[0])
    elif get_origin(annotation) in (Union, UnionType):
        for one in get_args(annotation):
            yield from _kinds(one)
    elif annotation is not NoneType:
        yield annotation


def _some(model: type[BaseModel]) -> str:
    return ", ".join(f"`{name}`" for name in model.model_fields if name not in NOT_FIELDS)
