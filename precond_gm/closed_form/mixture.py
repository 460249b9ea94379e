r"""The bridge from a standard normal to a Gaussian mixture, independent ends."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import final

import torch
from torch import Tensor

from precond_gm.closed_form.base import AbstractBridge
from precond_gm.closed_form.inputs import as_covariance, as_sigma, common_device
from precond_gm.closed_form.shares import shares
from precond_gm.closed_form.targets import LinearTarget
from precond_gm.errors import InvalidInputError
from precond_gm.numerics.gaussian import root
from precond_gm.numerics.noise import standard_normal
from precond_gm.values import Pairing

__all__ = ["GaussianMixtureBridge"]

# Numbers of the largest intermediate array. Blocks of this size stay in a core's cache, which is
# what makes the exact drift faster than its plain form, and bound the memory on any device.
_ENTRIES = {"cpu": 2**18, "cuda": 2**26}


@final
class GaussianMixtureBridge(AbstractBridge):
    r"""Path from N(0, I) to a mixture of Gaussians with full covariances.

    Component k of z_t is ``N(t m_k, C_k)`` with ``C_k = t^2 S_k + ((1-t)^2 + sigma^2 t (1-t)) I``.
    Each ``S_k`` is diagonalised once; then every time, shared or one per row, costs two matrix
    products and no factorisation. Rows are done in blocks, so a million of them fit.

    Args:
        weights: Probabilities of the components, shape ``k``; they are normalised.
        means: Shape ``k dim``.
        covariances: ``k dim dim``, or ``k dim`` for diagonals, or one number for all.
        sigma: Scale of the bridge's noise; 0 is the linear path.
        component_label: Label of each component, shape ``k``; then dynamics given a label use the
            components of that label alone. None: labels have no effect.

    Raises:
        InvalidInputError: Weights that are no probabilities, shapes that do not fit, a covariance
            that is not positive definite.

    Example:
        >>> import torch
        >>> from precond_gm.closed_form import GaussianMixtureBridge
        >>> bridge = GaussianMixtureBridge([0.5, 0.5], [[-2.0], [2.0]], 0.1)
        >>> bridge.posterior_mean(0.5, torch.zeros(1, 1, dtype=torch.float64))
        tensor([[0.]], dtype=torch.float64)
    """

    def __init__(
        self,
        weights: Tensor | Sequence[float],
        means: Tensor | Sequence[Sequence[float]],
        covariances: Tensor | Sequence[object] | float,
        sigma: float = math.sqrt(2),
        component_label: Tensor | Sequence[int] | None = None,
    ) -> None:
        device = common_device(weights, means, covariances)  # type: ignore[arg-type]
        self.means = torch.as_tensor(means, dtype=torch.float64, device=device)
        if self.means.ndim != 2 or not bool(torch.isfinite(self.means).all()):
            raise InvalidInputError(
                f"means is a finite array of shape (components, dim); got "
                f"{tuple(self.means.shape)}."
            )
        count, dim = self.means.shape
        self.weights = _probabilities(weights, count, device)
        given = torch.as_tensor(covariances, dtype=torch.float64, device=device)
        each = given.expand(count) if given.ndim == 0 else given
        if each.shape[0] != count:
            raise InvalidInputError(
                f"covariances has {each.shape[0]} entries for {count} components. Give one matrix "
                f"or diagonal per component, or one number for all."
            )
        self.covariances = torch.stack(
            [as_covariance(c, dim, device, f"covariances[{k}]") for k, c in enumerate(each)]
        )
        self.sigma = as_sigma(sigma)
        self.component_label = None
        if component_label is not None:
            self.component_label = torch.as_tensor(component_label, device=device)
            if self.component_label.shape != (count,):
                raise InvalidInputError(
                    f"component_label has shape {tuple(self.component_label.shape)}, expected "
                    f"({count},): one label per component."
                )
        self._spectra, vectors = torch.linalg.eigh(self.covariances)
        self._rotation = vectors.movedim(0, 1).reshape(dim, count * dim)  # columns of all bases
        self._centres = torch.einsum("kd,kde->ke", self.means, vectors)

    @property
    def dim(self) -> int:
        """Number of coordinates."""
        return self.means.shape[1]

    def sample_pairs(self, n: int, *, generator: torch.Generator | None = None) -> Pairing:
        """Draw ``n`` independent ends; ``label`` is the component's label, or the component."""
        device = generator.device if generator is not None else self.means.device
        drawn = torch.multinomial(
            self.weights.to(device), n, replacement=True, generator=generator
        ).to(self.means.device)
        z0 = standard_normal(self.means.new_empty(n, self.dim), generator)
        noise = standard_normal(z0, generator)
        z1 = torch.empty_like(z0)
        for k, factor in enumerate(root(self.covariances)):
            rows = drawn == k
            z1[rows] = self.means[k] + noise[rows] @ factor
        label = drawn if self.component_label is None else self.component_label[drawn]
        return Pairing(z0, z1, label)

    def _conditional_mean(
        self, target: LinearTarget, t: Tensor, x: Tensor, label: Tensor | None
    ) -> Tensor:
        mask = self._mask(label)
        result = torch.empty_like(x)
        for rows in self._blocks(x):
            when = t if t.shape[0] == 1 else t[rows]
            y, variance, log_share = self._whitened(when, x[rows])
            if mask is not None:
                log_share = log_share.masked_fill(~mask[rows], -torch.inf)
            share = shares(log_share, log_share.logsumexp(1, keepdim=True))
            when = when.reshape(-1, 1, 1)
            covered = target.source * (1 - when) + target.data * when * self._spectra
            gain = ((covered + target.noise_at(when)) / variance).to(x.dtype)
            pulled = y.mul_(gain).mul_(share.unsqueeze(-1)).flatten(1)
            mean = share @ (target.data * self.means).to(x.dtype)
            result[rows] = torch.addmm(mean, pulled, self._rotation.to(x.dtype).mT)
        return result

    def _log_density(self, t: Tensor, x: Tensor) -> Tensor:
        parts = []
        for rows in self._blocks(x):
            _, _, log_share = self._whitened(t if t.shape[0] == 1 else t[rows], x[rows])
            parts.append(log_share.logsumexp(1))
        return torch.cat(parts) - 0.5 * self.dim * math.log(2 * math.pi)

    def _whitened(self, t: Tensor, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return ``x - t m_k`` in every eigenbasis, its variances, and log(weight * density).

        Shapes: ``rows k dim``, ``1 or rows k dim``, ``rows k``; the density lacks its
        ``(2 pi)^(-dim/2)``.
        """
        t = t.reshape(-1, 1, 1)
        variance = t**2 * self._spectra + (1 - t) * ((1 - t) + self.sigma**2 * t)
        y = (x @ self._rotation.to(x.dtype)).view(x.shape[0], *self._spectra.shape)
        y = y.sub_((t * self._centres).to(x.dtype))
        quadratic = (y * variance.rsqrt().to(x.dtype)).square_().sum(-1)
        constant = self.weights.log() - 0.5 * variance.log().sum(-1)
        return y, variance, constant.to(x.dtype) - 0.5 * quadratic

    def _blocks(self, x: Tensor) -> Iterator[slice]:
        size = max(1, _ENTRIES["cuda" if x.is_cuda else "cpu"] // self._spectra.numel())
        return (slice(start, start + size) for start in range(0, x.shape[0], size))

    def _mask(self, label: Tensor | None) -> Tensor | None:
        """Return which components each row may come from, ``batch k``, or None for all."""
        if label is None or self.component_label is None:
            return None
        mask = label.unsqueeze(1) == self.component_label
        if mask.device.type == "cpu" and not bool(mask.any(1).all()):
            row = int(torch.nonzero(~mask.any(1))[0])
            raise InvalidInputError(
                f"label is {int(label[row])} at row {row}; the components carry the labels "
                f"{sorted(set(self.component_label.tolist()))}."
            )
        return mask


def _probabilities(weights: Tensor | Sequence[float], count: int, device: torch.device) -> Tensor:
    values = torch.as_tensor(weights, dtype=torch.float64, device=device)
    if values.shape != (count,) or not bool((values > 0).all() & torch.isfinite(values).all()):
        raise InvalidInputError(
            f"weights is {count} positive numbers, one per row of means; got shape "
            f"{tuple(values.shape)}. Drop components of weight 0."
        )
    return values / values.sum()
