r"""Gradient descent on a linear network at one t: what Sigma_t predicts, beside what it does.

The loss at fixed t is quadratic in the weights W of a linear network, so the mean of the error
shrinks by ``1 - eta s`` in each step along an eigenvector of Sigma_t with eigenvalue s, whatever
the target is. A deep network is not linear; this is the part of its training that conditioning
explains, and it can be known before training starts.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from precond_gm import couplings, paths, preconditioners
from precond_gm.diagnostics.conditioning import check_times
from precond_gm.diagnostics.end_moments import EndMoments
from precond_gm.diagnostics.ends import (
    Ends,
    entered,
    fitted_on_half,
    local_generator,
    raise_for_values,
)
from precond_gm.errors import InvalidInputError
from precond_gm.numerics.contraction import contraction, steps_until
from precond_gm.numerics.noise import standard_normal
from precond_gm.numerics.rows import RowsLike
from precond_gm.numerics.spectrum import condition_number
from precond_gm.paths.base import AbstractPath
from precond_gm.values import AbstractReport, Pairing, TargetKind

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["LinearDescentReport", "linear_descent"]

DIVERGED = 0.5  # above the error of one at the start
LEFT = 0.01  # of an error, at which a direction counts as learned
ROWS_PER_FEATURE = 4  # of a batch: a descent at 1 / largest eigenvalue is then stable


@dataclass(frozen=True)
class LinearDescentReport(AbstractReport):
    """What is left of an error of one along each eigenvector of Sigma_t, after some steps.

    Attributes:
        t: The time.
        eigenvalues: Of Sigma_t, ascending, shape ``dim``.
        rate: Step size, ``1 / largest eigenvalue``.
        steps: Numbers of steps.
        predicted: ``(1 - rate s)**steps``, shape ``steps dim``.
        measured: What mini-batch gradient descent left, of the same shape.
        batch_size: Rows of a mini-batch.
    """

    t: float
    eigenvalues: Tensor
    rate: float
    steps: tuple[int, ...]
    predicted: Tensor
    measured: Tensor
    batch_size: int

    @property
    def gap(self) -> float:
        """Largest distance between prediction and measurement."""
        return float((self.predicted - self.measured).abs().max())

    @property
    def has_diverged(self) -> bool:
        """Whether some error has grown: rows far out make mini-batches too noisy for the rate."""
        return not bool((self.measured.abs() <= 1 + DIVERGED).all())

    @property
    def needed(self) -> float:
        """Steps at the best rate until one per cent of every error is left; may be infinite."""
        kappa = condition_number(self.eigenvalues[None])[0]
        return max(1.0, float(steps_until(kappa, LEFT)))

    @property
    def unlearned(self) -> float:
        """Share of the directions whose error is above one half after the last step, measured."""
        return float((self.measured[-1] > 0.5).to(torch.float64).mean())

    def as_metrics(self) -> dict[str, float]:
        """Return the figures under ``linear_descent/...``; an infinite one is left out."""
        found = {
            "t": self.t,
            "rate": self.rate,
            "gap": self.gap,
            "unlearned": self.unlearned,
            "has_diverged": float(self.has_diverged),
            "steps_needed": self.needed,
        }
        return {f"linear_descent/{k}": v for k, v in found.items() if math.isfinite(v)}

    def plot(self) -> Figure:
        """Draw what is left against the eigenvalue, predicted and measured."""
        from precond_gm.plotting.linear_descent import plot_linear_descent

        return plot_linear_descent({f"t = {self.t:.2g}": self.to_dict()})


def linear_descent(
    x: RowsLike,
    label: Tensor | None = None,
    *,
    preconditioner: Any = None,
    coupling: Any = "independent",
    path: Any = "linear",
    t: float = 1.0,
    steps: Sequence[int] = (1, 10, 100),
    batch_size: int = 1024,
    generator: torch.Generator | None = None,
) -> LinearDescentReport:
    r"""Train a linear network at one t and compare its errors with the eigenvalues of Sigma_t.

    The network predicts z1. It starts from an error of one along every eigenvector,
    ``W_0 = W^* + I`` with ``W^* = \mathrm{Cov}(z_1, z_t) \Sigma_t^{-1}``, and takes steps of
    ``1 / s_max`` on fresh mini-batches; ``v^T (W_k - W^*) v`` is what is left along v.

    Args:
        x: Data rows ``batch *event``, or an iterable of batches that can be read more than once.
        label: Integer labels, for the map and the coupling; the network does not see them.
        preconditioner: Name, (name, options) or instance; one that is not fitted is fitted, in
            place, on a random half of the rows and the report is about the other.
        coupling: Name or instance.
        path: Name or instance.
        t: The time, in [0, 1].
        steps: Numbers of steps at which to look, ascending.
        batch_size: Rows of a mini-batch, at least; wide rows take four for each feature.
        generator: Source of noise, split and order; None is a fixed seed.

    Raises:
        InvalidInputError: NaN, a wrong label, too few rows, t outside [0, 1], or steps that do not
            ascend from 1 or more.

    References:
        2603.02337, section 3.

    Example:
        >>> import torch
        >>> x = torch.randn(2000, 2, generator=torch.Generator().manual_seed(0))
        >>> report = linear_descent(x * torch.tensor([0.1, 1.0]), steps=(1, 100))
        >>> [round(float(left), 1) for left in report.predicted[-1]]
        [0.4, 0.0]
        >>> report.gap < 0.1
        True
    """
    looks = tuple(int(k) for k in steps)
    if not looks or looks[0] < 1 or any(a >= b for a, b in pairwise(looks)):
        raise InvalidInputError(f"steps ascend from 1 or more; got {list(steps)}.")
    time = check_times(torch.tensor([t], dtype=torch.float64))
    generator, rows = local_generator(generator), entered(x, label)
    the_path, the_coupling = paths.REGISTRY.resolve(path), couplings.REGISTRY.resolve(coupling)
    the_map = None if preconditioner is None else preconditioners.REGISTRY.resolve(preconditioner)
    if the_map is not None and not the_map.is_fitted:
        rows, label, _ = fitted_on_half(the_map, rows, label, generator)
    ends = Ends(rows, label, the_map, the_coupling, generator=generator)
    pairs = _gathered(ends)
    moments = EndMoments.of_pairing(pairs, the_coupling)
    if not moments.is_finite:
        raise_for_values(rows, ends)
    first, second = moments.pooled
    covariance = moments.covariance(first.merge(second))
    c = the_path.coefficients(time.to(moments.device))
    sigma = covariance.at(c)[0]
    values, vectors = torch.linalg.eigh(sigma)
    values = values.clamp_min(0)
    rate = 1 / float(values[-1])
    with_data = float(c.beta) * covariance.data
    if covariance.cross is not None:
        with_data = with_data + float(c.alpha) * covariance.cross.T
    optimum = with_data @ torch.linalg.pinv(sigma, hermitian=True)
    size = max(batch_size, ROWS_PER_FEATURE * sigma.shape[0])
    descent = _Descent(pairs, the_path, t, rate, size, generator)
    weights, measured, made = optimum + torch.eye(sigma.shape[0]).to(optimum), [], 0
    for look in looks:
        weights, made = descent.run(weights, look - made), look
        measured.append(torch.einsum("ik,ij,jk->k", vectors, weights - optimum, vectors))
    return LinearDescentReport(
        t=t,
        eigenvalues=values.cpu(),
        rate=rate,
        steps=looks,
        predicted=torch.stack([contraction(values, rate, k) for k in looks]).cpu(),
        measured=torch.stack(measured).cpu(),
        batch_size=size,
    )


@dataclass(frozen=True)
class _Descent:
    """Mini-batch gradient descent by autograd on ``|W z_t - z1|^2 / 2``."""

    pairs: Pairing
    path: AbstractPath
    t: float
    rate: float
    batch_size: int
    generator: torch.Generator

    def run(self, weights: Tensor, steps: int) -> Tensor:
        """Return the weights after some steps."""
        dtype = weights.dtype
        weights = weights.to(self.pairs.z1.dtype)
        for _ in range(steps):
            weights = weights.detach().requires_grad_()
            point = self.path.sample(
                self._batch(),
                self.pairs.z1.new_full((self.batch_size,), self.t),
                target=TargetKind.X1,
                generator=self.generator,
            )
            squares = (point.z_t @ weights.T - point.target).square().sum(1)
            if point.weight is not None:
                squares = point.weight * squares
            (gradient,) = torch.autograd.grad(squares.mean() / 2, weights)
            weights = weights - self.rate * gradient
        return weights.detach().to(dtype)

    def _batch(self) -> Pairing:
        rows, generator = self.pairs.z1.shape[0], self.generator
        index = torch.randint(rows, (self.batch_size,), generator=generator)
        index = index.to(self.pairs.z1.device)
        z1, weight = self.pairs.z1[index], self.pairs.weight
        is_paired = self.pairs.z0.shape[1] > 0
        z0 = self.pairs.z0[index] if is_paired else standard_normal(z1, generator)
        return Pairing(z0, z1, None, None if weight is None else weight[index])


def _gathered(ends: Ends) -> Pairing:
    """Return all pairs, the data centred: the mean is what a bias learns in a step."""
    parts = list(ends)
    z1 = torch.cat([part.z1 for part in parts])
    weights = [part.weight for part in parts if part.weight is not None]
    return Pairing(
        torch.cat([part.z0 for part in parts]),
        z1 - z1.mean(0),
        None,
        torch.cat(weights) if weights else None,
    )
