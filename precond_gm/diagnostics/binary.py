"""Judge binary samples: exact divergence where states can be counted, and moments of bits."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from precond_gm.diagnostics.classifiers import c2st, share
from precond_gm.errors import InvalidInputError
from precond_gm.numerics.rows import check_rows
from precond_gm.numerics.statistics import Estimate
from precond_gm.values import AbstractReport

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["BinaryReport", "MomentErrors", "binary"]

MOST_BITS = 20  # a million states, 8 MB per histogram
MOST_TUPLES = 2000  # pairs or triples beyond that are drawn at random
MOST_JUDGED = 2000  # rows of each side that the classifier is shown


@dataclass(frozen=True)
class MomentErrors:
    """Error of the means of products of k bits (as signs), over many k-tuples.

    Attributes:
        order: Number k of bits.
        data: Mean products of the data, shape ``tuples``; empty where rows have fewer bits.
        samples: Mean products of the samples.
        error: Root mean square difference; NaN without tuples.
        floor: The same that two samples of one law of these sizes have on average.
    """

    order: int
    data: Tensor
    samples: Tensor
    error: float
    floor: float


@dataclass(frozen=True)
class BinaryReport(AbstractReport):
    """How far binary samples are from binary data.

    Attributes:
        moments: Errors of single bits, pairs and triples.
        cross_entropy: ``-E_data log q`` in nats per row, q the law of the samples; None where
            states cannot be counted.
        cross_entropy_error: Its standard error over the data rows.
        kl: ``KL(data || samples)`` in nats: the cross-entropy less the entropy of the data's own
            histogram. Its floor is not zero: a finite data set has a histogram of its own.
        total_variation: Half the L1 distance of the two histograms.
        c2st: Share of rows that a classifier tells right, out of fold; 1/2 is chance.
        num_samples: Number of samples.
    """

    moments: tuple[MomentErrors, MomentErrors, MomentErrors]
    cross_entropy: float | None
    cross_entropy_error: float | None
    kl: float | None
    total_variation: float | None
    c2st: Estimate
    num_samples: int

    def as_metrics(self) -> dict[str, float]:
        """Return the numbers under ``binary/...``; rows of two bits have no triples."""
        metrics = {}
        for name in ("cross_entropy", "kl", "total_variation"):
            value = getattr(self, name)
            if value is not None:
                metrics[f"binary/{name}"] = value
        for name, found in zip(("single", "pair", "triple"), self.moments, strict=True):
            metrics[f"binary/{name}_error"] = found.error
            metrics[f"binary/{name}_floor"] = found.floor
        metrics["binary/c2st"] = self.c2st.value
        metrics["binary/c2st_low"] = self.c2st.low
        return {name: value for name, value in metrics.items() if math.isfinite(value)}

    def plot(self) -> Figure:
        """Draw mean products of the samples against those of the data."""
        from precond_gm.plotting.binary import plot_moments

        return plot_moments(
            data=[found.data for found in self.moments],
            samples=[found.samples for found in self.moments],
            errors=[found.error for found in self.moments],
            floors=[found.floor for found in self.moments],
        )


def binary(
    samples: Tensor,
    data: Tensor,
    *,
    smoothing: float = 0.01,
    generator: torch.Generator | None = None,
) -> BinaryReport:
    """Compare binary samples with binary data.

    Up to 20 bits every state is counted. The law of the samples is their histogram, mixed with a
    share ``smoothing`` of independent bits of the same means, so that no state has probability
    zero: the price is at most ``-log(1 - smoothing)`` nats.

    Args:
        samples: Rows of two values, shape ``batch *event``, at least 2. A flow trained with the
            divergence ``bce`` gives them; one trained with ``squared`` gives real numbers, to be
            rounded to the nearer value first.
        data: Rows of the same two values, at least 2; held-out data, for a fair figure.
        smoothing: Share of independent bits, in (0, 1).
        generator: Source of the random pairs, triples and rows, where there are too many.

    Raises:
        InvalidInputError: More than two values, other values in samples than in data, or fewer
            than two rows of either.

    Example:
        >>> import torch
        >>> g = torch.Generator().manual_seed(0)
        >>> rows = torch.randint(0, 2, (4000, 3), generator=g).float()
        >>> report = binary(rows[:2000], rows[2000:])
        >>> report.kl < 0.01
        True
    """
    if not 0 < smoothing < 1:
        raise InvalidInputError(f"smoothing lies in (0, 1); got {smoothing}.")
    real, fake = _signs(data, samples)
    tuples = [_tuples(real.shape[1], order, generator) for order in (1, 2, 3)]
    moments = tuple(_moment_errors(real, fake, index) for index in tuples)
    entropy = entropy_error = kl = variation = None
    if real.shape[1] <= MOST_BITS:
        q = _smoothed(fake, smoothing)
        p = _histogram(real)
        surprise = -q[_codes(real)].log()
        entropy = float(surprise.mean())
        entropy_error = float(surprise.std() / math.sqrt(len(surprise)))
        kl = entropy + float(torch.xlogy(p, p).sum())
        variation = float((p - _histogram(fake)).abs().sum() / 2)
    first, second, third = moments
    return BinaryReport(
        (first, second, third),
        entropy,
        entropy_error,
        kl,
        variation,
        share(c2st(*_judged(fake, real, generator))),
        fake.shape[0],
    )


def _signs(data: Tensor, samples: Tensor) -> tuple[Tensor, Tensor]:
    """Return both as float64 signs of shape ``batch bits``."""
    check_rows(data, name="data")
    check_rows(samples, name="samples", event_shape=tuple(data.shape[1:]))
    few = {"data": len(data), "samples": len(samples)}
    if min(few.values()) < 2:
        raise InvalidInputError(
            f"binary compares at least 2 samples with 2 data rows; got {few['samples']} and "
            f"{few['data']}. Give more rows."
        )
    values = torch.unique(data)
    if values.numel() > 2:
        raise InvalidInputError(
            f"binary data hold two values; got {values.numel()} values from {float(values[0]):g} "
            f"to {float(values[-1]):g}. Threshold the data first, or use diagnostics.quality."
        )
    if not bool(torch.isin(samples, values.to(samples.dtype)).all()):
        raise InvalidInputError(
            f"samples hold the values of the data, {values.tolist()}; got "
            f"{torch.unique(samples).numel()} values from {float(samples.min()):g} to "
            f"{float(samples.max()):g}. Only a flow with the divergence 'bce' rounds its samples "
            f"itself (objective.finish; the identity for 'squared'). Round them: "
            f"torch.where(samples > {float(values.mean()):g}, data.max(), data.min())."
        )
    high = values[-1]
    real, fake = ((2.0 * (rows == high).double() - 1).flatten(1) for rows in (data, samples))
    return real, fake


def _tuples(bits: int, order: int, generator: torch.Generator | None) -> Tensor:
    """Return all tuples of different bits, or a random choice where there are too many."""
    if math.comb(bits, order) <= MOST_TUPLES:
        found = list(itertools.combinations(range(bits), order))  # none of fewer bits
        return torch.tensor(found, dtype=torch.long).reshape(-1, order)
    device = generator.device if generator is not None else None
    scores = torch.rand(MOST_TUPLES, bits, generator=generator, device=device)
    return scores.topk(order, dim=1).indices.cpu()


def _judged(fake: Tensor, real: Tensor, generator: torch.Generator | None) -> tuple[Tensor, Tensor]:
    """Return equally many random rows of both, so that guessing the side is right half the time."""
    size = min(len(fake), len(real), MOST_JUDGED)
    device = generator.device if generator is not None else None
    orders = [torch.randperm(len(x), generator=generator, device=device) for x in (fake, real)]
    return fake[orders[0][:size].to(fake.device)], real[orders[1][:size].to(real.device)]


def _moment_errors(real: Tensor, fake: Tensor, index: Tensor) -> MomentErrors:
    means = []
    for rows in (real, fake):
        chunks = [rows[:, part].prod(2).mean(0) for part in torch.split(index.to(rows.device), 64)]
        means.append(torch.cat(chunks) if chunks else rows.new_zeros(0))
    spread = 1 - means[0].square()  # variance of a product of signs
    floor = (spread.mean() * (1 / len(real) + 1 / len(fake))).sqrt()
    error = (means[0] - means[1]).square().mean().sqrt()
    return MomentErrors(index.shape[1], means[0], means[1], float(error), float(floor))


def _codes(signs: Tensor) -> Tensor:
    """Return the number of each row's state."""
    powers = 2 ** torch.arange(signs.shape[1], device=signs.device)
    return ((signs > 0).long() * powers).sum(1)


def _histogram(signs: Tensor) -> Tensor:
    counts = torch.bincount(_codes(signs), minlength=2 ** signs.shape[1])
    return counts.double() / len(signs)


def _smoothed(signs: Tensor, smoothing: float) -> Tensor:
    """Mix the histogram with independent bits of the same means, each at least half a count."""
    ones = (((signs > 0).double().sum(0) + 0.5) / (len(signs) + 1)).unbind()
    product = signs.new_ones(1)
    for chance in reversed(ones):  # each turn appends a lower binary digit; bit 0 is the lowest
        product = torch.stack([(1 - chance) * product, chance * product], 1).flatten()
    return (1 - smoothing) * _histogram(signs) + smoothing * product
