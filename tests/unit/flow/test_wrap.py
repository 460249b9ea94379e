"""Each way of wrapping: class, factory and instance; copies, pickles, compile, EMA, autocast."""

from __future__ import annotations

import copy
import inspect
import io
import pickle

import pytest
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

import precond_gm as pg
from precond_gm.errors import (
    IncompatiblePartsError,
    InvalidInputError,
    InvalidTypeError,
    UnknownNameError,
)


class Plain(nn.Module):
    """A network with the older form of super(), which subclassing decorators break."""

    def __init__(self, width: int = 8, *, bias: bool = True) -> None:
        super(Plain, self).__init__()  # noqa: UP008 - this form is what is tested
        self.layer = nn.Linear(3, width, bias=bias)
        self.out = nn.Linear(width, 2)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        return self.out(torch.tanh(self.layer(torch.cat([x, t[:, None]], 1))))


@pg.wrap(preconditioner="whiten", event_shape=(2,))
class Old(nn.Module):
    """Decorated, with super(Old, self)."""

    def __init__(self, width: int = 8, *, bias: bool = True) -> None:
        super(Old, self).__init__()  # noqa: UP008 - this form is what is tested
        self.body = Plain(width, bias=bias)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        return self.body(x, t)


@pg.wrap(preconditioner="whiten")
class New(nn.Module):
    """Decorated, with zero-argument super()."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.body = Plain(width)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        return self.body(x, t)


class Child(New):
    """A plain subclass of a decorated class."""

    def __init__(self) -> None:
        super().__init__(width=4)


@pg.wrap()
class DecoratedChild(New):
    """A subclass that is decorated itself."""


@pg.wrap(preconditioner="standardize")
def make(width: int = 8) -> nn.Module:
    """A factory."""
    return Plain(width)


def rows(n: int = 64) -> Tensor:
    scale = torch.tensor([5.0, 0.1])
    return torch.randn(n, 2, generator=torch.Generator().manual_seed(0)) * scale


def same(a: nn.Module, b: nn.Module) -> bool:
    x, y = a.state_dict(), b.state_dict()
    return x.keys() == y.keys() and all(torch.equal(x[k], y[k]) for k in x)


@pytest.fixture
def flow() -> pg.PreconditionedFlow:
    torch.manual_seed(0)
    flow = Old(width=8)
    flow.fit_preconditioner(rows())
    return flow


@pytest.mark.parametrize("cls", [Old, New])
def test_class_gives_a_flow_and_keeps_its_identity(cls: type) -> None:
    """super(Net, self) and zero-argument super() both work. Oracle: types."""
    flow = cls(width=6)
    assert isinstance(flow, pg.PreconditionedFlow)
    assert type(flow.field.model) is cls
    assert flow.field.model.body.layer.out_features == 6
    assert not isinstance(flow, cls)


def test_class_keeps_its_signature() -> None:
    """Oracle: the signature of the undecorated twin."""
    assert str(inspect.signature(Old)) == str(inspect.signature(Plain))


def test_unwrapped_gives_the_bare_network() -> None:
    """Oracle: types; a class that was never decorated is refused."""
    assert type(pg.unwrapped(Old)(width=5)) is Old
    with pytest.raises(InvalidTypeError, match="not decorated"):
        pg.unwrapped(Plain)
    with pytest.raises(InvalidTypeError, match="not decorated"):
        pg.unwrapped(Child)


def test_subclass_is_plain_until_decorated() -> None:
    """Oracle: types."""
    child = Child()
    assert type(child) is Child
    assert child.body.layer.out_features == 4
    assert isinstance(DecoratedChild(), pg.PreconditionedFlow)
    assert type(copy.deepcopy(child)) is Child


def test_factory_and_instance() -> None:
    """Oracle: types and identity of the wrapped network."""
    assert isinstance(make(width=4), pg.PreconditionedFlow)
    assert make.__name__ == "make"
    net = Plain()
    assert pg.wrap(net).field.model is net


def test_parts_given_as_instances_are_not_shared_between_flows() -> None:
    """Two flows of one class fit maps of their own. Oracle: identity."""
    part = pg.preconditioners.REGISTRY.create("whiten")

    @pg.wrap(preconditioner=part)
    class Net(Plain):
        def __init__(self) -> None:
            nn.Module.__init__(self)
            self.layer, self.out = nn.Linear(3, 4), nn.Linear(4, 2)

    assert Net().preconditioner is not Net().preconditioner
    assert pg.wrap(Plain(), preconditioner=part).preconditioner is part


def test_deepcopy_copy_pickle_and_torch_save(flow: pg.PreconditionedFlow) -> None:
    """Oracle: equal state, of the flow and of the bare network inside it."""
    file = io.BytesIO()
    torch.save(flow, file)
    file.seek(0)
    twins = [
        copy.deepcopy(flow),
        pickle.loads(pickle.dumps(flow)),
        torch.load(file, weights_only=False),
    ]
    for twin in twins:
        assert type(twin.field.model) is Old
        assert same(twin, flow)
        assert twin.field.model.body is not flow.field.model.body
    bare = flow.field.model
    assert same(copy.copy(bare), bare)
    assert same(pickle.loads(pickle.dumps(bare)), bare)
    assert copy.copy(bare).body is bare.body


def test_compile_of_flow_and_field(flow: pg.PreconditionedFlow) -> None:
    """Graph capture keeps the values. Oracle: the eager call; exact with the eager backend."""
    t, z = torch.rand(4), torch.randn(4, 2)
    for compiled in (
        torch.compile(flow, backend="eager"),
        torch.compile(flow.field, backend="eager"),
    ):
        torch.testing.assert_close(compiled(t, z), flow(t, z), rtol=0, atol=0)
    seeded = [torch.Generator().manual_seed(1) for _ in range(2)]
    loss = flow.loss(rows(), field=torch.compile(flow, backend="eager"), generator=seeded[0])
    assert torch.equal(loss.total, flow.loss(rows(), generator=seeded[1]).total)


def test_averaged_model_keeps_the_frozen_map(flow: pg.PreconditionedFlow) -> None:
    """EMA averages the network and leaves the map. Oracle: the arithmetic mean of two states."""
    ema = AveragedModel(flow)
    ema.update_parameters(flow)
    first = flow.field.model.body.out.bias.detach().clone()
    with torch.no_grad():
        flow.field.model.body.out.bias += 1
    ema.update_parameters(flow)
    torch.testing.assert_close(ema.module.field.model.body.out.bias, first + 0.5)
    assert same(ema.module.preconditioner, flow.preconditioner)
    drawn = flow.sample(5, steps=2, field=ema, generator=torch.Generator().manual_seed(0))
    assert drawn.x.shape == (5, 2)


def test_bare_checkpoint_loads_into_the_base(flow: pg.PreconditionedFlow) -> None:
    """Prefixes of DDP and compile are stripped. Oracle: equal state."""
    bare = pg.unwrapped(Old)()
    state = {f"module._orig_mod.{k}": v for k, v in bare.state_dict().items()}
    flow.load_base(state)
    assert same(flow.field.model, bare)


def test_autocast_runs_the_network_low_and_the_map_high(flow: pg.PreconditionedFlow) -> None:
    """bfloat16 keeps 8 bits, so the round trip under autocast would be off by 1e-2 if it ran there.

    Oracle: the identity, at float32 resolution.
    """
    x = rows()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = flow.loss(x, generator=torch.Generator().manual_seed(0))
        z = flow.precondition(x)
        back = flow.preconditioner.inverse(z).value
    loss.total.backward()
    assert torch.isfinite(loss.total)
    assert z.dtype == torch.float32
    torch.testing.assert_close(back, x, rtol=1e-4, atol=1e-4)


def test_singular_cell_warns_and_strict_refuses() -> None:
    """x1-prediction with velocity loss has weight 1/(1-t)^2 on the linear path."""
    with pytest.warns(pg.errors.SingularCellWarning, match="x1"):
        pg.wrap(Plain(), prediction="x1", loss_space="velocity")
    with pytest.raises(IncompatiblePartsError):
        pg.wrap(Plain(), prediction="x1", loss_space="velocity", strict=True)


def test_bad_arguments_are_named() -> None:
    """The message says what was got and what is allowed."""
    with pytest.raises(UnknownNameError, match="Did you mean 'whiten'"):
        pg.wrap(Plain(), preconditioner="whitten")
    with pytest.raises(InvalidInputError, match="num_labels is a positive integer"):
        pg.wrap(Plain(), num_labels=0)
    with pytest.raises(InvalidTypeError, match="takes no label"):
        pg.wrap(Plain(), num_labels=3)
    with pytest.raises(InvalidTypeError, match="wrap takes a network"):
        pg.wrap(42)
    with pytest.raises(InvalidTypeError, match=r"subclass of torch\.nn\.Module"):
        pg.wrap(int)
