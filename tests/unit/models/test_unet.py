"""The U-Net: shapes, labels, and that it learns."""

from __future__ import annotations

import pytest
import torch

from precond_gm.errors import InvalidInputError
from precond_gm.models import UNet


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32), (1, 7, 9), (2, 4, 4)])
@pytest.mark.parametrize("num_labels", [None, 3])
def test_sides_need_not_be_powers_of_two(shape: tuple[int, ...], num_labels: int | None) -> None:
    """Oracle: the shape that went in; the first prediction is zero up to the last bias."""
    net = UNet(shape, num_labels, width=8)
    label = None if num_labels is None else torch.tensor([0, 2])
    out = net(torch.rand(2), torch.randn(2, *shape), label)
    assert out.shape == (2, *shape)
    assert float(out.std()) < 0.2


def test_label_and_time_reach_the_output() -> None:
    """After one step away from zero, other labels and times give other outputs."""
    torch.manual_seed(0)
    net = UNet((1, 8, 8), 4, width=8)
    torch.nn.init.normal_(net.leave[2].weight)  # type: ignore[arg-type]
    z = torch.randn(1, 1, 8, 8)
    base = net(torch.tensor([0.3]), z, torch.tensor([1]))
    assert not torch.allclose(base, net(torch.tensor([0.3]), z, torch.tensor([2])))
    assert not torch.allclose(base, net(torch.tensor([0.9]), z, torch.tensor([1])))
    assert not torch.allclose(base, net(torch.tensor([0.3]), z, None))


def test_options_build_the_same_network() -> None:
    """Checkpoints hold the options. Oracle: equal state-dict shapes."""
    net = UNet((1, 8, 8), 4, width=16, halvings=1)
    again = UNet(**net.options)
    assert {k: v.shape for k, v in net.state_dict().items()} == {
        k: v.shape for k, v in again.state_dict().items()
    }


@pytest.mark.parametrize(("shape", "width"), [((5,), 8), ((1, 2, 8), 8), ((1, 8, 8), 12)])
def test_wrong_shapes_are_refused(shape: tuple[int, ...], width: int) -> None:
    """A table, a tiny image or an odd width: said before any layer fails."""
    with pytest.raises(InvalidInputError):
        UNet(shape, width=width)
