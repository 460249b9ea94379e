"""normflows' flows as preconditioners."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from precond_gm.errors import InvalidInputError
from precond_gm.preconditioners import REGISTRY, AbstractPreconditioner


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def fitted(
    name: str, x: Tensor, label: Tensor | None = None, **options: object
) -> AbstractPreconditioner:
    part = REGISTRY.create(f"normflows.{name}", max_steps=20, learning_rate=1e-2, **options)
    part.fit(x, label)
    return part


def check_log_det(part: AbstractPreconditioner, row: Tensor, label: Tensor | None) -> None:
    size = row.numel()
    jacobian = torch.autograd.functional.jacobian(lambda v: part(v[None], label).value[0], row)
    expected = torch.linalg.slogdet(jacobian.reshape(size, size)).logabsdet
    got = part(row[None], label).log_abs_det[0]
    torch.testing.assert_close(got, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", ["realnvp", "rqs", "residual"])
def test_vectors_with_labels(name: str) -> None:
    """Oracles: the identity for the round trip (rows 30 deviations out), autograd for log |det|."""
    x = noise(400, 3).exp()
    label = torch.arange(400) % 2
    part = fitted(name, x, label)
    rows = torch.cat([x[:5], 30 * noise(5, 3, seed=1)])
    image = part(rows, label[:10])
    back = part.inverse(image.value, label[:10])
    torch.testing.assert_close(back.value, rows, rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(back.log_abs_det, -image.log_abs_det, rtol=1e-6, atol=1e-6)
    check_log_det(part, x[0], label[:1])
    check_log_det(part, rows[7], label[:1])


@pytest.mark.parametrize(("event", "scales"), [((1, 4, 4), 2), ((3, 4, 4), 1), ((2, 8, 4), 2)])
def test_glow_on_images(event: tuple[int, ...], scales: int) -> None:
    """Oracles: the identity, and autograd's Jacobian of the whole multiscale map."""
    x = noise(200, *event).cumsum(-1)
    label = torch.arange(200) % 3
    part = fitted("glow", x, label, scales=scales, hidden=8, blocks=2)
    back = part.inverse(part(x, label).value, label).value
    torch.testing.assert_close(back, x, rtol=1e-8, atol=1e-8)
    check_log_det(part, x[0], label[:1])
    assert not torch.allclose(part(x, label).value, part(x, (label + 1) % 3).value)


def test_glow_brings_rows_far_out_back() -> None:
    """Oracle: the identity; normflows' own scales overflow here."""
    x = noise(300, 1, 4, 4).cumsum(-1)
    part = REGISTRY.create("normflows.glow", max_steps=30, learning_rate=1e-2)
    part.fit(x)
    far = 1000 * x[:8]
    back = part.inverse(part(far).value).value
    assert float((back - far).abs().max() / far.abs().max()) < 1e-9


def test_direction_is_from_data_to_noise() -> None:
    """Oracle: the likelihood grows in the fit, and the image of skewed rows is less skewed."""
    x = noise(3000, 2)
    x[:, 1] += 0.7 * x[:, 0].square()
    part = REGISTRY.create("normflows.realnvp", max_steps=150, learning_rate=5e-3)
    report = part.fit(x)
    start = REGISTRY.create("normflows.realnvp", max_steps=0).fit(x)
    assert report.log_likelihood > start.log_likelihood + 0.1
    z = part(x).value
    skew = (z - z.mean(0)).pow(3).mean(0) / z.std(0).pow(3)
    assert float(skew.abs().max()) < 0.5


def test_residual_steps_stay_contractions() -> None:
    """Oracle: singular values of autograd's Jacobian of the step, below the bound of its layers."""
    x = noise(300, 3).exp()
    part = fitted("residual", x)
    layer = part.network.layers[0]
    jacobian = torch.autograd.functional.jacobian(lambda v: layer._step(v[None], None)[0], x[0])
    assert float(torch.linalg.svdvals(jacobian)[0]) <= layer.rate + 1e-2


def test_refusals() -> None:
    """Oracle: the message names what to use instead."""
    with pytest.raises(InvalidInputError, match="divisible by 4"):
        fitted("glow", noise(20, 1, 6, 6))
    with pytest.raises(InvalidInputError, match=r"normflows\.realnvp"):
        fitted("glow", noise(20, 16))
    with pytest.raises(InvalidInputError, match="at least 2 features"):
        fitted("rqs", noise(20, 1))
    with pytest.raises(InvalidInputError, match="more than 64 features are refused"):
        fitted("residual", noise(20, 65))
