"""Networks are called by argument name; what cannot be told apart is refused with what to write."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from precond_gm.errors import InvalidTypeError
from precond_gm.models import MLP, adapt

T, Z, LABEL = torch.rand(4), torch.randn(4, 3), torch.tensor([0, 1, 2, 0])


class Recorder(nn.Module):
    """Base of networks that report which role reached which argument."""

    def answer(self, x: Tensor, t: Tensor, label: Tensor | None) -> Tensor:
        extra = 0 if label is None else label[:, None]
        return x + 10 * t[:, None] + 100 * extra


class XTY(Recorder):
    def forward(self, x: Tensor, t: Tensor, y: Tensor) -> Tensor:
        return self.answer(x, t, y)


class TXLabel(Recorder):
    def forward(self, time: Tensor, xt: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.answer(xt, time, labels)


class KeywordOnly(Recorder):
    def forward(self, *, z_t: Tensor, timesteps: Tensor, class_labels: Tensor) -> Tensor:
        return self.answer(z_t, timesteps, class_labels)


class PositionalOnly(Recorder):
    def forward(self, t: Tensor, z: Tensor, label: Tensor | None = None, /) -> Tensor:
        return self.answer(z, t, label)


EXPECTED = Z + 10 * T[:, None] + 100 * LABEL[:, None]


@pytest.mark.parametrize("network", [XTY(), TXLabel(), KeywordOnly(), PositionalOnly()])
def test_arguments_are_matched_by_name(network: nn.Module) -> None:
    """Oracle: each role enters the answer with a factor of its own, so a swap shows; exact."""
    torch.testing.assert_close(adapt(network)(T, Z, LABEL), EXPECTED, rtol=0, atol=0)


def test_torchcfm_preset() -> None:
    """The U-Net of torchcfm calls forward(t, x, y=None). Oracle: the factors of the roles."""

    class UNetModelWrapper(Recorder):
        def forward(self, t: Tensor, x: Tensor, y: Tensor | None = None, *args: object) -> Tensor:
            return self.answer(x, t, y)

    field = adapt(UNetModelWrapper(), "torchcfm")
    torch.testing.assert_close(field(T, Z, LABEL), EXPECTED, rtol=0, atol=0)
    torch.testing.assert_close(field(T, Z), Z + 10 * T[:, None], rtol=0, atol=0)


def test_torchcfm_mlp_preset_joins_time() -> None:
    """The MLP of torchcfm takes one tensor with t as its last column. Oracle: that column."""
    net = nn.Linear(4, 3, bias=False)
    torch.testing.assert_close(
        adapt(net, "torchcfm-mlp")(T, Z), net(torch.cat([Z, T[:, None]], 1)), rtol=0, atol=0
    )


def test_flow_matching_preset_calls_by_keyword() -> None:
    """Meta's wrapper is called as model(x=x, t=t, **extras). Oracle: the factors of the roles."""

    class ModelWrapper(Recorder):
        def forward(self, x: Tensor, t: Tensor, **extras: Tensor) -> Tensor:
            return self.answer(x, t, extras.get("label"))

    field = adapt(ModelWrapper(), "flow_matching")
    torch.testing.assert_close(field(T, Z, LABEL), EXPECTED, rtol=0, atol=0)


def test_diffusers_preset_scales_time_and_unwraps_the_sample() -> None:
    """The library diffusers counts timesteps to 1000 and returns an object with ``sample``."""

    class UNet2DModel(nn.Module):
        def forward(
            self, sample: Tensor, timestep: Tensor, class_labels: Tensor | None = None
        ) -> SimpleNamespace:
            return SimpleNamespace(sample=sample + timestep[:, None])

    field = adapt(UNet2DModel(), "diffusers-unet2d")
    torch.testing.assert_close(field(T, Z, LABEL), Z + 1000 * T[:, None])


@pytest.mark.parametrize("call", ["x,t,label", "x, t, y", lambda m, t, z, label: m(z, t, label)])
def test_explicit_calls(call: object) -> None:
    """Oracle: the factors of the roles, for a network whose own names say nothing."""

    class Opaque(Recorder):
        def forward(self, a: Tensor, b: Tensor, c: Tensor) -> Tensor:
            return self.answer(a, b, c)

    torch.testing.assert_close(adapt(Opaque(), call)(T, Z, LABEL), EXPECTED, rtol=0, atol=0)


def test_ambiguous_names_are_refused_with_what_to_write() -> None:
    """Never by position: an unknown required name, or none that means t, is an error."""

    class Opaque(nn.Module):
        def forward(self, a: Tensor, b: Tensor) -> Tensor:
            return a

    with pytest.raises(InvalidTypeError, match=r"Opaque\(a.*'a' is unknown.*call='x,t,label'"):
        adapt(Opaque())
    with pytest.raises(InvalidTypeError, match="no argument means t"):
        adapt(lambda x: x)
    with pytest.raises(InvalidTypeError, match="two arguments mean x"):
        adapt(lambda x, z, t: x)
    with pytest.raises(InvalidTypeError, match="is not understood"):
        adapt(lambda x, t: x, "x,x")


def test_mlp_tells_labels_and_times_apart() -> None:
    """A network that ignored its label or time could not be conditional. Oracle: outputs differ."""
    net = MLP(3, num_labels=3, width=16)
    base = net(T, Z, LABEL)
    assert not torch.equal(base, net(T, Z, LABEL.flip(0)))
    assert not torch.equal(base, net(T.flip(0), Z, LABEL))
    assert net(T, Z).shape == Z.shape
