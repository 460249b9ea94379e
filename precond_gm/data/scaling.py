"""How data are scaled when they are read."""

from __future__ import annotations

import enum

__all__ = ["ScaleKind"]


class ScaleKind(enum.Enum):
    """How data are scaled before anything else sees them.

    ``UNIT`` maps the range of the format to [-1, 1]; ``FEATURES`` standardises every feature by
    the training rows; ``GLOBAL`` uses one mean and one deviation for all features, which leaves
    the condition number alone; ``NONE`` leaves the units; ``AUTO`` is ``UNIT`` where the format
    has a range, and ``FEATURES`` otherwise.
    """

    AUTO = "auto"
    NONE = "none"
    UNIT = "unit"
    GLOBAL = "global"
    FEATURES = "features"
