"""Tables of figures that can be set by a text, `name=number,…`: one parameter for a whole table."""

from collections.abc import Mapping
from typing import ClassVar, Self

from pydantic import BaseModel, ValidationError


class Figures(BaseModel, frozen=True, extra="forbid"):
    """Each field with a default, its bounds, and the reason as its description."""

    noun: ClassVar[str]

    def set_by(self, text: str) -> Self:
        """These, with those of `name=number,…` in their place. Raises ValueError naming what is wrong."""
        given: dict[str, str] = {}
        for pair in text.split(",") if text.strip() else ():
            name, _, number = map(str.strip, pair.partition("="))
            if not (name and number):
                raise ValueError(f"{pair.strip()!r} is not name=number")
            if name in given:
                raise ValueError(f"{name} is given twice")
            given[name] = number
        return self.with_overrides(given)

    def with_overrides(self, overrides: Mapping[str, float | str]) -> Self:
        """These, with others in their place. Raises ValueError naming the one that is unknown or out of its bounds."""
        try:
            return type(self).model_validate(self.model_dump() | dict(overrides))
        except ValidationError as error:
            wrong = error.errors(include_url=False)[0]
            name = wrong["loc"][0]
            if wrong["type"] == "extra_forbidden":
                known = ", ".join(type(self).model_fields)
                raise ValueError(f"{name} is no {self.noun}; they are {known}") from None
            words = f"{wrong['msg'][0].lower()}{wrong['msg'][1:]}"
            raise ValueError(f"{name} is {wrong['input']!r}: {words}") from None
