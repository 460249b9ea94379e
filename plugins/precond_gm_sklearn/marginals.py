"""Maps of single features that scikit-learn fits, for each label: power and quantile transforms."""

from __future__ import annotations

import abc
import time
from typing import final

import torch
from torch import Tensor

from precond_gm.numerics.rows import RowsLike, flatten
from precond_gm.options import check_counts
from precond_gm.preconditioners import (
    AbstractComposite,
    AbstractPreconditioner,
    Chain,
    FitReport,
    Standardize,
)
from precond_gm.preconditioners.gathering import sample, split
from precond_gm.preconditioners.judging import judge
from precond_gm.preconditioners.precision import full_precision
from precond_gm.values import Batch, InverseKind, Transformed

__all__ = ["Power", "Quantile"]


class _Marginal(AbstractPreconditioner):
    """Monotone map of each feature, with a table of parameters per label (``L d parameters``)."""

    inverse_kind = InverseKind.CLOSED_FORM
    table: Tensor
    width: int

    def __init__(self, shared: bool) -> None:
        super().__init__()
        self.shared = shared

    @abc.abstractmethod
    def estimate(self, rows: Tensor) -> Tensor:
        """Return the parameters for rows of one label, shape ``d parameters``."""

    @abc.abstractmethod
    def apply_table(self, x: Tensor, table: Tensor) -> tuple[Tensor, Tensor]:
        """Return values and log-slopes of entries ``batch d`` under their parameters."""

    @abc.abstractmethod
    def undo_table(self, z: Tensor, table: Tensor) -> tuple[Tensor, Tensor]:
        """Return the entries back, and the log-slopes of the map there."""

    def fit(
        self,
        x: RowsLike,
        label: Tensor | None = None,
        *,
        num_labels: int | None = None,
        max_steps: int | None = None,
        generator: torch.Generator | None = None,
    ) -> FitReport:
        """Fit each label's features; a label with fewer than 8 rows uses all rows."""
        started = time.perf_counter()
        generator = generator if generator is not None else torch.Generator().manual_seed(0)
        rows, labels = sample(x, label, num_labels=num_labels, generator=generator)
        self.build(tuple(rows.x.shape[1:]), labels)
        train, held = split(rows, generator)
        self._fill(train)
        report = judge(self, held, num_rows=rows.x.shape[0], started=started)
        self._fill(rows)
        return report

    def build(self, event_shape: tuple[int, ...], num_labels: int | None) -> None:
        """Allocate the table."""
        self.num_labels = None if self.shared else num_labels
        size = torch.Size(event_shape).numel()
        self.register_buffer("table", torch.ones(self.num_labels or 1, size, self.width))
        self.event_shape = tuple(event_shape)

    @full_precision
    def forward(self, x: Tensor, label: Tensor | None = None) -> Transformed:
        """Map data to preconditioned coordinates."""
        self.require(x, label)
        value, slope = self.apply_table(flatten(x), self._rows_of(label))
        return Transformed(value.reshape(x.shape), slope.sum(1))

    @full_precision
    def inverse(self, z: Tensor, label: Tensor | None = None) -> Transformed:
        """Map preconditioned coordinates back to data."""
        self.require(z, label)
        value, slope = self.undo_table(flatten(z), self._rows_of(label))
        return Transformed(value.reshape(z.shape), -slope.sum(1))

    def _rows_of(self, label: Tensor | None) -> Tensor:
        return self.table[:1] if self.num_labels is None or label is None else self.table[label]

    def _fill(self, rows: Batch) -> None:
        tables = []
        for index in range(self.num_labels or 1):
            own = rows.x if self.num_labels is None else rows.x[rows.label == index]
            own = own if own.shape[0] >= 8 else rows.x
            tables.append(self.estimate(flatten(own).to(torch.float64).cpu()))
        self.table = torch.stack(tables).to(rows.x)


class _YeoJohnson(_Marginal):
    """Yeo and Johnson's power transform with exponents in [0, 2]: there it is a bijection."""

    tolerance = 1e-4
    width = 1

    def estimate(self, rows: Tensor) -> Tensor:
        """Return the exponents of maximum likelihood."""
        from sklearn.preprocessing import PowerTransformer

        estimator = PowerTransformer("yeo-johnson", standardize=False).fit(rows.numpy())
        return torch.from_numpy(estimator.lambdas_).nan_to_num(1.0).clamp(0, 2)[:, None]

    def apply_table(self, x: Tensor, table: Tensor) -> tuple[Tensor, Tensor]:
        """Return values and log-slopes."""
        power = torch.where(x >= 0, table[..., 0], 2 - table[..., 0])
        log = torch.log1p(x.abs())
        return torch.sign(x) * _expm1_over(power, log), (power - 1) * log

    def undo_table(self, z: Tensor, table: Tensor) -> tuple[Tensor, Tensor]:
        """Return entries and the map's log-slopes there."""
        power = torch.where(z >= 0, table[..., 0], 2 - table[..., 0])
        log = _log1p_over(power, z.abs())
        return torch.sign(z) * torch.expm1(log), (power - 1) * log


