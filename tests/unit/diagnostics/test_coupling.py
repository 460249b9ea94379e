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
from precond_gm.errors import InvalidInputError, InvalidTypeError


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


def test_metrics_are_flat_and_finite() -> None:
    """Oracle: the names MLflow accepts, and no missing value."""
    report = coupling(*labelled(), "ot")
    metrics = report.as_metrics()
    assert all(name.startswith("coupling/") and math.isfinite(v) for name, v in metrics.items())
    assert "coupling/plan_entropy" not in metrics
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
