"""Base of every report: the frozen result of a diagnostic."""

from __future__ import annotations

import abc
import dataclasses
import enum
import math
from typing import TYPE_CHECKING, Any

from torch import Tensor

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["AbstractReport", "plain"]


def plain(value: Any) -> Any:
    """Reduce a value to what JSON can hold: tensors to lists, enums to names, NaN to None."""
    if isinstance(value, AbstractReport):
        return value.to_dict()
    if isinstance(value, Tensor):
        return plain(value.detach().cpu().tolist())
    if isinstance(value, enum.Enum):
        return value.value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else ("inf" if value > 0 else "-inf")
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if hasattr(value, "item") and getattr(value, "ndim", 1) == 0:
        return plain(value.item())
    return str(value)


class AbstractReport(abc.ABC):
    """Frozen result of a diagnostic: a dataclass with views of itself."""

    @abc.abstractmethod
    def as_metrics(self) -> dict[str, float]:
        """Return flat floats under names that MLflow accepts: letters, digits, ``_ - . /``."""

    def series(self) -> dict[int, dict[str, float]]:
        """Return metrics over an axis of the report's own, such as the number of sampling steps."""
        return {}

    @abc.abstractmethod
    def plot(self) -> Figure:
        """Draw the report; the drawing itself is in ``precond_gm.plotting``."""

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON-ready values, nested reports included."""
        return {f.name: plain(getattr(self, f.name)) for f in dataclasses.fields(self)}  # type: ignore[arg-type]
