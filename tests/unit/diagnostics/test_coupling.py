"""The report on a coupling, on batches where the answer is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from precond_gm import couplings
from precond_gm.diagnostics.coupling import (
    compare_couplings,
    coupling,
    path_curvature,
    plot_comparison,
)
from precond_gm.diagnostics.pair_measures import skew_of
from precond_gm.errors import InvalidInputError, InvalidTypeError
from precond_gm.values import Pairing


def rows(n: int, dim: int, seed: int) -> Tensor:
    return torch.randn(n, dim, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def labelled(n: int = 240) -> tuple[Tensor, Tensor, Tensor]:
    label = torch.arange(n) % 8
    angle = label * math.pi / 4
    centre = 5 * torch.stack([angle.cos(), angle.sin()], 1)
    return rows(n, 2, 0), rows(n, 2, 1) * 0.3 + centre, label


def test_costs_of_a_batch() -> None:
    """Oracle: squared distances by numpy, scipy's assignment on them. Tolerance: float64 sums."""
    z0, z1 = rows(50, 3, 0), rows(50, 3, 1)
    cost = ((z1[:, None] - z0[None]) ** 2).sum(-1).numpy()
    report = coupling(z0, z1, None, "ot")
    assert report.cost_before == pytest.approx(np.trace(cost) / 50)
    assert report.cost_optimum == pytest.approx(cost[linear_sum_assignment(cost)].mean())
    assert report.cost_after == pytest.approx(report.cost_optimum)
    assert (report.data_used, report.noise_used, report.label_skew) == (1.0, 1.0, {})


def test_plain_transport_skews_labels_and_label_aware_does_not() -> None:
    """Oracle: noise within a label under permutation within labels is what was drawn, N(0, I)."""
    z0, z1, label = labelled()
    plain = coupling(z0, z1, label, ("ot", {"within_label": False}))
    aware = coupling(z0, z1, label, "ot")
    assert plain.is_skewed
    assert "Couple within each label" in plain.conclusion
    assert not aware.is_skewed
    assert set(aware.label_skew) == set(range(8))
    assert plain.cost_after < aware.cost_after == pytest.approx(aware.cost_optimum)


def test_skew_of_independent_noise_is_standard() -> None:
    """Oracle: mean 0 and deviation 1 of the score over 400 labels, six standard errors."""
    label = torch.arange(4000) % 400
    report = coupling(rows(4000, 6, 0), rows(4000, 6, 1), label, "independent")
    skew = torch.tensor(list(report.label_skew.values()))
    assert abs(float(skew.mean())) < 6 / 400**0.5
    assert 0.7 < float(skew.std()) < 1.4


def dot_and_ring(n: int = 600) -> tuple[Tensor, Tensor, Tensor]:
    """Return noise, and data of which label 0 is a dot in the middle of label 1, a ring."""
    label = torch.arange(n) % 2
    angle = 2 * math.pi * torch.rand(n, generator=torch.Generator().manual_seed(5))
    ring = 4 * torch.stack([angle.cos(), angle.sin()], 1) * label[:, None]
    return rows(n, 2, 0), ring + 0.1 * rows(n, 2, 1), label


def test_labels_that_choose_their_noise_by_distance_are_seen() -> None:
    """Oracle: plain transport gives a dot the near half of N(0, I), of variance 0.31, and the ring
    round it the far half, of variance 1.69; the means agree. Within labels, nothing is chosen.
    """
    z0, z1, label = dot_and_ring()
    part = couplings.REGISTRY.create("ot", within_label=False)
    pairs = part.pair(z0, z1, label)
    near, far = (float(pairs.z0[label == k].square().mean()) for k in (0, 1))
    assert (near, far) == pytest.approx((1 - math.log(2), 1 + math.log(2)), abs=0.1)
    plain = coupling(z0, z1, label, part, repeats=1)
    assert min(plain.label_skew.values()) > 6
    assert plain.conclusion.startswith("not usable with labels: the noise within a label is off")
    for name in ("ot", "independent", "pot.sinkhorn"):
        aware = coupling(z0, z1, label, name, repeats=1)
        assert aware.worst_skew < 4, name


def test_a_squeezed_label_is_seen() -> None:
    """Oracle: noise of variances 1.5 and 0.5 has the mean and the size of N(0, I), not its shape.

    In one label of 400 rows; and in labels of 20 rows, where all of them together show it.
    """
    noise, z1 = rows(400, 2, 0) * torch.tensor([1.5, 0.5]).sqrt(), rows(400, 2, 1)
    for count in (1, 20):
        found = coupling(noise, z1, torch.arange(400) % count, "independent")
        assert found.overall_skew > 5, count
        assert coupling(rows(400, 2, 0), z1, torch.arange(400) % count, "ot").worst_skew < 4


