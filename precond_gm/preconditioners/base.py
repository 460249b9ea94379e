r"""What every preconditioner is: a reversible, label-conditional map ``T: x -> z``.

Training happens in ``z = T(x | label)``; samples come back through ``T^-1``. The generated law is
right whatever T is, as long as it is inverted exactly, so each map states how it is inverted.
"""

from __future__ import annotations

import abc
import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor, nn

from precond_gm.errors import InvalidInputError, NotFittedError
from precond_gm.numerics.rows import RowsLike, check_label
from precond_gm.preconditioners.precision import widened
from precond_gm.values import AbstractReport, InverseKind, Transformed

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["AbstractPreconditioner", "FitReport"]


@dataclass(frozen=True)
class FitReport(AbstractReport):
    """What fitting a preconditioner did, judged on held-out rows where there are enough.

    Attributes:
        name: Class of the map.
        num_rows: Rows used for fitting.
        steps: Optimiser steps; 0 for a closed form.
        seconds: Wall time of the fit.
        log_likelihood: Held-out mean of ``log p(x)`` per row, in nats, if ``T(x) ~ N(0, I)``.
        condition_before: Largest held-out condition number over labels, of x.
        condition_after: The same of z.
        round_trip_error: Largest ``|T^-1(T(x)) - x|`` relative to the largest ``|x|``.
        rows_outside: Held-out rows beyond the box on which a flow acts; 0 where there is none.
        notes: What the user should know: shrinkage chosen, floors hit.
    """

    name: str
    num_rows: int
    steps: int
    seconds: float
    log_likelihood: float
    condition_before: float
    condition_after: float
    round_trip_error: float
    rows_outside: int = 0
    notes: tuple[str, ...] = ()

    def as_metrics(self) -> dict[str, float]:
        """Return the finite numbers, under ``fit/...``."""
        numbers = {
            "fit/steps": float(self.steps),
            "fit/seconds": self.seconds,
            "fit/log_likelihood": self.log_likelihood,
            "fit/condition_before": self.condition_before,
            "fit/condition_after": self.condition_after,
            "fit/round_trip_error": self.round_trip_error,
            "fit/rows_outside": float(self.rows_outside),
        }
        return {name: value for name, value in numbers.items() if math.isfinite(value)}

    def plot(self) -> Figure:
        """Draw the condition number before and after."""
        from precond_gm.plotting.fit import plot_before_after

        return plot_before_after(self.name, self.condition_before, self.condition_after)


class AbstractPreconditioner(nn.Module, abc.ABC):
    """Reversible, label-conditional map between data ``x`` and preconditioned ``z``.

    A map takes rows of any event shape, with labels or without. Fitted tensors are buffers or
    parameters, so the map moves, saves and loads like any module. Options are constructor
    arguments, kept as attributes of the same name.

    Maps are fitted and applied in float32 or float64, whichever the rows of the fit have: rows of
    fewer bits (bfloat16, float16) are taken as float32, and come back so.

    Attributes:
        inverse_kind: Whether the inverse is a formula or an iteration.
        tolerance: Largest expected ``|T^-1(T(x)) - x|`` relative to ``|x|`` in float32, for a
            well-conditioned fit.
        needs_fit: Whether the map must be fitted before it can be used.
        event_shape: Shape of a row, known once fitted.
        num_labels: Number of classes the map tells apart; None if it does not use labels.
    """

    inverse_kind: InverseKind
    tolerance: float = 1e-4
    needs_fit: bool = True

    def __init__(self) -> None:
        super().__init__()
        self.event_shape: tuple[int, ...] | None = None
        self.num_labels: int | None = None
        self.eval()

    def train(self, mode: bool = True) -> Self:
        """Stay in eval mode: a map does not change while a network is trained on it."""
        return super().train(False)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Keep tensors in float32 at least when a model around the map is cast to fewer bits."""

        def wide(tensor: Tensor) -> Tensor:
            done = fn(tensor)
            return done if widened(done) is done else widened(tensor).to(done.device)

        return super()._apply(wide, recurse)  # type: ignore[no-untyped-call]

    @abc.abstractmethod
    def fit(
        self,
        x: RowsLike,
        label: Tensor | None = None,
        *,
        num_labels: int | None = None,
        max_steps: int | None = None,
        generator: torch.Generator | None = None,
    ) -> FitReport:
        """Fit the map to rows, or to an iterable of batches; later calls fit anew.

        ``max_steps`` bounds the optimiser and is accepted, and ignored, by closed forms.
        """

    @abc.abstractmethod
    def build(self, event_shape: tuple[int, ...], num_labels: int | None) -> None:
        """Allocate every tensor that ``fit`` fills, so that a saved state can be loaded."""

    @abc.abstractmethod
    def forward(self, x: Tensor, label: Tensor | None = None) -> Transformed:
        """Map data to preconditioned coordinates."""

    @abc.abstractmethod
    def inverse(self, z: Tensor, label: Tensor | None = None) -> Transformed:
        """Map preconditioned coordinates back to data."""

    @property
    def is_fitted(self) -> bool:
        """Whether the map can be used: it has been fitted or loaded, or needs neither."""
        return self.event_shape is not None or not self.needs_fit

    @property
    def options(self) -> dict[str, Any]:
        """Constructor arguments, for checkpoints and listings."""
        names = inspect.signature(type(self)).parameters
        return {name: getattr(self, name) for name in names}

    def require(self, rows: Tensor, label: Tensor | None) -> None:
        """Check that the map is fitted, and that rows and labels are of its kind.

        Raises:
            NotFittedError: Before ``fit``.
            InvalidInputError: Another event shape, labels of another shape or out of range, or
                missing where the map needs them.
            InvalidTypeError: Labels that are not int64 or int32.
        """
        if not self.is_fitted:
            raise NotFittedError(
                f"{type(self).__name__} is not fitted. Call fit(x, label) first, or "
                f"flow.fit_preconditioner(x, label)."
            )
        if self.event_shape is not None and tuple(rows.shape[1:]) != self.event_shape:
            raise InvalidInputError(
                f"{type(self).__name__} was fitted on rows of shape {self.event_shape}; got "
                f"{tuple(rows.shape[1:])}."
            )
        if self.num_labels is not None and label is None:
            raise InvalidInputError(
                f"{type(self).__name__} was fitted with {self.num_labels} labels; give the label "
                f"of each row."
            )
        if label is not None:  # on a device, looking at values would wait for it
            looks = self.num_labels is not None and label.device.type == "cpu"
            check_label(label, rows.shape[0], num_labels=self.num_labels, values=looks)