class _Quantiles(_Marginal):
    """Piecewise linear map of a feature's quantiles to those of N(0, 1), straight beyond them."""

    tolerance = 1e-4

    def __init__(self, quantiles: int, shared: bool) -> None:
        super().__init__(shared)
        self.width = quantiles

    def estimate(self, rows: Tensor) -> Tensor:
        """Return each feature's quantiles, at least a little apart."""
        from sklearn.preprocessing import QuantileTransformer

        count = min(1000, rows.shape[0])
        estimator = QuantileTransformer(n_quantiles=count, subsample=None).fit(rows.numpy())
        known = torch.from_numpy(estimator.quantiles_).T
        position = _shares(self.width, rows) * (count - 1)
        low = position.floor().long().clamp(max=max(0, count - 2))
        knots = torch.lerp(known[:, low], known[:, (low + 1).clamp(max=count - 1)], position - low)
        width = (knots[:, -1:] - knots[:, :1]).clamp_min(1e-6)
        step = 1e-3 * width / self.width  # tied values would make the map a jump
        return torch.cummax(knots, 1).values + step * torch.arange(self.width)

    def apply_table(self, x: Tensor, table: Tensor) -> tuple[Tensor, Tensor]:
        """Return values and log-slopes."""
        return _interpolate(x, table, self._levels(table))

    def undo_table(self, z: Tensor, table: Tensor) -> tuple[Tensor, Tensor]:
        """Return entries and the map's log-slopes there."""
        value, slope = _interpolate(z, self._levels(table), table)
        return value, -slope

    def _levels(self, table: Tensor) -> Tensor:
        return torch.special.ndtri(_shares(self.width, table)).expand_as(table)


@final
class Power(AbstractComposite):
    """Standardise, bend each feature by a power until it is as normal as it gets, standardise.

    Exponents are those of scikit-learn's Yeo-Johnson fit, held within [0, 2], where the transform
    is a bijection of the line. It removes skewness, not correlation: put ``whiten`` behind it.
    Cost: O(d) both ways.

    Conditioning: that of standardising; correlation stays.

    Args:
        shared: Use one map for all labels.
    """

    tolerance = 1e-4

    def __init__(self, shared: bool = False) -> None:
        super().__init__(Chain([Standardize(shared), _YeoJohnson(shared), Standardize(shared)]))
        self.shared = shared


@final
class Quantile(AbstractComposite):
    """Standardise, then map each feature's quantiles to those of N(0, 1), with straight tails.

    scikit-learn's own transform clips beyond the training range (an error of 150 was measured), so
    it is not a bijection; here the outermost pieces go on for ever. It makes every feature normal
    and leaves correlation: put ``whiten`` behind it. Cost: O(d quantiles) both ways.

    Conditioning: that of standardising; correlation stays.

    Args:
        quantiles: Number of quantiles.
        shared: Use one map for all labels.
    """

    tolerance = 1e-3

    def __init__(self, quantiles: int = 32, shared: bool = False) -> None:
        super().__init__(Chain([Standardize(shared), _Quantiles(quantiles, shared)]))
        self.quantiles = quantiles
        self.shared = shared
        check_counts(self, "quantiles", least=2)


def _shares(count: int, like: Tensor) -> Tensor:
    """Return the probabilities of the quantiles, in the middle of equal shares."""
    return (torch.arange(count, dtype=like.dtype, device=like.device) + 0.5) / count


def _expm1_over(power: Tensor, log: Tensor) -> Tensor:
    """Return ``(exp(power log) - 1) / power``, and its limit ``log`` at power 0."""
    safe = torch.where(power.abs() < 1e-6, 1.0, power)
    return torch.where(power.abs() < 1e-6, log, torch.expm1(safe * log) / safe)


def _log1p_over(power: Tensor, value: Tensor) -> Tensor:
    """Return ``log(1 + power value) / power``, and its limit ``value`` at power 0."""
    safe = torch.where(power.abs() < 1e-6, 1.0, power)
    return torch.where(power.abs() < 1e-6, value, torch.log1p(safe * value) / safe)


def _interpolate(x: Tensor, source: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Map entries ``batch d`` linearly between knots ``batch|1 d knots``, and straight beyond."""
    source = source.expand(x.shape[0], *source.shape[1:]).contiguous()
    target = target.expand(x.shape[0], *target.shape[1:])
    index = torch.searchsorted(source, x[..., None].contiguous())
    index = index.clamp(1, source.shape[2] - 1)
    left, right = source.gather(2, index - 1)[..., 0], source.gather(2, index)[..., 0]
    low, high = target.gather(2, index - 1)[..., 0], target.gather(2, index)[..., 0]
    slope = (high - low) / (right - left)
    return low + slope * (x - left), slope.log()