@pytest.mark.parametrize(("count", "dim"), [(1, 2), (3, 1), (8, 2), (40, 6), (12, 64)])
def test_the_skew_raises_no_false_alarm(count: int, dim: int) -> None:
    """Oracle: the score of noise that nobody chose is standard normal, or below: of 400 labels its
    mean is near 0, its deviation near 1, and 5 is reached by one in a million.
    """
    label = torch.arange(400 * count) % 400
    noise = rows(400 * count, dim, 3)
    weight = -torch.rand(len(label), generator=torch.Generator().manual_seed(4)).double().log()
    for pairing in (Pairing(noise, noise, label), Pairing(noise, noise, label, weight)):
        skew = skew_of(pairing)
        scores = torch.tensor(list(skew.by_label.values()))
        assert abs(float(scores.mean())) < 0.4
        assert 0.7 < float(scores.std()) < 1.3
        assert float(scores.max()) < 5
        assert abs(skew.overall) < 4


def test_repeated_noise_is_not_mistaken_for_skew() -> None:
    """Oracle: entropic pairs within labels draw noise with repetition, and keep its law."""
    label = torch.arange(1200) % 12
    z0, z1 = rows(1200, 8, 0), rows(1200, 8, 1) + label[:, None]
    report = coupling(z0, z1, label, "pot.sinkhorn", repeats=1)
    assert report.noise_used < 0.9
    assert report.worst_skew < 4


def test_many_dimensions_are_said_not_to_be_worth_it() -> None:
    """Oracle: at n = 256, d = 784, transport lowers the cost by about 9 % only."""
    report = coupling(rows(256, 784, 0), rows(256, 784, 1), None, "ot", repeats=1)
    assert 0.05 < report.saving < 0.10
    assert report.conclusion.startswith("hardly worth it: the cost falls by")


def test_plans_and_weights_are_described() -> None:
    """Oracle: entropy between 0 and log n; effective share below 1 under unequal weights."""
    z0, z1 = rows(40, 2, 0), rows(40, 2, 1)
    entropic = coupling(z0, z1, None, "pot.sinkhorn")
    assert entropic.plan_entropy is not None
    assert 0 < entropic.plan_entropy < math.log(40)
    assert entropic.marginal_error is not None
    assert entropic.data_used == 1.0 > entropic.noise_used
    assert coupling(z0, z1, None, "gibbs-weighted").effective_share < 1
    partial = coupling(z0, z1, None, ("pot.partial", {"share": 0.5}))
    assert partial.effective_share == pytest.approx(0.5)
    assert partial.cost_after < partial.cost_optimum


def test_the_plan_of_an_exact_coupling_is_a_permutation() -> None:
    """Oracle: entropy and marginal error of a permutation are 0, within labels and without."""
    z0, z1, label = labelled(64)
    for named in (label, None):
        report = coupling(z0, z1, named, "ot", repeats=1)
        assert (report.plan_entropy, report.marginal_error) == (0.0, 0.0)


@pytest.mark.parametrize(
    "part", ["gibbs-weighted", ("pot.partial", {"share": 0.6}), ("pot.unbalanced", {"rho": 0.1})]
)
def test_a_tilt_is_said_and_never_called_worth_it(part: object) -> None:
    """Oracle: data two deviations off in each feature pull the mean of the noise towards them, by
    numpy; the effective share of the rows is in the sentence. Partial(1) and 'ot' tilt nothing.
    """
    z0, z1 = rows(200, 2, 0), rows(200, 2, 1) + 2
    report = coupling(z0, z1, None, part, generator=torch.Generator().manual_seed(1))
    assert report.saving > 0.3
    assert report.conclusion.startswith("tilted: the pairs' noise has ")
    assert f"{report.effective_share:.0%} of the rows count, effectively" in report.conclusion
    assert not report.keeps_marginals
    if part == "gibbs-weighted":
        weight = couplings.REGISTRY.create("gibbs-weighted").pair(z0, z1).weight
        assert weight is not None
        mean = np.average(z0.numpy(), axis=0, weights=weight.numpy())
        gap = np.linalg.norm(mean - z0.numpy().mean(0)) / math.sqrt(z0.numpy().var(0).sum())
        assert report.noise_shift == pytest.approx(gap)
        assert gap > 0.1
    names = report.plot().axes[0].get_yticklabels()
    assert names[0].get_text().endswith("(tilted)")
    for whole in ("ot", ("pot.partial", {"share": 1.0})):
        kept = coupling(z0, z1, None, whole)
        assert kept.conclusion.startswith("worth it")
        assert (kept.noise_shift, kept.noise_spread) == pytest.approx((0.0, 1.0))


