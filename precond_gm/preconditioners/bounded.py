"""Maps for data that live in an interval: pixels, probabilities, percentages."""

from __future__ import annotations

import abc
import math
import time
from collections.abc import Iterator
from typing import final

import torch
from torch import Tensor

from precond_gm.errors import InvalidInputError
from precond_gm.numerics.extent import Extent
from precond_gm.numerics.rows import RowsLike, batches, flatten
from precond_gm.preconditioners.base import AbstractPreconditioner, FitReport
from precond_gm.preconditioners.gathering import gather, merged, rows_at_once
from precond_gm.preconditioners.judging import judge
from precond_gm.preconditioners.precision import full_precision
from precond_gm.values import Batch, InverseKind, Transformed

__all__ = ["AffineRange", "Logit"]


class _Bounded(AbstractPreconditioner):
    """Map of one interval, given or found; labels play no part."""

    inverse_kind = InverseKind.CLOSED_FORM
    bounds: Tensor

    def __init__(self, low: float | None, high: float | None) -> None:
        super().__init__()
        if low is not None and high is not None and not low < high:
            raise InvalidInputError(f"low is below high; got low={low:g}, high={high:g}.")
        self.low = low
        self.high = high
        self.register_buffer("bounds", torch.tensor([0.0, 1.0]))

    def fit(
        self,
        x: RowsLike,
        label: Tensor | None = None,
        *,
        num_labels: int | None = None,
        max_steps: int | None = None,
        generator: torch.Generator | None = None,
    ) -> FitReport:
        """Find the interval, or check that the rows are in the one given.

        Raises:
            InvalidInputError: Rows outside the interval given (how many, and where the first is).
        """
        started = time.perf_counter()
        strays = _Strays(self.low, self.high)
        rows = strays.watch(batches(x, label, size=rows_at_once(x)))
        data = gather(rows, None, Extent.of, num_labels=num_labels, generator=generator)
        strays.refuse(data.num_rows)
        extent = merged(data.total)
        assert extent is not None
        low, high = self._interval(float(extent.low), float(extent.high))
        self.bounds = torch.tensor([low, high]).to(data.rows.x)
        self.build(data.event_shape, data.num_labels)
        notes = (f"interval [{low:g}, {high:g}]",)
        return judge(self, data.rows, num_rows=data.num_rows, started=started, notes=notes)

    def build(self, event_shape: tuple[int, ...], num_labels: int | None) -> None:
        """Remember the shape of a row."""
        self.event_shape = tuple(event_shape)

    @abc.abstractmethod
    def _interval(self, low: float, high: float) -> tuple[float, float]:
        """Return the interval to use for data with these extremes."""


class _Strays:
    """Rows outside the bounds given, counted as they pass."""

    def __init__(self, low: float | None, high: float | None) -> None:
        self.low = -math.inf if low is None else low
        self.high = math.inf if high is None else high
        self.count = 0
        self.first = ""

    def watch(self, rows: Iterator[Batch]) -> Iterator[Batch]:
        """Hand batches on; each is looked at once its taker has checked it."""
        seen = 0
        for batch in rows:
            yield batch
            self._look(batch.x, seen)
            seen += batch.x.shape[0]

    def refuse(self, rows: int) -> None:
        """Raise if any row was outside."""
        if self.count:
            raise InvalidInputError(
                f"{self.count} of {rows} rows hold values outside the interval given; the first: "
                f"{self.first}. Clip them, give a wider low and high, or leave these out."
            )

    def _look(self, x: Tensor, before: int) -> None:
        outside = (x < self.low) | (x > self.high)
        if not self.count and bool(outside.any()):
            row, *feature = torch.nonzero(outside)[0].tolist()
            value = float(x[(row, *feature)])
            bound = f"low={self.low:g}" if value < self.low else f"high={self.high:g}"
            self.first = (
                f"{value:g} at row {before + row}, feature {tuple(feature)}, outside {bound}"
            )
        self.count += int(flatten(outside).any(1).sum())


