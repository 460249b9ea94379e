r"""Best linear predictor of a path's target from z_t, from the moments of the two ends alone.

.. math::
    \hat u = E u + S_{uz} \Sigma_t^{-1} (z - E z_t), \qquad
    R = S_u - S_{uz} \Sigma_t^{-1} S_{zu}

No point is drawn and nothing is trained: where a network does worse than this, an affine map would
have done better.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from precond_gm.errors import IncompatiblePartsError
from precond_gm.numerics.covariance import EndCovariance
from precond_gm.values import Coefficients, TargetKind

__all__ = ["TargetRow", "gain", "target_row"]


@dataclass(frozen=True)
class TargetRow:
    """The target as ``source z0 + data z1 + (noise / gamma) eps``, at each time.

    Attributes:
        source: Factor of z0.
        data: Factor of z1.
        noise: Covariance of the target with the path's own ``gamma eps``, per feature.
    """

    source: Tensor
    data: Tensor
    noise: Tensor


def target_row(c: Coefficients, kind: TargetKind) -> TargetRow:
    """Return what the target of ``kind`` is made of.

    Raises:
        IncompatiblePartsError: The path has no such target.
    """
    ones, zeros = torch.ones_like(c.alpha), torch.zeros_like(c.alpha)
    rows = {
        TargetKind.X1: TargetRow(zeros, ones, zeros),
        TargetKind.X0: TargetRow(ones, zeros, zeros),
        TargetKind.VELOCITY: TargetRow(c.alpha_slope, c.beta_slope, c.variance_slope / 2),
    }
    if c.has_noise:
        rows[TargetKind.NOISE] = TargetRow(zeros, zeros, c.variance.sqrt())
        rows[TargetKind.SCORE] = TargetRow(zeros, zeros, -ones)
    if c.drift_rate is not None:
        noise = c.drift_rate * c.variance
        rows[TargetKind.DRIFT] = TargetRow(c.alpha_slope, c.beta_slope, noise)
    if kind not in rows:
        raise IncompatiblePartsError(
            f"{kind.value} is no target of this path, which has no noise of its own. "
            f"It has: {', '.join(known.value for known in rows)}."
        )
    return rows[kind]


def gain(covariance: EndCovariance, c: Coefficients, kind: TargetKind) -> Tensor:
    """Return ``S_uz Sigma_t^-1`` at the times of ``c``, shape ``times dim dim``.

    A direction without variance gets a ridge of the size of rounding, so constant features are
    predicted by their mean.
    """
    row = target_row(c, kind)
    dim = covariance.data.shape[0]
    eye = torch.eye(dim, dtype=covariance.data.dtype, device=covariance.data.device)
    source = eye if covariance.source is None else covariance.source

    def at(value: Tensor) -> Tensor:
        return value[:, None, None]

    joint = at(row.source * c.alpha) * source + at(row.data * c.beta) * covariance.data
    joint = joint + at(row.noise) * eye
    if covariance.cross is not None:  # Cov(z0, z1) = C
        joint = joint + at(row.source * c.beta) * covariance.cross
        joint = joint + at(row.data * c.alpha) * covariance.cross.T
    sigma = covariance.at(c)
    top = sigma.diagonal(dim1=-2, dim2=-1).amax(-1).clamp_min(torch.finfo(eye.dtype).tiny)
    ridge = 16 * dim * torch.finfo(eye.dtype).eps * top
    return torch.linalg.solve(sigma + at(ridge) * eye, joint.mT).mT
