"""Contract check of a coupling: run it on your own class."""

from __future__ import annotations

import torch
from torch import Tensor

from precond_gm.couplings import REGISTRY, AbstractCoupling
from precond_gm.diagnostics.pair_measures import skew_of
from precond_gm.errors import InvalidInputError
from precond_gm.values import Pairing

__all__ = ["check_coupling"]

_LABELS, _ROWS = 3, 24


def check_coupling(coupling: str | AbstractCoupling) -> None:
    """Check that a coupling keeps its contract.

    ``batch`` rows come out with the shape and dtype that went in; every data row is a data row of
    its label; the same generator gives the same pairs and the global generator is left alone; one
    row, unequal label counts and no labels work; weights are positive with mean one; and where the
    class promises it, mean and second moments of data and noise are kept, those of the noise within
    each label as well. A coupling that cannot do without labels refuses a batch without them, in
    words.

    Args:
        coupling: Name in the registry, or an instance. It is fitted here if it needs it.

    Raises:
        AssertionError: With what is wrong.

    Example:
        >>> check_coupling("independent")
    """
    part = REGISTRY.resolve(coupling)
    for dtype in (torch.float32, torch.float64, torch.bfloat16):
        _check_batch(part, dtype, (2, 3))
    _check_batch(part, torch.float32, (4,), rows=1)
    try:
        _check_batch(part, torch.float32, (4,), labelled=False)
    except InvalidInputError as error:  # a coupling may need labels, if it says so
        if "label" not in str(error):
            raise AssertionError(f"{part!r}: without labels it says: {error}") from error
    _check_moments(part)


def _rows(rows: int, event: tuple[int, ...], dtype: torch.dtype, seed: int) -> Tensor:
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(rows, *event, generator=draw).to(dtype)


def _labels(rows: int) -> Tensor:
    """Return unequal counts in mixed order; label 1 has the fewest rows."""
    label = torch.zeros(rows, dtype=torch.long)
    label[1::3], label[5:6] = 2, 1
    return label


def _fit(part: AbstractCoupling, z1: Tensor, label: Tensor | None) -> None:
    if part.needs_fit or part.state_dict():
        part.fit(z1, label, generator=torch.Generator().manual_seed(7))


def _pair(part: AbstractCoupling, z0: Tensor, z1: Tensor, label: Tensor | None) -> Pairing:
    return part.pair(z0, z1, label, generator=torch.Generator().manual_seed(2))


def _check_batch(
    part: AbstractCoupling,
    dtype: torch.dtype,
    event: tuple[int, ...],
    *,
    rows: int = _ROWS,
    labelled: bool = True,
) -> None:
    z0, z1 = _rows(rows, event, dtype, 0), _rows(rows, event, dtype, 1) + 3
    label = _labels(rows) if labelled else None
    _fit(part, z1, label)
    state = torch.get_rng_state()
    got, again = _pair(part, z0, z1, label), _pair(part, z0, z1, label)
    assert torch.equal(state, torch.get_rng_state()), f"{part!r}: it drew from the global generator"
    for name, one, two in (("z0", got.z0, again.z0), ("z1", got.z1, again.z1)):
        assert one.shape == z0.shape, f"{part!r}: {name} {tuple(z0.shape)} -> {tuple(one.shape)}"
        assert one.dtype == dtype, f"{part!r}: {name} {dtype} -> {one.dtype}"
        assert torch.equal(one, two), f"{part!r}: {name} differs under the same generator"
    if label is not None:
        assert got.label is not None, f"{part!r}: the labels were dropped"
        _check_labels(part, got, z1, label)
    if got.weight is not None:
        weight = got.weight.double()
        assert weight.shape == (rows,), f"{part!r}: weight has shape {tuple(weight.shape)}"
        assert bool((weight >= 0).all()), f"{part!r}: a negative weight"
        assert abs(float(weight.mean()) - 1) < 1e-2, f"{part!r}: mean weight {weight.mean()}"


def _check_labels(part: AbstractCoupling, got: Pairing, z1: Tensor, label: Tensor) -> None:
    assert got.label is not None
    same = (got.z1.flatten(1)[:, None] == z1.flatten(1)[None, :]).all(-1)
    assert bool(same.any(1).all()), f"{part!r}: a data row came out that did not go in"
    agree = (same & (got.label[:, None] == label[None, :])).any(1)
    assert bool(agree.all()), f"{part!r}: a data row lost its label"


def _check_moments(part: AbstractCoupling) -> None:
    """Compare moments with what went in; six standard errors, or deviations, of that many rows."""
    rows, repeats = 120, 8
    label = torch.arange(rows) % _LABELS
    centre = 4.0 * torch.eye(_LABELS, 2, dtype=torch.float64)
    z1 = 0.1 * _rows(rows, (2,), torch.float64, 3) + centre[label]
    _fit(part, z1, label)
    draw = torch.Generator().manual_seed(4)
    pairs = [
        part.pair(_rows(rows, (2,), torch.float64, 10 + k), z1, label, generator=draw)
        for k in range(repeats)
    ]
    labels = torch.cat([label if p.label is None else p.label for p in pairs])
    noise, data = (torch.cat([getattr(p, end) for p in pairs]) for end in ("z0", "z1"))
    if not part.keeps_marginals:
        return
    for name, before, after in (("mean", z1, data), ("mean square", z1.square(), data.square())):
        limit = 6 * before.std(0) / (rows * repeats) ** 0.5
        gap = (after.mean(0) - before.mean(0)).abs()
        assert bool((gap < limit).all()), (
            f"{part!r}: the {name} of the data moved by {gap.max():.3g}"
        )
    remedy = "keep the noise as it was drawn, or say keeps_marginals = False"
    _check_noise(part, noise, torch.zeros_like(labels), remedy, "")
    if part.label_aware:
        remedy = "labels choose their noise. Solve within each label, or say label_aware = False"
        _check_noise(part, noise, labels, remedy, "within label {} ")


def _check_noise(
    part: AbstractCoupling, noise: Tensor, label: Tensor, remedy: str, where: str
) -> None:
    """Compare the noise of each label with N(0, I): its mean, then all first and second moments."""
    for k in sorted(set(label.tolist())):
        mine = noise[label == k]
        gap = float(mine.mean(0).abs().max())
        assert gap < 6 / mine.shape[0] ** 0.5, (
            f"{part!r}: {where.format(k)}the mean of the noise is {gap:.3g}: {remedy}"
        )
    for k, skew in skew_of(Pairing(noise, noise, label)).by_label.items():
        size = float(noise[label == k].square().mean())
        assert skew < 6, (
            f"{part!r}: {where.format(k)}the noise is {skew:.0f} standard deviations off N(0, I), "
            f"with a mean square of {size:.3g}: {remedy}"
        )
