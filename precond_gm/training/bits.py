"""What is judged of a run on binary data: its samples as bits, against held-out bits."""

from __future__ import annotations

import torch
from torch import Tensor

from precond_gm.data import Prepared
from precond_gm.diagnostics import BinaryReport, binary

__all__ = ["bit_metrics"]

_ROWS, _LEAST_BITS = 20_000, 3


def bit_metrics(samples: Tensor, data: Prepared) -> dict[str, float]:
    """Return divergence and moments of samples as bits; nothing if the data are not bits.

    Samples go to the nearer of the two values. The floor is what training rows have in their place.

    Args:
        samples: Generated rows.
        data: Held-out rows that hold two values, or any others.
    """
    test, train = data.test.x[:_ROWS].cpu(), data.train.x[:_ROWS].cpu()
    low, high = float(test.min()), float(test.max())
    if low == high or test[0].numel() < _LEAST_BITS:
        return {}
    if not all(bool(((x == low) | (x == high)).all()) for x in (test, train)):
        return {}
    bits = torch.where(samples.cpu() > (low + high) / 2, high, low).to(test.dtype)
    found, real = _judged(bits, test), _judged(train, test)
    metrics = {
        "quality/pair_error": found.moments[1].error,
        "floor/pair_error": real.moments[1].error,
        "quality/bits_c2st": found.c2st.value,
        "floor/bits_c2st": real.c2st.value,
    }
    if found.kl is not None and real.kl is not None:
        metrics |= {"quality/bits_kl": found.kl, "floor/bits_kl": real.kl}
    return metrics


def _judged(samples: Tensor, test: Tensor) -> BinaryReport:
    return binary(samples, test, generator=torch.Generator().manual_seed(0))
