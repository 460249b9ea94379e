"""Divergences of covariance-valued outputs: symmetric matrices in the last two axes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import torch
from torch import Tensor

from precond_gm.objectives.divergences.base import AbstractDivergence
from precond_gm.objectives.divergences.domain import Domain, check_outputs
from precond_gm.objectives.divergences.matrix_log import matrix_log

__all__ = ["Frobenius", "LogDet", "VonNeumann"]


def _sum_rest(per_matrix: Tensor) -> Tensor:
    """Sum over all axes but the first of one number per matrix."""
    return per_matrix.reshape(per_matrix.shape[0], -1).sum(1)


@final
@dataclass(frozen=True)
class Frobenius(AbstractDivergence):
    r"""Squared Frobenius distance ``||A - B||_F^2``.

    Example:
        >>> import torch
        >>> Frobenius()(torch.eye(2)[None], torch.zeros(1, 2, 2))
        tensor([2.])
    """

    domain: ClassVar[Domain] = Domain.PSD

    def __call__(self, target: Tensor, prediction: Tensor) -> Tensor:
        """Return the squared distance of each row."""
        return _sum_rest((prediction - target).square().sum((-2, -1)))


@final
@dataclass(frozen=True)
class LogDet(AbstractDivergence):
    r"""Stein's loss ``tr(A B^-1) - log det(A B^-1) - d``: invariant under ``A -> M A M^T``.

    Twice the Gaussian KL between covariances A and B. Predictions are positive definite: give
    ``L L^T + eps I``.

    References:
        arXiv:2511.16599, section 4.

    Example:
        >>> import torch
        >>> LogDet()(torch.eye(2)[None], torch.eye(2)[None])
        tensor([0.])
    """

    domain: ClassVar[Domain] = Domain.SPD

    def __call__(self, target: Tensor, prediction: Tensor) -> Tensor:
        """Return the divergence of each row."""
        factor = torch.linalg.cholesky_ex(prediction).L
        inside = torch.cholesky_solve(target, factor).diagonal(dim1=-2, dim2=-1).sum(-1)
        log_det = 2 * factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        log_det = torch.linalg.slogdet(target).logabsdet - log_det
        return _sum_rest(inside - log_det - target.shape[-1])

    def check(self, target: Tensor, prediction: Tensor) -> None:
        """Check that targets and predictions are symmetric positive definite.

        Raises:
            InvalidInputError: A matrix is not; its row is named.
        """
        super().check(target, prediction)
        check_outputs(Domain.SPD, prediction, type(self).__name__)


@final
@dataclass(frozen=True)
class VonNeumann(AbstractDivergence):
    r"""Quantum relative entropy ``tr(A log A - A log B - A + B)``; targets may be singular.

    Predictions are positive definite: give ``L L^T + eps I``.

    Example:
        >>> import torch
        >>> VonNeumann()(torch.zeros(1, 2, 2), torch.eye(2)[None])
        tensor([2.])
    """

    domain: ClassVar[Domain] = Domain.PSD

    def __call__(self, target: Tensor, prediction: Tensor) -> Tensor:
        """Return the divergence of each row."""
        values = torch.linalg.eigvalsh(target).clamp(min=0)  # rounding may leave -1e-17
        own = torch.xlogy(values, values).sum(-1) - values.sum(-1)
        cross = (target * matrix_log(prediction)).sum((-2, -1))
        trace = prediction.diagonal(dim1=-2, dim2=-1).sum(-1)
        return _sum_rest(own - cross + trace)

    def check(self, target: Tensor, prediction: Tensor) -> None:
        """Check that targets are positive semidefinite, and predictions definite.

        Raises:
            InvalidInputError: A matrix is not; its row is named.
        """
        super().check(target, prediction)
        check_outputs(Domain.SPD, prediction, type(self).__name__)
