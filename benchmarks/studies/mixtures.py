"""Gaussian and mixture targets of a given condition number, with their exact fields."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

import precond_gm as pg


@dataclass(frozen=True)
class Mixture:
    """Equal mixture of Gaussians; one component is the Gaussian target."""

    means: Tensor
    covariances: Tensor

    @property
    def dim(self) -> int:
        """Number of features."""
        return self.means.shape[1]

    def sample(self, rows: int, generator: torch.Generator) -> Tensor:
        """Draw rows."""
        roots = torch.linalg.cholesky(self.covariances)
        which = torch.randint(len(self.means), (rows,), generator=generator)
        noise = torch.randn(rows, self.dim, generator=generator, dtype=torch.float64)
        return (self.means[which] + torch.einsum("nij,nj->ni", roots[which], noise)).float()

    def mapped(self, flow: pg.PreconditionedFlow) -> Mixture:
        """Return the law of z, for a flow whose preconditioner is affine."""
        corners = torch.cat((torch.zeros(1, self.dim), torch.eye(self.dim)))
        image = flow.precondition(corners).double()
        matrix = (image[1:] - image[0]).T
        return Mixture(self.means @ matrix.T + image[0], matrix @ self.covariances @ matrix.T)

    def velocity(self, t: Tensor, z: Tensor, label: Tensor | None = None) -> Tensor:
        """Return the exact velocity of the linear path at one time: theory, section 1."""
        time = float(t[0])
        sigma = time**2 * self.covariances + (1 - time) ** 2 * torch.eye(self.dim).double()
        share, gap = _responsibilities(z.double(), time * self.means, sigma)
        solved = torch.linalg.solve(sigma, gap[..., None])[..., 0]
        z1 = self.means + time * torch.einsum("kij,nkj->nki", self.covariances, solved)
        return (share[..., None] * (z1 - (1 - time) * solved)).sum(1)

    def log_ratio(self, x: Tensor) -> Tensor:
        """Return ln of variance found over variance wanted, ``components dim``, ascending.

        Each row belongs to its likeliest component. The variance is that of the bulk: the squared
        half width between the 16 % and the 84 % quantile along each axis of the component, so
        that a few rows between two components do not stand for all.
        """
        share, gap = _responsibilities(x.double(), self.means, self.covariances)
        values, axes = torch.linalg.eigh(self.covariances)
        found = []
        for k in range(len(self.means)):
            rows = gap[share.argmax(1) == k, k] @ axes[k]
            if len(rows) < 10:
                found.append(torch.full_like(values[k], torch.nan))
                continue
            low, high = rows.quantile(torch.tensor([0.1587, 0.8413]).double(), dim=0)
            found.append(((high - low) / 2).square().log() - values[k].log())
        return torch.stack(found)


def _responsibilities(x: Tensor, means: Tensor, covariances: Tensor) -> tuple[Tensor, Tensor]:
    gap = x[:, None] - means
    solved = torch.linalg.solve(covariances, gap[..., None])[..., 0]
    log = -0.5 * (gap * solved).sum(-1) - 0.5 * torch.logdet(covariances)
    return log.softmax(-1), gap


def target(kind: str, dim: int = 8, condition_number: float = 1e4) -> Mixture:
    """Return the law ``gaussian`` or ``mixture`` (three components), each in axes of its own."""
    generator = torch.Generator().manual_seed(7)
    count = 1 if kind == "gaussian" else 3
    edge = torch.tensor(condition_number).log10().item() / 2
    spectrum = torch.logspace(-edge, edge, dim, dtype=torch.float64)
    bases = [
        torch.linalg.qr(torch.randn(dim, dim, generator=generator, dtype=torch.float64)).Q
        for _ in range(count)
    ]
    means = 10 * torch.randn(count, dim, generator=generator, dtype=torch.float64)
    return Mixture(
        means * (count > 1), torch.stack([b @ torch.diag(spectrum) @ b.T for b in bases])
    )
