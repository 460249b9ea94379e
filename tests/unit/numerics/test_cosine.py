"""The cosine transform."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.fft
import torch

from precond_gm.numerics.cosine import cosine_transform, inverse_cosine_transform


@pytest.mark.parametrize("size", [1, 2, 5, 8, 33])
def test_against_scipy(size: int) -> None:
    """Oracle: scipy's orthonormal DCT-II; tolerance: float64 rounding."""
    x = torch.randn(3, size, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    got = cosine_transform(x, 1)
    np.testing.assert_allclose(got, scipy.fft.dct(x.numpy(), norm="ortho", axis=1), atol=1e-13)
    torch.testing.assert_close(inverse_cosine_transform(got, 1), x, rtol=0, atol=1e-13)
    assert float(got.square().sum()) == pytest.approx(float(x.square().sum()), rel=1e-12)
