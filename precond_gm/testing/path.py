"""Contract check of a path: run it on your own class."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.func import grad, vmap

from precond_gm.numerics.conversion import check_conversion
from precond_gm.paths import REGISTRY, AbstractPath
from precond_gm.values import Coefficients, Pairing, TargetKind

__all__ = ["check_path"]


def check_path(path: str | AbstractPath) -> None:
    """Check that a path keeps its contract.

    Its ends are exactly ``z0`` and ``z1``; every slope is the derivative of its value (oracle:
    autograd); the drift rate is its definition; sampling keeps shape and dtype, is finite at both
    ends, and repeats with the generator; the default prediction converts to the dynamics.

    Args:
        path: Name in the registry, or an instance.

    Raises:
        AssertionError: With what is wrong.

    Example:
        >>> check_path("linear")
    """
    part = REGISTRY.resolve(path)
    _check_kind(part)
    _check_ends(part)
    _check_slopes(part)
    _check_drift(part)
    for dtype in (torch.float32, torch.float64):
        _check_sampling(part, dtype)
    interior = part.coefficients(torch.linspace(0.1, 0.9, 5, dtype=torch.float64))
    check_conversion(interior, part.default_prediction, part.kind)


def _check_kind(part: AbstractPath) -> None:
    assert part.kind in (TargetKind.VELOCITY, TargetKind.DRIFT), (
        f"{part!r}: kind is VELOCITY or DRIFT, got {part.kind}"
    )
    assert (part.kind is TargetKind.DRIFT) == (part.diffusion > 0), (
        f"{part!r}: a drift path has a positive diffusion and a velocity path has none; "
        f"got {part.kind} with diffusion {part.diffusion}"
    )
    assert 0 < part.t_max <= 1, f"{part!r}: t_max is in (0, 1], got {part.t_max}"


def _check_ends(part: AbstractPath) -> None:
    for dtype in (torch.float32, torch.float64):
        c = part.coefficients(torch.tensor([0.0, 1.0], dtype=dtype))
        for name, want in (("alpha", [1.0, 0.0]), ("beta", [0.0, 1.0]), ("variance", [0.0, 0.0])):
            got = getattr(c, name)
            exact = torch.tensor(want, dtype=dtype)
            assert got.dtype == dtype, f"{part!r}: {name} is {got.dtype} for times in {dtype}"
            assert torch.equal(got, exact), f"{part!r}: {name} at 0 and 1 is {got}, not {exact}"


def _check_slopes(part: AbstractPath) -> None:
    t = torch.linspace(0.02, 0.98, 13, dtype=torch.float64)
    c = part.coefficients(t)
    for name in ("alpha", "beta", "variance"):

        def value(s: Tensor, name: str = name) -> Tensor:
            return getattr(part.coefficients(s[None]), name)[0]

        oracle = vmap(grad(value))(t)
        torch.testing.assert_close(
            getattr(c, f"{name}_slope"),
            oracle,
            rtol=1e-9,
            atol=1e-9,
            msg=f"{part!r}: the slope of {name} is not its derivative: "
            f"{getattr(c, f'{name}_slope')} instead of {oracle}",
        )
    assert bool((c.variance >= 0).all()), f"{part!r}: a negative variance"
    assert c.has_noise == part.has_noise, f"{part!r}: has_noise of path and coefficients differ"


def _check_drift(part: AbstractPath) -> None:
    t = torch.linspace(0.0, 0.98, 13, dtype=torch.float64)
    c = part.coefficients(t)
    assert c.diffusion == part.diffusion, f"{part!r}: two diffusions"
    assert (c.drift_rate is None) == (part.kind is TargetKind.VELOCITY), (
        f"{part!r}: drift_rate belongs to drift paths and to no other"
    )
    if c.drift_rate is None:
        return
    assert bool(torch.isfinite(c.drift_rate).all()), f"{part!r}: drift_rate is not finite at t = 0"
    torch.testing.assert_close(
        2 * c.variance * c.drift_rate,
        c.variance_slope - part.diffusion**2,
        msg=f"{part!r}: drift_rate is not (variance_slope - sigma^2)/(2 variance)",
    )


def _check_sampling(part: AbstractPath, dtype: torch.dtype) -> None:
    draw = torch.Generator().manual_seed(0)
    rows = [torch.randn(6, 3, 2, 2, dtype=dtype, generator=draw) for _ in range(2)]
    pairing = Pairing(rows[0], rows[1], torch.arange(6))
    t = torch.tensor([0.0, 0.1, 0.5, 0.7, 0.9, 1.0], dtype=dtype)
    first, second = (
        part.sample(pairing, t, target=TargetKind.X1, generator=torch.Generator().manual_seed(1))
        for _ in range(2)
    )
    assert torch.equal(first.z_t, second.z_t), f"{part!r}: the same generator, another sample"
    count = first.z_t.shape[0]
    assert count % 6 == 0, f"{part!r}: {count} points for 6 pairs"
    assert first.z_t.shape[1:] == (3, 2, 2), f"{part!r}: the event shape became {first.z_t.shape}"
    assert first.z_t.dtype == dtype, f"{part!r}: {first.z_t.dtype} for rows in {dtype}"
    assert torch.equal(first.z_t[0], rows[0][0]), f"{part!r}: z_t at t = 0 is not z0"
    assert torch.equal(first.z_t[5], rows[1][5]), f"{part!r}: z_t at t = 1 is not z1"
    inside = part.sample(pairing, t.clamp(0.05, 0.95), generator=torch.Generator().manual_seed(1))
    assert inside.kind is part.kind, f"{part!r}: the default target is not its kind"
    assert bool(torch.isfinite(inside.target).all()), f"{part!r}: a target is not finite inside"
    assert isinstance(inside.coefficients, Coefficients), f"{part!r}: no coefficients in a sample"
