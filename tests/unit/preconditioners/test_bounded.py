"""Maps of intervals."""

from __future__ import annotations

import pytest
import torch

from precond_gm.errors import InvalidInputError
from precond_gm.preconditioners import AffineRange, Logit


def pixels() -> torch.Tensor:
    return torch.rand(200, 1, 3, 3, generator=torch.Generator().manual_seed(0)).double() * 255


def test_affine_range() -> None:
    """Oracle: the ends of the interval go to -1 and 1; log-determinant d log(2 / width)."""
    x = pixels()
    part = AffineRange(0, 255)
    part.fit(x)
    ends = torch.tensor([0.0, 255.0]).double().reshape(2, 1, 1, 1).expand(2, 1, 3, 3)
    image = part(ends)
    assert torch.equal(image.value[:, 0, 0, 0], torch.tensor([-1.0, 1.0]).double())
    expected = 9 * torch.log(torch.tensor(2 / 255.0).double()).expand(2)
    torch.testing.assert_close(image.log_abs_det, expected)


def test_logit_stays_inside() -> None:
    """Oracle: the closed form of the inverse's range, eps / (1 - 2 eps) of the width outside."""
    part = Logit(0, 255)
    part.fit(pixels())
    x = part.inverse(
        torch.tensor([-1e3, 1e3]).double().reshape(2, 1, 1, 1).expand(2, 1, 3, 3)
    ).value
    margin = 255 * 0.01 / 0.98
    torch.testing.assert_close(x[0], torch.full_like(x[0], -margin))
    torch.testing.assert_close(x[1], torch.full_like(x[1], 255 + margin))


def test_logit_refuses_rows_outside_by_count() -> None:
    """Oracle: the number of rows moved outside."""
    part = Logit(0, 255)
    x = pixels()
    part.fit(x)
    x[:3] += 300
    with pytest.raises(InvalidInputError, match="3 of 200 rows hold values outside the interval"):
        part(x)
    with pytest.raises(InvalidInputError, match="outside high=255"):
        Logit(0, 255).fit(x)
    with pytest.raises(InvalidInputError, match="low is below high"):
        Logit(3, 1)
    with pytest.raises(InvalidInputError, match="no interval"):
        AffineRange().fit(torch.ones(4, 2))


def test_interval_is_found_with_a_margin() -> None:
    """Oracle: the extremes of the data, widened by a twentieth."""
    x = pixels()
    part = Logit()
    part.fit(x.split(50))
    low, high = float(x.min()), float(x.max())
    expected = torch.tensor([low - (high - low) / 20, high + (high - low) / 20]).double()
    torch.testing.assert_close(part.bounds, expected)


@pytest.mark.parametrize("cls", [AffineRange, Logit])
def test_rows_outside_the_interval_given_are_refused_at_the_fit(
    cls: type[AffineRange] | type[Logit],
) -> None:
    """Oracle: the position and the number of the rows moved, in a tensor and in a stream."""
    x = pixels() / 255
    x[7, 0, 1, 2], x[60:62] = 3.5, -2
    for rows in (x, x.split(50)):
        with pytest.raises(
            InvalidInputError,
            match=r"3 of 200 rows.*3\.5 at row 7, feature \(0, 1, 2\), outside high=1",
        ):
            cls(0, 1).fit(rows)
    with pytest.raises(InvalidInputError, match=r"outside low=2.*wider"):
        cls(low=2).fit(x[:5])


def test_ends_that_float32_rounds_are_inside() -> None:
    """Oracle: 0.1 in float32 is not below 0.1, though it is not 0.1 in float64 either."""
    x = torch.tensor([[0.1], [0.3], [0.7]])
    for part in (AffineRange(0.1, 0.7), Logit(0.1, 0.7)):
        part.fit(x)
        part(x)
