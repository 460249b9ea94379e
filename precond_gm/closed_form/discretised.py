r"""Exact law of a one-step scheme on a Gaussian bridge, as its gap to the target's law.

The scheme is ``X_{k+1} = X_k + h (b(t_k, X_k) + error) + noise``. With ``F = I + h (G + L)``, G the
gain of the drift and ``q + L z`` the error, the gaps of mean and covariance to the exact marginal
obey

.. math::
    e' = F e + h (q + L m), \qquad
    \Delta' = F \Delta F^T + h (L \Sigma + \Sigma L^T)
              + h^2 ((G + L) \Sigma (G + L)^T - \Sigma''/2) + (N - \sigma^2 h I)

(N the covariance of the noise). Gaps of order h are found as such, never as a difference of two
numbers of order one, so errors stay exact at any step size.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from precond_gm.closed_form.second_moments import SecondMoments
from precond_gm.closed_form.targets import drift
from precond_gm.numerics.gaussian import Gaussian, kl_from_gaps

__all__ = ["Gaps", "gaps"]


@dataclass(frozen=True, eq=False)
class Gaps:
    """What the generated law has more than the target's law, in blocks.

    Attributes:
        mean: Gap of the mean, ``count size``.
        covariance: Gap of the covariance, ``count size size``.
        target: Covariance of the target's law.
    """

    mean: Tensor
    covariance: Tensor
    target: Tensor

    def kl(self) -> Tensor:
        """Return KL(target || generated)."""
        return kl_from_gaps(self.mean, self.covariance, self.target + self.covariance).sum()

    def w2(self) -> Tensor:
        """Return the 2-Wasserstein distance."""
        exact = Gaussian(torch.zeros_like(self.mean), self.target)
        generated = Gaussian(self.mean, self.target + self.covariance)
        return exact.w2(generated).square().sum().sqrt()


def gaps(
    moments: SecondMoments,
    times: Tensor,
    path_mean: Tensor,
    shift: Tensor,
    matrix: Tensor,
    extra_noise: Tensor | None = None,
) -> Gaps:
    """Run the recursion from the exact law at ``times[0]``.

    Args:
        moments: Second moments in blocks.
        times: Grid, n + 1 times, float64.
        path_mean: Mean of z_t at every time, in blocks ``n+1 count size``.
        shift: Constant error of the drift, ``count size``.
        matrix: Linear error, ``count size size``.
        extra_noise: ``N - sigma^2 h I`` of every step, ``n count size size``, or None for zero.
    """
    start = times[:-1]
    sigma_t = moments.covariance(times)
    slope = moments.gain(drift(moments.sigma), start) + matrix
    h = times.diff().reshape(-1, 1, 1, 1)
    forward = moments.identity + h * slope
    source = h * (matrix @ sigma_t[:-1] + sigma_t[:-1] @ matrix.mT)
    source = source + h**2 * (slope @ sigma_t[:-1] @ slope.mT - moments.curvature)
    if extra_noise is not None:
        source = source + extra_noise
    pull = h[..., 0] * (shift + (matrix @ path_mean[:-1].unsqueeze(-1)).squeeze(-1))
    mean, covariance = _composed(forward, pull.unsqueeze(-1), source)
    return Gaps(mean.squeeze(-1), 0.5 * (covariance + covariance.mT), sigma_t[-1])


def _composed(forward: Tensor, mean: Tensor, covariance: Tensor) -> tuple[Tensor, Tensor]:
    """Run ``e' = F e + m``, ``D' = F D F^T + S`` from zero through all steps.

    Two steps in a row are one step of the same form, so pairs are merged until one is left:
    a logarithmic number of batched products instead of a loop over the steps.
    """
    while forward.shape[0] > 1:
        even = forward.shape[0] // 2 * 2
        first, then = slice(0, even, 2), slice(1, even, 2)
        last = forward[then]
        merged = (
            last @ forward[first],
            last @ mean[first] + mean[then],
            last @ covariance[first] @ last.mT + covariance[then],
        )
        forward, mean, covariance = (
            torch.cat([pairs, old[even:]])  # an odd step waits for the next round
            for pairs, old in zip(merged, (forward, mean, covariance), strict=True)
        )
    return mean[0], covariance[0]
