"""What the solver alone does to variances, through the flow's own map, path and grid."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import precond_gm as pg
from precond_gm.diagnostics import exact_recovery

SCALE = torch.tensor([0.05, 1.0, 6.0])


class ExactMean(nn.Module):
    """E[z1 | z_t] of a diagonal Gaussian target on the bridge with sigma^2 = 2."""

    def __init__(self) -> None:
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(1))

    def forward(self, t: Tensor, z: Tensor, label: Tensor | None = None) -> Tensor:
        t = t[:, None]
        return t * SCALE**2 / (1 + t**2 * (SCALE**2 - 1)) * z


def rows(count: int = 4000) -> Tensor:
    return torch.randn(count, 3, generator=torch.Generator().manual_seed(0)) * SCALE


def test_it_is_what_samples_of_the_exact_field_show() -> None:
    """Oracle: 40,000 samples of a flow whose network is exact; five standard errors of 0.7 %."""
    flow = pg.wrap(ExactMean(), path="brownian-bridge", prediction="x1", event_shape=(3,))
    found = exact_recovery(flow, rows(), steps=20)
    assert found is not None
    drawn = flow.sample(40_000, steps=20, generator=torch.Generator().manual_seed(1)).x
    measured = drawn.double().var(0) / SCALE.double().square()
    torch.testing.assert_close(found[1], measured, rtol=0.05, atol=0)
    assert float(found[1][0]) > 5  # the smallest variance is inflated by the solver alone


def test_whitening_moves_the_bias_evenly() -> None:
    """Oracle: in whitened coordinates all directions are alike, so all ratios are equal."""
    flow = pg.wrap(
        pg.models.MLP(3), preconditioner="whiten", path="brownian-bridge", prediction="x1"
    )
    flow.fit_preconditioner(rows())
    found = exact_recovery(flow, rows(), steps=20)
    assert found is not None
    torch.testing.assert_close(found[1], found[1][:1].expand(3), rtol=1e-3, atol=0)


def test_heun_on_the_linear_path_is_nearly_right() -> None:
    """Oracle: second order, so 200 steps leave less than 1 % even at a variance of 0.0025."""
    flow = pg.wrap(pg.models.MLP(3), event_shape=(3,))
    found = exact_recovery(flow, rows(), steps=200)
    assert found is not None
    assert float((found[1] - 1).abs().max()) < 0.01


def test_labels_are_stretched_apart() -> None:
    """Oracle: the same as of each label's rows alone, since their laws are exact apart."""
    flow = pg.wrap(
        pg.models.MLP(3, num_labels=2),
        path="brownian-bridge",
        prediction="x1",
        event_shape=(3,),
        num_labels=2,
    )
    x, label = torch.cat((rows(), rows())), torch.arange(8000) // 4000
    both, one = exact_recovery(flow, x, label, steps=10), exact_recovery(flow, rows(), steps=10)
    assert both is not None
    assert one is not None
    torch.testing.assert_close(both[1], one[1], rtol=1e-4, atol=0)


@pytest.mark.parametrize("coupling", ["ot"])
def test_no_closed_form_is_none(coupling: str) -> None:
    """The field of a dependent coupling is another one."""
    flow = pg.wrap(pg.models.MLP(3), coupling=coupling, event_shape=(3,))
    assert exact_recovery(flow, rows(100)) is None
