"""What a preconditioner would do for these data: by how much the condition number would fall."""

from __future__ import annotations

import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from precond_gm import preconditioners
from precond_gm.diagnostics.conditioning import conditioning
from precond_gm.errors import IncompatiblePartsError, InvalidInputError
from precond_gm.objectives import check_rows_are_not_bits
from precond_gm.preconditioners import AbstractPreconditioner, Identity

__all__ = ["CANDIDATES", "Remedy", "remedies", "why_none"]

CANDIDATES = ("standardize", "whiten")
_TIMES = 21


@dataclass(frozen=True)
class Remedy:
    """A preconditioner, and what it would change.

    Attributes:
        name: Name in the registry.
        condition_number: Largest over t, on rows that the map was not fitted on: that of the worst
            label with ten rows per feature there, or of all rows where no label has so many.
        inverse_ms: Milliseconds that mapping 1,000 samples back takes on this machine.
    """

    name: str
    condition_number: float
    inverse_ms: float

    def __str__(self) -> str:
        return (
            f"{self.name}: condition number {self.condition_number:.3g}, its inverse takes "
            f"{self.inverse_ms:.2g} ms per 1,000 samples"
        )


def remedies(
    x: Tensor,
    label: Tensor | None = None,
    *,
    path: Any = "linear",
    names: Sequence[str] = CANDIDATES,
    generator: torch.Generator | None = None,
) -> tuple[Remedy, ...]:
    """Fit each candidate on half of the rows and measure the conditioning on the other half.

    Args:
        x: Data rows; at least 4.
        label: Labels of the rows.
        path: Name or instance of the path.
        names: Candidates: names of preconditioners that are quick to fit.
        generator: Source of the split; None is a fixed seed.

    Returns:
        The candidates that these rows suffice for, best first. Bits have none but the identity.

    Warns:
        UserWarning: Candidates were skipped because every entry of the rows is one of two values.
    """
    found, why = [], why_none(x)
    maps = {name: preconditioners.REGISTRY.create(name) for name in names}
    if why is not None:
        refused = [name for name, the_map in maps.items() if not isinstance(the_map, Identity)]
        if refused:
            warnings.warn(f"skipped {', '.join(refused)}: {why}", UserWarning, stacklevel=2)
        maps = {name: the_map for name, the_map in maps.items() if name not in refused}
    for name, the_map in maps.items():
        try:
            report = conditioning(
                x,
                label,
                preconditioner=the_map,
                path=path,
                times=_TIMES,
                intervals=False,
                generator=generator,
            )
        except InvalidInputError:  # too few rows of some label for this map
            continue
        labels = [part.worst for part in report.per_label.values() if part.is_reliable]
        worst = max(labels, default=report.worst)
        found.append(Remedy(name, worst, _inverse_ms(the_map, x, label)))
    return tuple(sorted(found, key=lambda remedy: remedy.condition_number))


def why_none(x: Tensor) -> str | None:
    """Say why no preconditioner serves these rows, or None where one may.

    Example:
        >>> why_none(torch.randn(4, 2)) is None
        True
        >>> why_none(torch.tensor([[0.0, 1.0], [1.0, 1.0]]))[:29]
        'no preconditioner serves bits'
    """
    try:
        check_rows_are_not_bits(x, "a preconditioner")
    except IncompatiblePartsError:
        return (
            f"no preconditioner serves bits, and every entry is {float(x.min()):g} or 1: a map "
            f"would move both values, and nothing could be rounded at the end. Train longer, "
            f"raise the learning rate, or predict 'x1' with the divergence 'bce'; or dequantise "
            f"the data first."
        )
    return None


def _inverse_ms(the_map: AbstractPreconditioner, x: Tensor, label: Tensor | None) -> float:
    """Time the inverse on at most 1,000 rows, the second of two calls."""
    some = None if label is None else label[:1000]
    with torch.no_grad():
        z = the_map(x[:1000], some).value
        for _ in range(2):
            start = time.perf_counter()
            the_map.inverse(z, some)
            if z.is_cuda:
                torch.cuda.synchronize(z.device)
            seconds = time.perf_counter() - start
    return 1e3 * seconds * 1000 / z.shape[0]
