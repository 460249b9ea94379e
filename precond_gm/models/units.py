"""The way back from what a flow is trained on to what a file holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from precond_gm.models.autoencoder import Autoencoder
from precond_gm.values import Scaling

__all__ = ["Units"]


@dataclass(frozen=True)
class Units:
    """Scaling, and the autoencoder whose code the flow lives in, if there is one.

    Attributes:
        scaling: Between the units of the file and the coordinates x.
        autoencoder: Between rows and codes, or None.
    """

    scaling: Scaling
    autoencoder: Autoencoder | None = None

    @torch.no_grad()
    def decode(self, x: Tensor) -> Tensor:
        """Return rows in scaled units: what codes stand for, or the rows themselves."""
        return x if self.autoencoder is None else self.autoencoder.decode(x)

    def undo(self, x: Tensor) -> Tensor:
        """Return rows in the units of the file."""
        return self.scaling.undo(self.decode(x))

    def to_dict(self) -> dict[str, Any]:
        """Return plain values and tensors, for a checkpoint."""
        net = self.autoencoder
        inner = None if net is None else {"options": net.options, "state": net.state_dict()}
        return {"scaling": self.scaling.to_dict(), "autoencoder": inner}

    @classmethod
    def from_dict(cls, state: dict[str, Any]) -> Units:
        """Restore what ``to_dict`` gave."""
        inner = state["autoencoder"]
        net = None
        if inner is not None:
            net = Autoencoder(**inner["options"])
            net.load_state_dict(inner["state"])
        return cls(Scaling.from_dict(state["scaling"]), net)
