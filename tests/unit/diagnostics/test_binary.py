"""Metrics of binary samples against laws that can be enumerated."""

from __future__ import annotations

import json
import math

import pytest
import torch

from precond_gm.diagnostics.binary import binary
from precond_gm.errors import InvalidInputError


def draw(probabilities: list[float], n: int, seed: int) -> torch.Tensor:
    g = torch.Generator().manual_seed(seed)
    return (torch.rand(n, len(probabilities), generator=g) < torch.tensor(probabilities)).float()


def test_kl_of_independent_bits() -> None:
    """Oracle: the sum of Bernoulli divergences. Tolerance: 0.01 nats of 200,000 rows each."""
    p, q = [0.3, 0.5, 0.9], [0.4, 0.5, 0.8]
    exact = sum(
        a * math.log(a / b) + (1 - a) * math.log((1 - a) / (1 - b))
        for a, b in zip(p, q, strict=True)
    )
    report = binary(draw(q, 200_000, 0), draw(p, 200_000, 1), smoothing=1e-3)
    assert report.kl == pytest.approx(exact, abs=0.01)
    entropy = -sum(a * math.log(a) + (1 - a) * math.log(1 - a) for a in p)
    assert report.cross_entropy == pytest.approx(exact + entropy, abs=0.01)


def test_smoothing_puts_independent_bits_where_they_belong() -> None:
    """Oracle: with all weight on the product law, an unseen state has the product's probability."""
    data = torch.tensor([[1.0, 1.0, 0.0]]).expand(2, 3)
    samples = torch.zeros(1000, 3)
    samples[:30, 0] = 1
    samples[-1, 1] = 1  # the first two bits never occur together
    report = binary(samples, data, smoothing=0.5)
    first, second, third = 30.5 / 1001, 1.5 / 1001, 0.5 / 1001
    exact = 0.5 * first * second * (1 - third)
    assert report.cross_entropy == pytest.approx(-math.log(exact))


def test_moments_of_pairs_and_triples() -> None:
    """Oracle: parity data: third bit is the product of two signs, so only triples see it."""
    g = torch.Generator().manual_seed(0)
    signs = torch.randint(0, 2, (20_000, 3), generator=g).double() * 2 - 1
    parity = signs.clone()
    parity[:, 2] = signs[:, 0] * signs[:, 1]
    report = binary(signs, parity)
    single, pair, triple = report.moments
    assert triple.error == pytest.approx(1, abs=0.03)
    assert max(single.error, pair.error) < 4 * single.floor
    assert report.total_variation == pytest.approx(0.5, abs=0.02)
    assert report.kl == pytest.approx(math.log(2), abs=0.03)


def test_floor_is_the_error_of_equal_laws() -> None:
    """Oracle: two samples of one law; the mean square over 560 triples is near its expectation."""
    a, b = draw([0.3] * 16, 4000, 0), draw([0.3] * 16, 8000, 1)
    triple = binary(a, b).moments[2]
    assert triple.error == pytest.approx(triple.floor, rel=0.15)


def test_many_bits_have_moments_and_no_histogram() -> None:
    """Oracle: 2**30 states are not counted; triples are drawn, and all their bits differ."""
    report = binary(draw([0.5] * 30, 100, 0), draw([0.5] * 30, 100, 1))
    assert report.kl is None
    assert report.moments[2].data.shape == (2000,)
    json.dumps(report.to_dict())
    assert "binary/kl" not in report.as_metrics()
    assert len(report.plot().axes) == 3


def test_samples_that_are_no_bits_are_refused() -> None:
    """Oracle: the message counts the values and names the cure."""
    with pytest.raises(InvalidInputError, match=r"objective\.finish"):
        binary(torch.rand(8, 3), draw([0.5] * 3, 8, 0))
    with pytest.raises(InvalidInputError, match="smoothing"):
        binary(draw([0.5] * 3, 8, 0), draw([0.5] * 3, 8, 0), smoothing=0.0)


def test_classifier_sees_what_only_triples_see() -> None:
    """Oracle: the Bayes classifier of parity against coins is right in 3/4 of the rows."""
    g = torch.Generator().manual_seed(0)
    signs = torch.randint(0, 2, (6000, 3), generator=g).double() * 2 - 1
    parity = signs.clone()
    parity[:, 2] = signs[:, 0] * signs[:, 1]
    told = binary(signs, parity, generator=g).c2st
    assert told.low < 0.75 < told.high
    assert told.value == pytest.approx(0.75, abs=0.04)  # five deviations of 4,000 rows
    same = binary(signs[:3000], signs[3000:], generator=g)
    assert same.as_metrics()["binary/c2st"] == pytest.approx(0.5, abs=0.04)


@pytest.mark.parametrize("bits", [1, 2])
def test_fewer_than_three_bits_have_no_triples(bits: int) -> None:
    """Oracle: k bits have no (k + 1)-tuples; the divergence is counted all the same."""
    report = binary(draw([0.5] * bits, 4000, 0), draw([0.5] * bits, 4000, 1))
    assert report.moments[2].data.shape == (0,)
    assert "binary/triple_error" not in report.as_metrics()
    assert ("binary/pair_error" in report.as_metrics()) == (bits == 2)
    assert report.kl == pytest.approx(0, abs=0.01)  # 2^bits / 8,000 nats on average
    json.dumps(report.to_dict(), allow_nan=False)
    assert len(report.plot().axes) == 3


def test_one_row_is_refused() -> None:
    """Oracle: the message names both numbers of rows."""
    rows = draw([0.5] * 3, 8, 0)
    with pytest.raises(InvalidInputError, match="got 1 and 8"):
        binary(rows[:1], rows)
    with pytest.raises(InvalidInputError, match="got 8 and 1"):
        binary(rows, rows[:1])


def test_the_rounding_that_is_told_works() -> None:
    """Oracle: the statement in the message, run on the samples that were refused."""
    data, samples = draw([0.5] * 3, 8, 0), torch.rand(8, 3)
    with pytest.raises(InvalidInputError, match=r"the identity for 'squared'") as refused:
        binary(samples, data)
    told = str(refused.value).split("Round them: ")[1].rstrip(".")
    rounded = eval(told, {"torch": torch, "samples": samples, "data": data})
    assert torch.equal(rounded, samples.round())
    assert binary(rounded, data).num_samples == 8
    with pytest.raises(InvalidInputError, match="binary data hold two values; got 24"):
        binary(data, samples)
