r"""How far the ends of the runs are from where they should be, with one replicate per group.

Where the law is a known Gaussian, W2 and the divergence are functions of the first two moments.
The exact process on the same noise is a control: what sampling does to its moments, which are
known, it does to those of the run as well.

.. math:: \hat m = m + (\bar y - \bar x), \qquad \hat S = S + (\hat S_y - \hat S_x)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from precond_gm.diagnostics.step_size.replicates import GROUPS, Replicates
from precond_gm.numerics import two_sample
from precond_gm.numerics.gaussian import Gaussian, kl_from_gaps
from precond_gm.numerics.rows import flatten
from precond_gm.numerics.two_sample import Statistic

__all__ = ["SAMPLE_GROUPS", "gaussian_errors", "paired_w2", "sample_errors", "strong_error"]

SAMPLE_GROUPS = 10  # replicates of a statistic whose cost is an assignment of all rows
_ROWS = {"w2": 512, "energy": 2048}  # cubic and quadratic in the rows
_STATISTICS: dict[str, Statistic] = {
    "w2": two_sample.exact_w2,
    "energy": two_sample.energy_distance,
}
_NAMES = {"w2": "w2", "energy": "energy_distance"}  # as the statistics call themselves


def strong_error(run: Tensor, truth: Tensor) -> Tensor:
    """Return ``|Y - X|^2`` of each row at the end."""
    return (run - truth).square().flatten(1).sum(1).to(torch.float64)


def gaussian_errors(
    runs: Sequence[Tensor],
    truths: Sequence[Tensor],
    laws: Sequence[Gaussian],
    target: Gaussian | None = None,
) -> dict[str, Replicates]:
    """Return W2 and KL(target || generated) of each run, from paired moments.

    For dynamics that are not affine the law of a run is not Gaussian: W2 is then a lower bound
    (Gelbrich), and the divergence that of the Gaussian with the same moments.

    Args:
        runs: End of each run, shape ``m *event``.
        truths: The exact process at the same times and on the same noise.
        laws: Its law there.
        target: What W2 is to; None is the law at the end of each run.

    Returns:
        ``w2`` and ``marginal_kl`` (to the law at the end), each of shape ``runs``; the divergence
        is missing where a covariance cannot be estimated from so few rows.
    """
    w2, kl = [], []
    for run, truth, law in zip(runs, truths, laws, strict=True):
        exact = Gaussian(law.mean.cpu().double(), law.covariance.cpu().double())
        mean, covariance = _moment_gaps(flatten(run), flatten(truth), exact.mean)
        found = Gaussian(exact.mean + mean, exact.covariance + covariance)
        goal = exact if target is None else Gaussian(*(part.cpu().double() for part in target))
        square = found.w2(goal).square()
        w2.append(Replicates(square[0], square[1:]).debiased())
        if _is_positive(found.covariance):
            values = kl_from_gaps(mean, covariance, found.covariance)
            kl.append(Replicates(values[0], values[1:]).debiased())
    errors = {"w2": _stacked(w2).map(lambda v: v.clamp_min(0).sqrt())}
    if len(kl) == len(w2):
        errors["marginal_kl"] = _stacked(kl)
    return errors


def sample_errors(
    runs: Sequence[Tensor], rows: Tensor, *, generator: torch.Generator
) -> tuple[dict[str, Replicates], dict[str, float]]:
    """Return W2 and energy distance to held-out rows, and the same between held-out rows.

    Each run is compared with one half of the rows; the floor compares the other half with it.

    Args:
        runs: End of each run, shape ``n *event``.
        rows: Held-out rows.
        generator: Splits them.
    """
    order = torch.randperm(rows.shape[0], generator=generator, device=generator.device)
    flat = flatten(rows)[order.to(rows.device)].double()
    half = flat.shape[0] // 2
    data, other = flat[:half], flat[half : 2 * half]
    found, floors = {}, {}
    for name, statistic in _STATISTICS.items():
        size = min(_ROWS[name], half, runs[0].shape[0])
        parts = [_left_out(statistic, name, flatten(run)[:size], data[:size]) for run in runs]
        found[name] = _stacked(parts)
        floors[name] = float(_left_out(statistic, name, other[:size], data[:size]).value)
    return found, floors


def paired_w2(runs: Sequence[Tensor], truths: Sequence[Tensor]) -> Replicates:
    """Return W2 between each run and the exact process on the same noise."""
    size = min(_ROWS["w2"], truths[0].shape[0])
    return _stacked(
        [
            _left_out(two_sample.exact_w2, "w2", flatten(run)[:size], flatten(truth)[:size])
            for run, truth in zip(runs, truths, strict=True)
        ]
    )


class _Gaps(NamedTuple):
    """Moments of the run minus those of the truth; entry 0 is all rows, then one group less."""

    mean: Tensor
    covariance: Tensor


def _moment_gaps(run: Tensor, truth: Tensor, centre: Tensor) -> _Gaps:
    y, x = (rows.cpu().double() - centre for rows in (run, truth))
    count, first, second = [], [], []
    for g in range(GROUPS):
        a, b = y[g::GROUPS], x[g::GROUPS]
        count.append(a.shape[0])
        first.append(torch.stack((a.sum(0), b.sum(0))))
        second.append(torch.stack((a.mT @ a, b.mT @ b)))
    n = _with_left_out(torch.tensor(count, dtype=torch.float64))
    mean = _with_left_out(torch.stack(first)) / n[:, None, None]
    square = _with_left_out(torch.stack(second)) / n[:, None, None, None]
    covariance = square - mean.unsqueeze(-1) * mean.unsqueeze(-2)
    return _Gaps(mean[:, 0] - mean[:, 1], covariance[:, 0] - covariance[:, 1])


def _with_left_out(sums: Tensor) -> Tensor:
    """Return the total, then the total without each group."""
    total = sums.sum(0, keepdim=True)
    return torch.cat((total, total - sums))


def _is_positive(covariance: Tensor) -> bool:
    return bool((torch.linalg.cholesky_ex(covariance).info == 0).all())


def _left_out(statistic: Statistic, name: str, a: Tensor, b: Tensor) -> Replicates:
    """Return a statistic of two sets of rows, and without each group of both."""
    evaluate = statistic(a.double(), b.double())
    place = torch.arange(a.shape[0], device=a.device)

    def value(g: int | None) -> float:
        kept = place if g is None else place[place % SAMPLE_GROUPS != g]
        return evaluate(kept, kept)[_NAMES[name]]

    left_out = torch.tensor([value(g) for g in range(SAMPLE_GROUPS)], dtype=torch.float64)
    return Replicates(torch.tensor(value(None), dtype=torch.float64), left_out)


def _stacked(parts: Sequence[Replicates]) -> Replicates:
    return Replicates(
        torch.stack([part.value for part in parts]),
        torch.stack([part.left_out for part in parts], -1),
    )
