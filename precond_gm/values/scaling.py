"""The affine map between the units of a file and the coordinates x of the package."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

__all__ = ["Scaling"]


@dataclass(frozen=True)
class Scaling:
    """``x = (raw - shift) / scale``, kept with every model so that samples return in raw units.

    Attributes:
        shift, scale: Of the shape of a row, or one number.
        quantum: Width of the uniform noise that was added to integer data; 0 if none was.
    """

    shift: Tensor
    scale: Tensor
    quantum: float = 0.0

    def apply(self, raw: Tensor) -> Tensor:
        """Return rows in the package's coordinates."""
        return (raw - self.shift) / self.scale

    def undo(self, x: Tensor) -> Tensor:
        """Return rows in the units of the file; integers are not rounded back here."""
        return x * self.scale + self.shift

    def to_dict(self) -> dict[str, Any]:
        """Return plain tensors and numbers, for a checkpoint."""
        return {"shift": self.shift, "scale": self.scale, "quantum": self.quantum}

    @classmethod
    def from_dict(cls, state: dict[str, Any]) -> Scaling:
        """Restore what ``to_dict`` gave."""
        return cls(
            torch.as_tensor(state["shift"]),
            torch.as_tensor(state["scale"]),
            float(state["quantum"]),
        )
