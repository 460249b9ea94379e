"""What every time law is: a density on (0, 1), drawn through its quantile function."""

from __future__ import annotations

import abc
import math
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import torch
from torch import Tensor

from precond_gm.errors import InvalidInputError

__all__ = ["AbstractTimeLaw", "FixedTimeLaw", "Sampling", "check_sampling", "uniforms"]

Sampling = Literal["iid", "stratified", "low-discrepancy"]
SAMPLINGS = ("iid", "stratified", "low-discrepancy")


def uniforms(
    n: int,
    sampling: str,
    *,
    device: torch.device | None,
    dtype: torch.dtype,
    generator: torch.Generator | None,
) -> Tensor:
    r"""Draw n numbers, each uniform on [0, 1).

    ``stratified`` puts one number into each of n equal cells, in random order. ``low-discrepancy``
    is one random rotation of the equidistant grid. Both keep the law of every single row exactly,
    so the gradient stays unbiased even where the rows of a batch are sorted (by label, say).

    References:
        arXiv:2107.00630, appendix I.1 (the rotated grid).
    """
    home = generator.device if generator is not None else device
    if sampling == "iid":
        return torch.rand(n, device=home, dtype=dtype, generator=generator).to(device)
    if sampling == "stratified":
        cell = torch.randperm(n, device=home, generator=generator)
        u = (cell + torch.rand(n, device=home, dtype=dtype, generator=generator)) / n
        return u.to(device)
    start = torch.rand(1, device=home, dtype=dtype, generator=generator)
    return ((start + torch.arange(n, device=home, dtype=dtype) / n) % 1.0).to(device)


class AbstractTimeLaw(abc.ABC):
    """Law of t in training: quantile function, distribution function and log-density.

    Attributes:
        sampling: How a batch is drawn: ``iid``, ``stratified`` or ``low-discrepancy``. All three
            have the same law for every row; the last two have less variance over the batch.
        is_discrete: Whether only finitely many times are drawn.
    """

    sampling: Sampling = "iid"
    is_discrete: ClassVar[bool] = False

    @abc.abstractmethod
    def quantile(self, u: Tensor) -> Tensor:
        """Map uniform numbers in [0, 1] to times, increasingly."""

    @abc.abstractmethod
    def cdf(self, t: Tensor) -> Tensor:
        """Return the probability of a time below ``t``."""

    @abc.abstractmethod
    def log_density(self, t: Tensor) -> Tensor:
        """Return the log-density at times in (0, 1)."""

    def sample(
        self,
        n: int,
        *,
        t_max: float = 1.0,
        device: torch.device | str | None = None,
        dtype: torch.dtype = torch.float32,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Draw n times from the law restricted to ``t <= t_max``, strictly inside (0, 1).

        Args:
            n: Number of rows.
            t_max: Largest time; the law is conditioned on it, not clipped (no atom there).
            device: Device of the result.
            dtype: Type of the result. Drawn in float32 or wider, then cast: half precision has a
                few hundred times, and no normal quantiles.
            generator: Source of randomness; drawn on its device, then moved.
        """
        home = torch.device(device) if device is not None else None
        wide = torch.promote_types(dtype, torch.float32)
        u = uniforms(n, self.sampling, device=home, dtype=wide, generator=generator)
        if t_max < 1:
            u = u * self.cdf(torch.full((), t_max, device=u.device, dtype=wide))
        tiny = torch.finfo(dtype).eps
        top = min(t_max, 1 - tiny)
        if dtype is not wide:  # the largest time of the narrow type, so that no cast rounds up
            top = math.floor(2 * top / tiny) * tiny / 2
        return self.quantile(u).to(dtype).clamp(tiny, top)

    def importance(self, t: Tensor) -> Tensor | None:
        """Return a factor of each row that undoes the emphasis of the law; None for no factor."""
        return None

    def log_emphasis(self, t: Tensor) -> Tensor:
        """Return the logarithm of density times importance: all that an objective sees of it."""
        factor = self.importance(t)
        return self.log_density(t) if factor is None else self.log_density(t) + factor.log()


@dataclass(frozen=True)
class FixedTimeLaw(AbstractTimeLaw):
    """A time law without state: a frozen dataclass of its options.

    Args:
        sampling: How a batch is drawn: ``iid``, ``stratified`` or ``low-discrepancy``.
    """

    sampling: Sampling = field(default="iid", kw_only=True)

    def __post_init__(self) -> None:
        check_sampling(self.sampling)


def check_sampling(sampling: str) -> None:
    """Check the name of a way of sampling.

    Raises:
        InvalidInputError: No such way.
    """
    if sampling not in SAMPLINGS:
        raise InvalidInputError(f"sampling is one of {', '.join(SAMPLINGS)}; got {sampling!r}.")
