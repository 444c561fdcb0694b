"""What a deployment sets, read from the environment once: figures of health and of pages, and where targets may be."""

import functools
import os
from collections.abc import Mapping
from typing import TypeVar

from collector import limits, thresholds
from collector.figures import Figures
from collector.limits import Limits
from collector.policy import Rules
from collector.targets import Target
from collector.thresholds import Thresholds

AnyFigures = TypeVar("AnyFigures", bound=Figures)


@functools.cache
def rules() -> Rules:
    return Rules.from_environment(os.environ)


@functools.cache
def page_limits() -> Limits:
    """All pages'. Raises ValueError naming what is wrong in the variable."""
    return _set_by(os.environ, "PAGE_LIMITS", limits.DEFAULT)


@functools.cache
def base_thresholds() -> Thresholds:
    """All servers'. Raises ValueError naming what is wrong in the variable."""
    return _set_by(os.environ, "HEALTH_THRESHOLDS", thresholds.DEFAULT)


def thresholds_of(target: Target) -> Thresholds:
    """All servers', with the target's own in their place."""
    return base_thresholds().with_overrides(target.thresholds) if target.thresholds else base_thresholds()


def _set_by(environment: Mapping[str, str], variable: str, figures: AnyFigures) -> AnyFigures:
    try:
        return figures.set_by(environment.get(variable, ""))
    except ValueError as error:
        raise ValueError(f"{variable}: {error}") from None