def test_a_tilt_with_labels_says_how_far_their_noise_is_off() -> None:
    """Oracle: 'gibbs-weighted' on clusters away from the origin moves the noise of each label."""
    report = coupling(*labelled(800), "gibbs-weighted")
    assert report.is_skewed
    assert "tilted: " in report.conclusion
    assert "Within a label the noise is off N(0, I) by" in report.conclusion


def test_metrics_are_flat_and_finite() -> None:
    """Oracle: the names MLflow accepts, and no missing value."""
    report = coupling(*labelled(), "ot")
    metrics = report.as_metrics()
    assert all(name.startswith("coupling/") and math.isfinite(v) for name, v in metrics.items())
    assert "coupling/plan_entropy" not in coupling(*labelled(), "independent").as_metrics()
    assert report.to_dict()["label_skew"].keys() == {str(k) for k in range(8)}


@pytest.mark.parametrize("with_labels", [False, True])
def test_the_figure_names_every_coupling(with_labels: bool) -> None:
    """Oracle: the tick labels of the figure."""
    z0, z1, label = labelled(48)
    reports = compare_couplings(z0, z1, label if with_labels else None, ["independent", "ot"])
    figure = plot_comparison(reports)
    names = [tick.get_text() for tick in figure.axes[0].get_yticklabels()]
    assert names == ["independent", "ot"]
    assert reports[0].plot() is not None


def test_straight_paths_have_no_curvature() -> None:
    """Oracle: a straight line, 0; a quarter circle, by the integral of |z' - (z1 - z0)|^2.

    ``(pi/2)^2 - 2`` over the squared chord 2. Tolerance: 400 steps, order of the step.
    """
    t = torch.linspace(0, 1, 401, dtype=torch.float64)[:, None, None]
    line = t * torch.ones(1, 5, 2)
    assert path_curvature(line) == pytest.approx(0.0, abs=1e-20)
    circle = torch.cat([torch.cos(math.pi / 2 * t), torch.sin(math.pi / 2 * t)], 2)
    assert path_curvature(circle) == pytest.approx(((math.pi / 2) ** 2 - 2) / 2, rel=1e-3)


def test_bad_input_is_refused() -> None:
    """Oracle: the errors' texts."""
    z = rows(4, 2, 0)
    with pytest.raises(InvalidInputError, match=r"\(4, 2\) and \(3, 2\)"):
        coupling(z, rows(3, 2, 1), None, "ot")
    with pytest.raises(InvalidInputError, match="z0 holds nan at row 0"):
        coupling(z * math.nan, z, None, "ot")
    with pytest.raises(InvalidTypeError, match="label is an integer tensor"):
        coupling(z, z, torch.zeros(4), "ot")


def test_small_labels_show_their_skew_together() -> None:
    """Oracle: plain transport at 8 rows a label; no label alone proves it, all together do."""
    angle = torch.arange(64) % 8 * math.pi / 4
    centre = torch.stack([angle.cos(), angle.sin()], 1)
    label, z1 = torch.arange(64) % 8, centre + 0.3 * rows(64, 2, 1)
    plain = coupling(rows(64, 2, 0), z1, label, ("ot", {"within_label": False}))
    assert plain.is_skewed
    assert plain.overall_skew == plain.worst_skew > 5 > max(plain.label_skew.values())
    aware = coupling(rows(64, 2, 0), z1, label, "ot")
    assert not aware.is_skewed


def test_the_entropy_within_labels_is_the_mean_over_rows() -> None:
    """Oracle: the plan of each label by itself."""
    z0, z1, label = rows(30, 2, 0), rows(30, 2, 1), torch.arange(30) // 20
    part = couplings.REGISTRY.create("pot.sinkhorn")
    alone = [coupling(z0[label == k], z1[label == k], None, part) for k in (0, 1)]
    report = coupling(z0, z1, label, part)
    entropies = [one.plan_entropy for one in alone]
    assert report.plan_entropy == pytest.approx((20 * entropies[0] + 10 * entropies[1]) / 30)
    assert coupling(z0, z1, label, "independent").conclusion.startswith("no saving")


def test_a_fitted_coupling_uses_as_many_rows_as_it_draws() -> None:
    """Oracle: a fit to two points pairs with two rows, whichever are in the batch."""
    part = couplings.REGISTRY.create("pot.semidiscrete", steps=20)
    part.fit(torch.tensor([[-3.0], [3.0]]).double(), generator=torch.Generator().manual_seed(0))
    assert coupling(rows(10, 1, 0), rows(10, 1, 1), None, part).data_used == 0.2