@final
class AffineRange(_Bounded):
    """Map an interval to [-1, 1] by one shift and one scale for all features.

    It changes units and nothing else: conditioning stays as it is. The fit refuses rows outside
    the interval, as given in other units; later rows may leave it. Cost: O(d) both ways.

    Conditioning: unchanged.

    Args:
        low: Lower end of the interval; the data's smallest value if not given.
        high: Upper end of the interval; the data's largest value if not given.

    Example:
        >>> import torch
        >>> from precond_gm.preconditioners import AffineRange
        >>> part = AffineRange(low=0, high=255)
        >>> _ = part.fit(torch.tensor([[3.0], [251.0]]))
        >>> part(torch.tensor([[0.0], [255.0]])).value.flatten()
        tensor([-1.,  1.])
    """

    tolerance = 1e-5

    def __init__(self, low: float | None = None, high: float | None = None) -> None:
        super().__init__(low, high)

    @full_precision
    def forward(self, x: Tensor, label: Tensor | None = None) -> Transformed:
        """Map the interval to [-1, 1]."""
        self.require(x, label)
        centre, half = self.bounds.mean(), self.bounds.diff()[0] / 2
        log_abs_det = (-half.log() * x[0].numel()).expand(x.shape[0])
        return Transformed((x - centre) / half, log_abs_det)

    @full_precision
    def inverse(self, z: Tensor, label: Tensor | None = None) -> Transformed:
        """Map [-1, 1] back to the interval."""
        self.require(z, label)
        centre, half = self.bounds.mean(), self.bounds.diff()[0] / 2
        log_abs_det = (half.log() * z[0].numel()).expand(z.shape[0])
        return Transformed(z * half + centre, log_abs_det)

    def _interval(self, low: float, high: float) -> tuple[float, float]:
        low = low if self.low is None else self.low
        high = high if self.high is None else self.high
        if not low < high:
            raise InvalidInputError(
                f"all values are {low:g}, so there is no interval. Give low and high."
            )
        return low, high


@final
class Logit(_Bounded):
    r"""Map an interval to the line, so that nothing that is generated leaves it.

    .. math::
        z = \log\frac{s}{1 - s}, \qquad s = \epsilon + (1 - 2\epsilon) \frac{x - low}{high - low}

    The inverse stays within a margin of ``eps`` (of the width) around the interval, whatever z is.
    Values outside the interval are refused, by count. Cost: O(d) both ways. It bends the law: put
    ``whiten`` behind it (``logit+whiten``).

    Conditioning: may grow, since tails are stretched.

    Args:
        low: Lower end of the interval; if not given, the data's smallest value less a twentieth of
            their width, so that new rows fit in.
        high: Upper end of the interval, likewise.
        eps: Distance that values keep from the ends, relative to the width, in (0, 0.5).

    Example:
        >>> import torch
        >>> from precond_gm.preconditioners import Logit
        >>> part = Logit(low=0, high=1)
        >>> _ = part.fit(torch.rand(100, 2))
        >>> bool((part.inverse(torch.full((1, 2), 50.0)).value <= 1.02).all())
        True
    """

    tolerance = 1e-5

    def __init__(
        self, low: float | None = None, high: float | None = None, eps: float = 0.01
    ) -> None:
        super().__init__(low, high)
        if not 0 < eps < 0.5:
            raise InvalidInputError(f"eps is in (0, 0.5); got {eps:g}.")
        self.eps = eps

    @full_precision
    def forward(self, x: Tensor, label: Tensor | None = None) -> Transformed:
        """Map the interval to the line.

        Raises:
            InvalidInputError: Values outside the interval (their number is given). The check waits
                for the device: a silent NaN would cost more.
        """
        self.require(x, label)
        low, high = self.bounds
        outside = (x < low) | (x > high)
        if bool(outside.any()):
            rows = int(flatten(outside).any(1).sum())
            raise InvalidInputError(
                f"{rows} of {x.shape[0]} rows hold values outside the interval "
                f"[{float(low):g}, {float(high):g}] of the logit map. Clip them, or give a wider "
                f"low and high."
            )
        share = self.eps + (1 - 2 * self.eps) * (x - low) / (high - low)
        slope = flatten(torch.log(share) + torch.log1p(-share)).sum(1)
        return Transformed(torch.logit(share), self._log_rate * x[0].numel() - slope)

    @full_precision
    def inverse(self, z: Tensor, label: Tensor | None = None) -> Transformed:
        """Map the line back to the interval."""
        self.require(z, label)
        low, high = self.bounds
        share = torch.sigmoid(z)
        value = low + (high - low) * (share - self.eps) / (1 - 2 * self.eps)
        slope = flatten(torch.nn.functional.logsigmoid(z) + torch.nn.functional.logsigmoid(-z)).sum(
            1
        )
        return Transformed(value, slope - self._log_rate * z[0].numel())

    @property
    def _log_rate(self) -> Tensor:
        return ((1 - 2 * self.eps) / self.bounds.diff()[0]).log()

    def _interval(self, low: float, high: float) -> tuple[float, float]:
        margin = (high - low) / 20 if high > low else 0.5
        return (
            low - margin if self.low is None else self.low,
            high + margin if self.high is None else self.high,
        )
