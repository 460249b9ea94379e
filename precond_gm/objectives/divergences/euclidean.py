"""Divergences on R^d: the squared norm, and the norm of any metric."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, final

import torch
from torch import Tensor, nn

from precond_gm.errors import InvalidInputError
from precond_gm.objectives.divergences.base import AbstractDivergence, sum_event
from precond_gm.objectives.divergences.domain import Domain, check_values

__all__ = ["Mahalanobis", "Squared"]


@final
@dataclass(frozen=True)
class Squared(AbstractDivergence):
    r"""Squared distance ``||a - b||^2``, summed over the event (not averaged).

    Example:
        >>> import torch
        >>> Squared()(torch.tensor([[1.0, 2.0]]), torch.tensor([[0.0, 0.0]]))
        tensor([5.])
    """

    is_translation_invariant: ClassVar[bool] = True

    def __call__(self, target: Tensor, prediction: Tensor) -> Tensor:
        """Return ``||target - prediction||^2`` of each row."""
        return sum_event((prediction - target).square())


@final
class Mahalanobis(nn.Module, AbstractDivergence):
    r"""Squared distance in a metric, ``(a - b)^T A (a - b)`` with A symmetric positive definite.

    The metric may depend on t and on the state: the minimiser is the conditional mean all the
    same, since it is taken at fixed ``(t, z_t)``.

    Args:
        metric: Matrix ``dim dim``, or a callable ``(t, z) -> batch dim dim``; None is the identity.
            A callable is checked on the first batch: ``L L^T + eps I`` is always positive definite.

    Raises:
        InvalidInputError: The matrix is not symmetric positive definite.

    References:
        arXiv:2511.16599, section 4 (divergences that depend on t and on the state).

    Example:
        >>> import torch
        >>> stretched = Mahalanobis(torch.diag(torch.tensor([1.0, 4.0])))
        >>> stretched(torch.tensor([[1.0, 1.0]]), torch.zeros(1, 2))
        tensor([5.])
    """

    is_translation_invariant: ClassVar[bool] = True
    matrix: Tensor | None

    def __init__(self, metric: Tensor | Callable[[Tensor, Tensor], Tensor] | None = None) -> None:
        super().__init__()
        fixed = metric if isinstance(metric, Tensor) else None
        if fixed is not None:
            _check_metric(fixed)
        self.register_buffer("matrix", fixed)
        self.rule = None if isinstance(metric, Tensor) else metric

    @property
    def options(self) -> dict[str, Any]:
        """Constructor arguments."""
        return {"metric": self.rule if self.matrix is None else self.matrix}

    def at(self, t: Tensor, z: Tensor) -> AbstractDivergence:
        """Return the divergence in the metric of these times and points."""
        return self if self.rule is None else _InMetric(self.rule(t, z))

    def forward(self, target: Tensor, prediction: Tensor) -> Tensor:
        """Return the squared distance of each row."""
        if self.rule is not None:
            raise InvalidInputError(
                "this metric depends on t and on the state: call divergence.at(t, z)(target, "
                "prediction)."
            )
        if self.matrix is None:
            return Squared()(target, prediction)
        return _InMetric(self.matrix)(target, prediction)


@final
@dataclass(frozen=True, eq=False)
class _InMetric(AbstractDivergence):
    """Squared distance in one matrix, or one matrix per row."""

    matrix: Tensor

    def __call__(self, target: Tensor, prediction: Tensor) -> Tensor:
        gap = (prediction - target).flatten(1)
        matrix = self.matrix.to(gap.dtype)
        image = gap @ matrix if matrix.ndim == 2 else torch.einsum("bij,bj->bi", matrix, gap)
        return (gap * image).sum(1)

    def check(self, target: Tensor, prediction: Tensor) -> None:
        """Check targets, and that the metric of every row is symmetric positive definite.

        Raises:
            InvalidInputError: A value outside; a metric of another shape, or not positive definite.
        """
        super().check(target, prediction)
        if self.matrix.ndim == 2:  # fixed, and checked when it was given
            return
        rows, dim = target.flatten(1).shape
        if self.matrix.shape != (rows, dim, dim):
            raise InvalidInputError(
                f"a metric (t, z) -> matrices gives shape (batch, dim, dim), here "
                f"{(rows, dim, dim)}; got {tuple(self.matrix.shape)}."
            )
        hint = "Return L L^T + eps I, or exp of a number times I."
        check_values(Domain.SPD, self.matrix.detach(), "Mahalanobis", "metrics", hint)


def _check_metric(metric: Tensor) -> None:
    square = metric.ndim == 2 and metric.shape[0] == metric.shape[1]
    if not square or not torch.allclose(metric, metric.T):
        raise InvalidInputError(
            f"the metric is a symmetric matrix (dim, dim); got shape {tuple(metric.shape)}"
            f"{', not symmetric' if square else ''}. Use (m + m.T) / 2."
        )
    least = float(torch.linalg.eigvalsh(metric.double())[0])
    if not least > 0:
        raise InvalidInputError(
            f"the metric is positive definite; its smallest eigenvalue is {least:g}. A direction "
            f"of weight zero is never learned: add a small multiple of the identity."
        )
