r"""Exact path KL of Euler-Maruyama on a Gaussian bridge (Girsanov).

.. math::
    \frac{1}{2\sigma^2} \sum_k \int_{t_k}^{t_{k+1}}
    E \| b_t(X_t) - b_\theta(t_k, X_{t_k}) \|^2 dt

along the exact SDE, where ``y_t = X_t - m_t`` obeys ``dy = G_t y dt + sigma dB``. The expectation
needs ``Cov(y_t, y_s) = Phi(t, s) Sigma_s`` with ``Phi' = G_t Phi``. Both the propagator and the
integral use the same Gauss-Legendre nodes (collocation), on pieces that are halved until the value
of each step stands still.
"""

from __future__ import annotations

import functools

import numpy as np
import torch
from torch import Tensor

from precond_gm.closed_form.second_moments import SecondMoments
from precond_gm.closed_form.targets import drift
from precond_gm.errors import InvalidInputError

__all__ = ["path_kl"]

_NODES = 8
_TOLERANCE = 1e-10  # on the change by halving, which gains a factor 2^16 at 8 nodes
_MOST_PIECES = 2**14
_ELEMENTS = 2**24  # of the largest array at once: 128 MiB in float64


def path_kl(
    moments: SecondMoments, times: Tensor, path_mean: Tensor, shift: Tensor, matrix: Tensor
) -> Tensor:
    """Return KL(exact path || generated path); arguments as in ``discretised.gaps``.

    Raises:
        InvalidInputError: sigma = 0, or an integral that does not settle.
    """
    if moments.sigma == 0:
        raise InvalidInputError(
            "the path KL of an ODE (sigma = 0) is infinite. Use w2 or marginal_kl there."
        )
    error = shift + (matrix @ path_mean[:-1].unsqueeze(-1)).squeeze(-1)
    constant = times.diff() * error.square().sum((-2, -1))
    moving = _settled(moments, times, matrix)
    return (constant + moving).sum() / (2 * moments.sigma**2)


def _settled(moments: SecondMoments, times: Tensor, matrix: Tensor) -> Tensor:
    """Integrate every step, halving the pieces of those that still change."""
    value = _in_chunks(moments, times, matrix, torch.arange(times.shape[0] - 1), 1)
    active = torch.arange(times.shape[0] - 1)
    pieces = 1
    while active.numel():
        pieces *= 2
        if pieces > _MOST_PIECES:
            raise InvalidInputError(
                f"the path KL of the step from t = {float(times[active[0]]):.6g} does not settle: "
                f"the drift is nearly singular there. Stop earlier, or use smaller steps there."
            )
        finer = _in_chunks(moments, times, matrix, active, pieces)
        change = (finer - value[active]).abs()
        value[active] = finer
        floor = 1e-14 * value.abs().sum() / value.shape[0]
        active = active[(~(change <= _TOLERANCE * finer.abs() + floor)).cpu()]
    return value


def _in_chunks(
    moments: SecondMoments, times: Tensor, matrix: Tensor, steps: Tensor, pieces: int
) -> Tensor:
    count, size = moments.cov0.shape[0], moments.blocks.size
    per_step = pieces * count * (_NODES * size) ** 2
    chunk = max(1, _ELEMENTS // per_step)
    return torch.cat(
        [
            _integral(moments, times, matrix, steps[start : start + chunk], pieces)
            for start in range(0, steps.shape[0], chunk)
        ]
    )


def _integral(
    moments: SecondMoments, times: Tensor, matrix: Tensor, steps: Tensor, pieces: int
) -> Tensor:
    """Return the integral of the moving part of the expectation for each of the steps."""
    nodes, weights, stage = (torch.from_numpy(a).to(times.device) for a in _gauss_legendre(_NODES))
    target = drift(moments.sigma)
    start, length = times[steps], (times[steps + 1] - times[steps]) / pieces
    offsets = torch.arange(pieces, dtype=times.dtype, device=times.device)[:, None] + nodes
    t = start[:, None, None] + length[:, None, None] * offsets  # steps, pieces, nodes
    gain = moments.gain(target, t)
    cross = moments.with_path(target, t)  # gain Sigma_t, exactly
    inside, across = _propagators(gain, length, weights, stage)
    phi = _chained(inside, across)
    frozen = moments.gain(target, start) + matrix
    sigma_s = moments.covariance(start)
    now = (gain * cross).sum((-3, -2, -1))
    then = ((frozen @ sigma_s) * frozen).sum((-3, -2, -1))
    weight = (frozen @ sigma_s)[:, None, None]
    both = ((gain @ phi) * weight).sum((-3, -2, -1))
    integrand = now - 2 * both + then[:, None, None]
    return length * (integrand * weights).sum((-2, -1))


def _propagators(
    gain: Tensor, length: Tensor, weights: Tensor, stage: Tensor
) -> tuple[Tensor, Tensor]:
    """Solve ``Phi' = G Phi`` on every piece: at its nodes, and across it."""
    blocks = gain.movedim(-4, -3)  # steps, pieces, count, nodes, size, size
    *lead, nodes, size, _ = blocks.shape
    h = length.reshape(-1, 1, 1, 1, 1)
    coupled = torch.einsum("ij,...jab->...iajb", stage, blocks)
    wide = torch.eye(nodes * size, dtype=gain.dtype, device=gain.device)
    system = wide - h * coupled.reshape(*lead, nodes * size, nodes * size)
    identity = torch.eye(size, dtype=gain.dtype, device=gain.device)
    right = identity.repeat(nodes, 1).expand(*lead, nodes * size, size)
    inside = torch.linalg.solve(system, right).reshape(*lead, nodes, size, size)
    across = identity + h * torch.einsum("j,...jab->...ab", weights, blocks @ inside)
    return inside.movedim(-3, -4), across


def _chained(inside: Tensor, across: Tensor) -> Tensor:
    """Return the propagator from the start of the step to every node of every piece."""
    phi = [torch.eye(across.shape[-1], dtype=across.dtype, device=across.device)]
    phi[0] = phi[0].expand(across.shape[0], *across.shape[2:])
    for piece in range(across.shape[1] - 1):
        phi.append(across[:, piece] @ phi[-1])
    return inside @ torch.stack(phi, dim=1).unsqueeze(2)


@functools.cache
def _gauss_legendre(count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return nodes and weights on [0, 1] and the collocation matrix ``a_ij = int_0^{c_i} l_j``."""
    x, w = np.polynomial.legendre.leggauss(count)
    values = np.polynomial.legendre.legvander(x, count)
    degree = np.arange(1, count)
    integrals = np.empty((count, count))
    integrals[:, 0] = x + 1
    integrals[:, 1:] = (values[:, 2:] - values[:, : count - 1]) / (2 * degree + 1)
    stage = 0.5 * integrals @ np.linalg.inv(values[:, :count])
    return 0.5 * (x + 1), 0.5 * w, stage
