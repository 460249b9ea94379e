"""Couplings of the core: independent, weighted, within labels."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from precond_gm.couplings import REGISTRY, GibbsWeighted, Independent, WithinLabel
from precond_gm.couplings.base import AbstractCoupling
from precond_gm.errors import CheckpointError, InvalidInputError, InvalidTypeError
from precond_gm.testing.coupling import check_coupling
from precond_gm.values import Pairing


def rows(n: int, dim: int, seed: int) -> Tensor:
    return torch.randn(n, dim, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


class Cheapest(AbstractCoupling):
    """A wrong coupling: each data row takes its nearest noise row, so noise is skewed."""

    def pair(
        self,
        z0: Tensor,
        z1: Tensor,
        label: Tensor | None = None,
        *,
        generator: torch.Generator | None = None,
    ) -> Pairing:
        nearest = torch.cdist(z1.flatten(1).double(), z0.flatten(1).double()).argmin(1)
        return Pairing(z0[nearest], z1, label)


class Dot(AbstractCoupling):
    """A wrong coupling: small noise goes to small data, which are one label; all means are kept."""

    def pair(
        self,
        z0: Tensor,
        z1: Tensor,
        label: Tensor | None = None,
        *,
        generator: torch.Generator | None = None,
    ) -> Pairing:
        order, place = (z.flatten(1).double().norm(dim=1).argsort() for z in (z0, z1))
        return Pairing(z0[order][place.argsort()], z1, label)


class Shrunk(AbstractCoupling):
    """A wrong coupling: it makes noise smaller, and data wider about their mean."""

    def __init__(self, end: str) -> None:
        self.end = end

    def pair(
        self,
        z0: Tensor,
        z1: Tensor,
        label: Tensor | None = None,
        *,
        generator: torch.Generator | None = None,
    ) -> Pairing:
        if self.end == "noise":
            return Pairing(0.8 * z0, z1, label)
        far = (z1 - z1.mean(0)).flatten(1).norm(dim=1).argsort(descending=True)
        pairs = torch.stack([far[: len(far) // 2]] * 2, 1).flatten()  # the far half, twice
        kept = torch.cat([pairs, far[:1].expand(len(far) - len(pairs))])
        return Pairing(z0, z1[kept], None if label is None else label[kept])


class Shuffled(AbstractCoupling):
    """A wrong coupling: it moves data rows and leaves the labels where they were."""

    def pair(
        self,
        z0: Tensor,
        z1: Tensor,
        label: Tensor | None = None,
        *,
        generator: torch.Generator | None = None,
    ) -> Pairing:
        return Pairing(z0, z1.flip(0), label)


class Global(AbstractCoupling):
    """A wrong coupling: it draws from the global generator."""

    def pair(
        self,
        z0: Tensor,
        z1: Tensor,
        label: Tensor | None = None,
        *,
        generator: torch.Generator | None = None,
    ) -> Pairing:
        torch.manual_seed(0)
        return Pairing(z0[torch.randperm(z0.shape[0])], z1, label)


@pytest.mark.parametrize(
    ("part", "text"),
    [
        (Cheapest(), "the mean of the noise is"),
        (Dot(), r"within label . the noise is .* off N\(0, I\).* labels choose their noise"),
        (Shrunk("noise"), "the noise is .* with a mean square of 0.6.* keeps_marginals = False"),
        (Shrunk("data"), "of the data moved by"),
        (Shuffled(), "a data row lost its label"),
        (Global(), "it drew from the global generator"),
    ],
)
def test_the_contract_check_catches_wrong_couplings(part: AbstractCoupling, text: str) -> None:
    """Oracle: couplings that are wrong in one known way each."""
    with pytest.raises(AssertionError, match=text):
        check_coupling(part)


def test_independent_returns_what_it_got() -> None:
    """Oracle: identity of the tensors."""
    z0, z1, label = rows(3, 2, 0), rows(3, 2, 1), torch.arange(3)
    got = Independent().pair(z0, z1, label)
    assert (got.z0 is z0, got.z1 is z1, got.label is label, got.weight) == (True, True, True, None)
    assert Independent().is_independent


@pytest.mark.parametrize("epsilon", [0.5, 2.0])
def test_gibbs_tilts_the_variance_as_stated(epsilon: float) -> None:
    """Oracle: N(0,1) on both sides, squared distance: variance (1 + 2/eps)/(1 + 4/eps).

    Tolerance: six standard errors of 200,000 weighted rows, effective sample size counted.
    """
    z0, z1 = rows(200_000, 1, 0), rows(200_000, 1, 1)
    weight = GibbsWeighted(epsilon, relative=False).pair(z0, z1).weight
    assert weight is not None
    effective = float(weight.sum() ** 2 / weight.square().sum())
    exact = (1 + 2 / epsilon) / (1 + 4 / epsilon)
    for end in (z0, z1):
        variance = float((weight[:, None] * end.square()).mean())
        assert variance == pytest.approx(exact, abs=6 * exact * (2 / effective) ** 0.5)


def test_gibbs_keeps_label_frequencies() -> None:
    """Oracle: mean weight one within each label, unequal counts and one row included."""
    label = torch.tensor([0, 0, 0, 1, 2, 2])
    weight = GibbsWeighted(0.1).pair(rows(6, 2, 0), rows(6, 2, 1) * 9, label).weight
    assert weight is not None
    for k in range(3):
        assert float(weight[label == k].mean()) == pytest.approx(1.0)
    with pytest.raises(InvalidInputError, match="epsilon is a finite number above 0"):
        GibbsWeighted(0.0)


def test_within_label_wraps_by_name() -> None:
    """Oracle: plain transport inside the wrapper equals label-aware transport."""
    z0, z1, label = rows(30, 2, 0), rows(30, 2, 1), torch.arange(30) % 4
    wrapped = WithinLabel(("ot", {"within_label": False}))  # type: ignore[arg-type]
    assert wrapped.label_aware
    assert torch.equal(wrapped.pair(z0, z1, label).z0, REGISTRY.create("ot").pair(z0, z1, label).z0)
    assert WithinLabel().is_independent
    assert not WithinLabel("gibbs-weighted").keeps_marginals  # type: ignore[arg-type]
    with pytest.raises(InvalidTypeError, match="a coupling is a name"):
        WithinLabel(3)  # type: ignore[arg-type]


def test_state_of_another_coupling_is_refused() -> None:
    """Oracle: the error's text."""
    with pytest.raises(CheckpointError, match="Independent has no fitted state"):
        Independent().load_state_dict({"potentials": torch.zeros(2)})


