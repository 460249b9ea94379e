"""An affine error of the drift, for studies of what a badly trained network costs."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from precond_gm.closed_form.inputs import ArrayLike, as_covariance, as_vector
from precond_gm.numerics.rows import flatten
from precond_gm.values import Dynamics

__all__ = ["DriftError"]


@dataclass(frozen=True, eq=False)
class DriftError:
    """The error ``shift + matrix z`` that is added to the exact drift.

    Args:
        shift: Constant error: a vector, or one number for every coordinate.
        matrix: Linear error: a matrix, its diagonal, or a number times the identity.

    Example:
        >>> import torch
        >>> from precond_gm.closed_form import DriftError, GaussianBridge
        >>> bridge = GaussianBridge(0.0, 1.0, 0.0, 1.0)
        >>> tenth_too_large = DriftError(matrix=-0.1)  # the drift is -z here
        >>> dynamics = tenth_too_large.added_to(bridge)
        >>> dynamics(torch.tensor([0.5]), torch.ones(1, 1).double())
        tensor([[-1.1000]], dtype=torch.float64)
    """

    shift: ArrayLike = 0.0
    matrix: ArrayLike = 0.0

    def shift_vector(self, dim: int, device: torch.device) -> Tensor:
        """Return the constant part, float64."""
        return as_vector(self.shift, dim, device, "shift")

    def full_matrix(self, dim: int, device: torch.device) -> Tensor:
        """Return the linear part, float64."""
        return as_covariance(self.matrix, dim, device, "matrix", symmetric=False)

    def added_to(self, dynamics: Dynamics) -> Dynamics:
        """Return the dynamics with this error."""

        def wrong(t: Tensor, z: Tensor, label: Tensor | None = None) -> Tensor:
            x = flatten(z)
            shift = self.shift_vector(x.shape[1], x.device).to(x)
            matrix = self.full_matrix(x.shape[1], x.device).to(x)
            return dynamics(t, z, label) + (shift + x @ matrix.mT).view_as(z)

        return wrong
