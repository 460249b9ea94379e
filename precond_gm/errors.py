"""Errors of the package: each says what was asked, what was got, what is allowed and what to do.

Every class also derives from the built-in error that a caller would expect, so
``except ValueError`` keeps working.
"""

from __future__ import annotations

__all__ = [
    "CheckpointError",
    "ConfigError",
    "DataError",
    "IncompatiblePartsError",
    "InvalidInputError",
    "InvalidTypeError",
    "NonFiniteError",
    "NotFittedError",
    "ObjectiveWarning",
    "PluginError",
    "PrecondError",
    "SingularCellWarning",
    "TrackingError",
    "UnknownNameError",
    "WorkerError",
]


class PrecondError(Exception):
    """Base of every error that the package raises on purpose."""


class InvalidInputError(PrecondError, ValueError):
    """A value handed in by the user is not usable: wrong shape, range, label, or number of rows."""


class InvalidTypeError(PrecondError, TypeError):
    """An argument has the wrong type, or a callable has the wrong signature."""


class IncompatiblePartsError(PrecondError, ValueError):
    """Two parts exclude each other, such as a drift path and an ODE solver."""


class UnknownNameError(PrecondError, ValueError):
    """A name is not in a registry; the message lists the nearest ones."""


class NotFittedError(PrecondError, RuntimeError):
    """A part was used before it was fitted."""


class NonFiniteError(PrecondError, ArithmeticError):
    """A computation produced NaN or infinity; the message says where and in what share of rows."""


class DataError(InvalidInputError):
    """A data file or folder is missing, unreadable or inconsistent (exit code 3)."""


class ConfigError(InvalidInputError):
    """A recipe or an option is wrong (exit code 2)."""


class CheckpointError(PrecondError, RuntimeError):
    """A checkpoint is truncated, foreign, or does not fit the parts given."""


class PluginError(PrecondError, RuntimeError):
    """An entry point is broken, or two distributions claim the same name."""


class WorkerError(PrecondError, RuntimeError):
    """A worker process died; the message says what it was doing and what to change."""


class TrackingError(PrecondError, ConnectionError):
    """The tracking store cannot be reached or written."""


class ObjectiveWarning(UserWarning):
    """An objective is legal, but costs something or is not what its user may think it is."""


class SingularCellWarning(ObjectiveWarning):
    """A prediction is trained in a loss space whose implied weight is unbounded in t."""