def test_images_keep_their_shape() -> None:
    """Oracle: the set of images, before and after."""
    z0, z1 = (rows(5, 12, k).reshape(5, 3, 2, 2) for k in (0, 1))
    got = REGISTRY.create("ot").pair(z0, z1)
    assert got.z0.shape == z0.shape
    assert torch.equal(got.z0.sum((1, 2, 3)).sort().values, z0.sum((1, 2, 3)).sort().values)


@settings(max_examples=15, deadline=None)
@given(
    rows_=st.integers(1, 12),
    distinct=st.integers(1, 4),
    labels=st.integers(1, 4),
    seed=st.integers(0, 2**31),
    exponent=st.sampled_from([0, -15, 20]),
)
@pytest.mark.parametrize("name", REGISTRY.names())
def test_any_batch_is_paired(
    name: str, rows_: int, distinct: int, labels: int, seed: int, exponent: int
) -> None:
    """Oracle: rows that come out went in, with their label; weights are finite, with mean one.

    Duplicates, ties, one row, unequal label counts, entries whose squares leave float32.
    """
    draw = torch.Generator().manual_seed(seed)
    values = torch.randn(distinct, 2, generator=draw) * 10.0**exponent
    z0 = values[torch.randint(distinct, (rows_,), generator=draw)]
    z1 = values[torch.randint(distinct, (rows_,), generator=draw)]
    label = torch.randint(labels, (rows_,), generator=draw)
    part = fitted(name, z1, label)
    got = part.pair(z0, z1, label, generator=draw)
    assert got.z0.shape == got.z1.shape == z1.shape
    assert torch.equal(got.label, label)
    for k in range(labels):
        assert rows_of(got.z1[label == k]) <= rows_of(z1[label == k])
    assert rows_of(got.z0) <= rows_of(z0)
    if got.weight is not None:
        assert bool((got.weight >= 0).all())
        assert float(got.weight.double().mean()) == pytest.approx(1, rel=1e-2)


def rows_of(values: Tensor) -> set[tuple[float, ...]]:
    return set(map(tuple, values.tolist()))


def fitted(name: str, z1: Tensor, label: Tensor | None) -> AbstractCoupling:
    """Fit the coupling if it needs it, in few steps."""
    part = REGISTRY.create(name, **({"steps": 5, "tolerance": 1e9} if "semi" in name else {}))
    part.fit(z1, label, generator=torch.Generator().manual_seed(0))
    return part


@pytest.mark.parametrize(
    "name", sorted(set(REGISTRY.names()) - {"independent", "within-label", "gathered"})
)
def test_values_that_are_not_finite_are_refused(name: str) -> None:
    """Oracle: the error's text; couplings that compute no cost are left out."""
    z1, label = rows(8, 2, 0), torch.arange(8) % 2
    z1[3, 1] = torch.nan
    with pytest.raises(InvalidInputError, match=r"(?i)nan"):
        fitted(name, z1, label).pair(rows(8, 2, 1), z1, label)
