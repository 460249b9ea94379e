"""Change of schedule after training: one network, sampled along another path."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from precond_gm.errors import IncompatiblePartsError
from precond_gm.numerics.conversion import Affine, check_conversion, conversion
from precond_gm.numerics.rows import expand
from precond_gm.paths.base import AbstractPath
from precond_gm.values import Coefficients, Field, TargetKind

__all__ = ["Rescheduled"]

_OF_THE_NOISE = (TargetKind.X0, TargetKind.NOISE, TargetKind.SCORE)


@final
@dataclass(frozen=True)
class Rescheduled:
    r"""Field on the path ``wanted``, from a network that was trained on the path ``trained``.

    Points of two paths are multiples of each other at times with the same ratio of data to noise:
    ``z^B_t = c z^A_s`` with ``beta_A(s) / n_A(s) = beta_B(t) / n_B(t)``, where ``n`` is alpha, and
    ``sqrt(alpha^2 + gamma^2)`` when the source is a standard normal that is independent of the
    data. Hence ``E[z1 | z^B_t = z] = E[z1 | z^A_s = z / c]``, and every other kind follows.

    Args:
        field: The trained network, ``(t, z, label) -> prediction``.
        trained: The path that it was trained on.
        wanted: The path to sample along.
        prediction: What the network predicts.
        give: What this field gives on the wanted path; the same as ``prediction`` by default.
        gaussian_source: Whether the source is N(0, I) and independent of the data; needed where
            one of the paths has noise of its own.

    Raises:
        IncompatiblePartsError: A path with noise without ``gaussian_source``, or a kind that one of
            the paths does not have.

    References:
        2310.19075 (changes of time and scale); 2412.06264 (change of scheduler after training).

    Example:
        >>> from precond_gm.paths import LinearPath, Trigonometric
        >>> to = Rescheduled(lambda t, z, label: z, LinearPath(), Trigonometric(), TargetKind.X1)
        >>> f"{to(torch.tensor([0.5]), torch.ones(1, 1)).item():.4f}"
        '0.7071'
    """

    field: Field
    trained: AbstractPath
    wanted: AbstractPath
    prediction: TargetKind
    give: TargetKind | None = None
    gaussian_source: bool = False

    def __post_init__(self) -> None:
        if not self.gaussian_source and (self.trained.has_noise or self.wanted.has_noise):
            raise IncompatiblePartsError(
                f"a network trained on {self.trained!r} can be sampled along {self.wanted!r} only "
                f"if the source is a standard normal that is independent of the data: noise of a "
                f"path's own is not a multiple of z0. Use the coupling 'independent' and "
                f"gaussian_source=True, or two paths without noise."
            )
        times = torch.linspace(0.1, 0.9, 9, dtype=torch.float64)
        ends = ((self.trained, self.prediction, self._via), (self.wanted, self._via, self.given))
        for path, have, want in ends:
            c = path.coefficients(times)
            check_conversion(c, have, want, gaussian_source=self.gaussian_source)

    @property
    def given(self) -> TargetKind:
        """What this field gives."""
        return self.give or self.prediction

    def __call__(self, t: Tensor, z: Tensor, label: Tensor | None = None) -> Tensor:
        """Give ``given`` on the wanted path, at times ``t`` (shape batch) and points ``z``."""
        if t.shape[0] > 1 and t.stride(0) == 0:  # one time for all rows is looked for once
            t = t[:1]
        there = self.wanted.coefficients(t)
        s = self.time(t)
        here = self.trained.coefficients(s)
        scale = expand(self._size(there) / self._size(here), z).to(z.dtype)
        point = z / scale
        output = self.field(s.expand(z.shape[0]), point, label)
        mean = self._convert(here, self.prediction, self._via)(output, point)
        if self._via is TargetKind.SCORE:
            mean = mean / scale
        return self._convert(there, self._via, self.given)(mean, z)

    def back(self) -> Rescheduled:
        """Return the way back, for its ``time``: the field stays the same."""
        x1, source = TargetKind.X1, self.gaussian_source
        return Rescheduled(self.field, self.wanted, self.trained, x1, gaussian_source=source)

    def time(self, t: Tensor) -> Tensor:
        """Return the time on the trained path with the same share of data, by bisection.

        Few times are looked for in 64 sections at once: a schedule costs its calls, not its times.
        """
        share = self._share(self.wanted.coefficients(t)).unsqueeze(1)
        bits = 54 if t.dtype is torch.float64 else 24  # of a number below one
        per_round = 6 if t.shape[0] < 64 else 1
        borders = torch.arange(1, 2**per_round, dtype=t.dtype, device=t.device)
        low, width = torch.zeros_like(t), 1.0
        for _ in range(bits // per_round):
            width /= 2**per_round
            at = low.unsqueeze(1) + width * borders
            found = self._share(self.trained.coefficients(at.flatten())).view_as(at)
            low = low + width * (found <= share).sum(1)
        return low + width / 2

    @property
    def _via(self) -> TargetKind:
        """The mean that is carried over: one that is known at t = 0 wherever the others are."""
        if self.prediction not in _OF_THE_NOISE or self.given not in _OF_THE_NOISE:
            return TargetKind.X1
        return TargetKind.SCORE if self.gaussian_source else TargetKind.X0

    def _convert(self, c: Coefficients, have: TargetKind, want: TargetKind) -> Affine:
        return conversion(c, have, want, gaussian_source=self.gaussian_source)

    def _size(self, c: Coefficients) -> Tensor:
        return (c.alpha.square() + c.variance).sqrt() + c.beta

    def _share(self, c: Coefficients) -> Tensor:
        return c.beta / self._size(c)
