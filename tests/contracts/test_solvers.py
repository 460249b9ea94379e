"""Every registered solver, ours or a plugin's, keeps the contract; broken ones are found out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch
from torch import Tensor

from precond_gm.solvers import REGISTRY, AbstractSolver
from precond_gm.solvers.base import euler_step, evaluate
from precond_gm.testing import check_solver
from precond_gm.values import Dynamics, TargetKind

NAMES = REGISTRY.names()


def test_there_are_solvers() -> None:
    """An empty registry would let every parametrised test pass. Oracle: the shipped names."""
    assert {"euler", "heun", "euler-maruyama", "endpoint", "torchdiffeq.dopri5"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_contract(name: str) -> None:
    """Oracle: the shipped contract check."""
    check_solver(name)


@dataclass(frozen=True)
class Broken(AbstractSolver):
    accepts: ClassVar[frozenset[TargetKind]] = frozenset({TargetKind.DRIFT})
    fault: str = "none"

    def step(
        self,
        dynamics: Dynamics,
        t: float,
        t_next: float,
        z: Tensor,
        label: Tensor | None,
        *,
        diffusion: float,
        increment: Tensor | None,
    ) -> Tensor:
        if self.fault == "half":
            return z + 0.5 * (t_next - t) * evaluate(dynamics, t, z, label)
        if self.fault == "twice":
            evaluate(dynamics, t, z, label)
        if self.fault == "deaf":
            increment = None
        if self.fault == "loud" and increment is not None:
            increment = 2 * increment
        if self.fault == "unlabelled":
            label = None
        if self.fault == "mixing":
            z = z + 0.1 * z.roll(1, 0)
        if self.fault == "in place":
            z.mul_(1.0).add_(0.1)
        return euler_step(dynamics, t, t_next, z, label, diffusion=diffusion, increment=increment)


@pytest.mark.parametrize(
    ("fault", "text"),
    [
        ("half", "does not use the noise|inconsistent"),
        ("twice", "declares 1 evaluations per step, and used 8"),
        ("deaf", "does not use the noise"),
        ("loud", "does not converge for DRIFT"),
        ("unlabelled", "without label"),
        ("mixing", "mixes rows|writes"),
        ("in place", "writes to the rows"),
    ],
)
def test_faults_are_found(fault: str, text: str) -> None:
    """A check that passes everything proves nothing. Oracle: planted faults."""
    check_solver(Broken())
    with pytest.raises(AssertionError, match=text):
        check_solver(Broken(fault))


def test_a_wrong_declaration_is_found() -> None:
    """A solver that accepts no dynamics is of no use. Oracle: the planted fault."""

    class Nothing(Broken):
        accepts: ClassVar[frozenset[TargetKind]] = frozenset({TargetKind.X1})

    with pytest.raises(AssertionError, match="frozenset of TargetKind"):
        check_solver(Nothing())


def test_solvers_accept_float_tensors_on_the_device(device: torch.device) -> None:
    """The loop runs where the rows are. Oracle: the device of the result."""
    from precond_gm.solvers import grids, integrate

    z0 = torch.zeros(4, 2, device=device)
    run = integrate(
        lambda t, z, label=None: -z,
        REGISTRY.create("euler-maruyama"),
        grids.uniform(3),
        z0,
        diffusion=1.0,
    )
    assert run.final.device.type == device.type
