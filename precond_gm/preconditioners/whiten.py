"""Whitening per label: the closed-form answer to an ill-conditioned covariance."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, TypeAlias, final

import torch
from torch import Tensor

from precond_gm.errors import InvalidInputError
from precond_gm.numerics.moments import Moments
from precond_gm.preconditioners.affine import AbstractAffine
from precond_gm.preconditioners.gathering import Gathered
from precond_gm.preconditioners.laws import (
    complete,
    ledoit_wolf,
    log_likelihood,
    pooled,
    towards,
)
from precond_gm.preconditioners.operators import Rotated

__all__ = ["Form", "Shrinkage", "Whiten", "check_size", "factors"]

Form: TypeAlias = Literal["zca", "pca"]
Shrinkage: TypeAlias = Literal["auto", "none", "ledoit-wolf", "pooled"]
Estimate: TypeAlias = Callable[[Moments, Moments], Tensor]
SHARES = (0.05, 0.2, 0.5, 1.0)  # of the pooled covariance, tried on held-out rows
MAX_NUMBERS = 2**28  # of all matrices together: 2 GiB in float64


@final
class Whiten(AbstractAffine[Moments]):
    r"""Give every label mean 0 and covariance I.

    .. math::
        z = B \Lambda^{-1/2} V^T (x - \mu), \qquad \Sigma = V \Lambda V^T

    with ``B = V`` (ZCA: the whitening nearest to the identity) or ``B = I`` (PCA: coordinates in
    the order of falling variance). After it Sigma_t = I for every t, on the linear path and on
    the bridge, under the independent coupling. Cost: O(d^2) both ways, O(d^3) for the fit.

    Args:
        form: ``zca`` or ``pca``.
        shared: Use one map for all labels.
        shrinkage: How a label's covariance is estimated: ``none``, ``ledoit-wolf`` (on
            standardised features), ``pooled`` (towards the covariance within labels), or ``auto``,
            the one with the best held-out Gaussian likelihood.
        floor: Smallest eigenvalue, relative to the label's largest, that a direction is scaled
            by. Directions below it, such as those of a singular covariance, stay narrower than 1,
            and the report says how many there are.

    Example:
        >>> import torch
        >>> from precond_gm.preconditioners import Whiten
        >>> x = torch.randn(2000, 2) @ torch.tensor([[10.0, 9.0], [0.0, 0.1]])
        >>> report = Whiten().fit(x)
        >>> report.condition_before > 1e3, report.condition_after < 2
        (True, True)
    """

    def __init__(
        self,
        form: Form = "zca",
        shared: bool = False,
        shrinkage: Shrinkage = "auto",
        floor: float = 1e-10,
    ) -> None:
        super().__init__(shared)
        for name, value, allowed in (
            ("form", form, ("zca", "pca")),
            ("shrinkage", shrinkage, ("auto", "none", "ledoit-wolf", "pooled")),
        ):
            if value not in allowed:
                raise InvalidInputError(f"{name} is one of {', '.join(allowed)}; got {value!r}.")
        self.form = form
        self.shrinkage = shrinkage
        self.floor = floor

    def make_operator(self, labels: int, event_shape: tuple[int, ...]) -> Rotated:
        """Allocate the operator."""
        size = torch.Size(event_shape).numel()
        return Rotated(labels, check_size(labels, size), back=self.form == "zca")

    def measure(self, rows: Tensor) -> Moments:
        """Return the moments of rows."""
        check_size(1, rows.shape[1])
        return Moments.of(rows)

    def choose(self, data: Gathered[Moments]) -> tuple[str, Estimate]:
        """Return the estimate with the best held-out likelihood, among those allowed."""
        laws, _ = complete(data.fitted)
        common = pooled(data.fitted)
        candidates = {
            name: estimate
            for name, estimate in _candidates(data, self.floor).items()
            if self.shrinkage in ("auto", name.split(" ")[0])
        }
        if len(candidates) == 1:
            return next(iter(candidates.items()))

        def score(estimate: Estimate) -> float:
            return sum(
                log_likelihood(held, law.mean, estimate(law, common), self.floor)
                for law, held in zip(laws, data.held, strict=True)
                if held is not None
            )

        return max(candidates.items(), key=lambda item: score(item[1]))

    def solve(self, laws: list[Moments | None], choice: Any, like: Tensor) -> tuple[str, ...]:
        """Fill the operator."""
        name, estimate = choice
        common = pooled(laws)
        there, notes = complete(laws)
        covariances = torch.stack([estimate(law, common) for law in there])
        scale, vectors, low = factors(covariances, common.covariance, self.floor)
        values = {"mean": torch.stack([law.mean for law in there]), "scale": scale}
        if self.form == "zca":
            values["turn_back"] = vectors
        self.operator.set(like, turn=vectors.mT, **values)
        return (f"shrinkage: {name}", *notes, *low)


def check_size(labels: int, size: int) -> int:
    """Refuse matrices that do not fit into memory.

    Raises:
        InvalidInputError: With the map to use instead.
    """
    if labels * size * size > MAX_NUMBERS:
        raise InvalidInputError(
            f"a full covariance of {size} features for {labels} labels holds "
            f"{labels * size * size:.3g} numbers, more than {MAX_NUMBERS:.3g}. Use 'spectral' or "
            f"'patch' for images, 'low-rank' otherwise, or shared=True."
        )
    return size


def factors(
    covariances: Tensor, common: Tensor, floor: float
) -> tuple[Tensor, Tensor, tuple[str, ...]]:
    """Return ``eigenvalue**-0.5`` (falling variance) and eigenvectors, floored, with a note."""
    values, vectors = torch.linalg.eigh(covariances)
    values, vectors = values.flip(-1), vectors.flip(-1)
    largest = values[:, :1]
    # A label whose rows are all equal takes its scale from the others.
    largest = torch.where(largest > 0, largest, torch.linalg.matrix_norm(common, 2))
    low = int((values < floor * largest).sum())
    note = (
        f"{low} of {values.numel()} eigenvalues are below {floor:g} of their label's largest and "
        f"are raised to that: these directions stay narrow"
    )
    return torch.maximum(values, floor * largest).rsqrt(), vectors, (note,) if low else ()


def _candidates(data: Gathered[Moments], floor: float) -> dict[str, Estimate]:
    fourths = _fourth_moments(data)
    found: dict[str, Estimate] = {
        "none": lambda law, common: law.covariance,
        "ledoit-wolf": lambda law, common: ledoit_wolf(law.covariance, law.count, fourths),
    }
    if len(data.fitted) > 1:
        for share in SHARES:
            found[f"pooled {share:g}"] = _towards_pooled(share)
    return found


def _towards_pooled(share: float) -> Estimate:
    return lambda law, common: towards(law.covariance, common.covariance, share)


def _fourth_moments(data: Gathered[Moments]) -> float:
    """Return the mean over rows of ``|u|^4``, u standardised within labels."""
    laws, _ = complete(data.fitted)
    rows = data.rows.x.flatten(1).to(torch.float64)
    index = torch.zeros(rows.shape[0], dtype=torch.long, device=rows.device)
    index = index if data.rows.label is None or len(laws) == 1 else data.rows.label
    mean = torch.stack([law.mean for law in laws])
    variance = torch.stack([law.covariance.diagonal() for law in laws])
    safe = torch.where(variance > 0, variance, 1.0)
    length = ((rows - mean[index]).square() / safe[index]).sum(1)
    return float(length.square().mean())
