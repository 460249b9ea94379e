r"""The orthonormal discrete cosine transform (type II) of one axis, by one FFT of the same length.

.. math::
    X_k = c_k \sum_n x_n \cos\frac{\pi (2n + 1) k}{2N}, \qquad
    c_0 = \sqrt{1/N}, \; c_k = \sqrt{2/N}

Even samples followed by odd ones in reverse make the sum an ordinary Fourier transform (Makhoul,
1980); the transform is an isometry, so its log-determinant is zero.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = ["cosine_transform", "inverse_cosine_transform"]


def cosine_transform(x: Tensor, dim: int) -> Tensor:
    """Return the orthonormal DCT-II of ``x`` along ``dim``.

    Example:
        >>> cosine_transform(torch.ones(4), 0)
        tensor([2., 0., 0., 0.])
    """
    x = x.movedim(dim, -1)
    size = x.shape[-1]
    folded = torch.cat([x[..., ::2], x[..., 1::2].flip(-1)], -1)
    turned = torch.fft.fft(folded) * _phase(size, x)
    return (turned.real * _weight(size, x)).movedim(-1, dim)


def inverse_cosine_transform(x: Tensor, dim: int) -> Tensor:
    """Return the inverse of ``cosine_transform`` along ``dim``."""
    x = x.movedim(dim, -1)
    size = x.shape[-1]
    x = x / _weight(size, x)
    # The imaginary part of the turned spectrum is minus the real part read backwards.
    imaginary = torch.nn.functional.pad(x[..., 1:].flip(-1), (1, 0))
    folded = torch.fft.ifft(torch.complex(x, -imaginary) / _phase(size, x)).real
    out = torch.empty_like(folded)
    half = (size + 1) // 2
    out[..., ::2] = folded[..., :half]
    out[..., 1::2] = folded[..., half:].flip(-1)
    return out.movedim(-1, dim)


def _phase(size: int, like: Tensor) -> Tensor:
    angle = torch.arange(size, device=like.device, dtype=like.dtype) * (-math.pi / (2 * size))
    return torch.polar(torch.ones_like(angle), angle)


def _weight(size: int, like: Tensor) -> Tensor:
    weight = torch.full((size,), math.sqrt(2 / size), device=like.device, dtype=like.dtype)
    weight[0] = math.sqrt(1 / size)
    return weight
