"""The affine competitor of a network: fitted from moments on rows that are never judged."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from precond_gm.diagnostics.end_moments import EndMoments
from precond_gm.numerics.covariance import EndCovariance
from precond_gm.numerics.moments import Moments
from precond_gm.numerics.regression import gain, target_row
from precond_gm.values import Coefficients, TargetKind

__all__ = ["Affine", "Baseline"]


@dataclass(frozen=True)
class Affine:
    """Predictor ``target_mean[label] + (z - mean[label]) gain^T`` at one time.

    Attributes:
        gain: Shape ``dim dim``.
        mean: Mean of z_t for each label, shape ``labels dim``.
        target_mean: Mean of the target for each label.
    """

    gain: Tensor
    mean: Tensor
    target_mean: Tensor

    def __call__(self, z: Tensor, label: Tensor | None) -> Tensor:
        """Predict the target at flat rows ``z`` in float64."""
        index = torch.zeros(z.shape[0], dtype=torch.long, device=z.device)
        index = index if label is None else label
        return self.target_mean[index] + (z - self.mean[index]) @ self.gain.T


@dataclass(frozen=True)
class Baseline:
    """Best linear predictor of the target given z_t and the label, for every t.

    One gain for all labels and one intercept for each: the network knows the label, so its
    competitor does too. A label that the moments have not seen gets the mean of all rows.

    Attributes:
        covariance: Within labels.
        source_mean: Mean of z0 for each label, shape ``labels dim``.
        data_mean: Mean of z1 for each label.
    """

    covariance: EndCovariance
    source_mean: Tensor
    data_mean: Tensor

    @classmethod
    def of(cls, moments: EndMoments, num_labels: int) -> Baseline:
        """Fit to moments; ``num_labels`` is 1 without labels."""
        pooled = moments.pooled[0].merge(moments.pooled[1])
        mean = pooled.mean.repeat(num_labels, 1)
        for label in moments.halves:
            part: Moments = moments.rows_of(label)
            if part.count:
                mean[max(label, 0)] = part.mean
        covariance = moments.covariance(moments.within)
        if moments.is_joint:
            source_mean, data_mean = mean.chunk(2, 1)
            return cls(covariance, source_mean, data_mean)
        return cls(covariance, torch.zeros_like(mean), mean)

    def at(self, c: Coefficients, kind: TargetKind) -> Affine:
        """Return the predictor at the one time of ``c``."""
        row = target_row(c, kind)
        return Affine(
            gain(self.covariance, c, kind)[0],
            c.alpha * self.source_mean + c.beta * self.data_mean,
            row.source * self.source_mean + row.data * self.data_mean,
        )
