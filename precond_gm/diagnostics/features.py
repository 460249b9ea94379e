"""A small network trained on the data, for features and for labels: nothing is downloaded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from precond_gm.errors import NonFiniteError

__all__ = ["Extractor", "checked_features", "train_extractor"]

_WIDTH, _FEATURES, _STEPS, _BATCH, _RATE = 128, 32, 300, 256, 3e-3


@dataclass(frozen=True)
class Extractor:
    """A trained perceptron: standardise, hidden layer, features, head.

    Attributes:
        mean: Mean of the training rows.
        scale: Deviation of the training rows; 1 for constant features.
        weights: Weight and bias of the three layers.
    """

    mean: Tensor
    scale: Tensor
    weights: tuple[Tensor, ...]

    def __call__(self, rows: Tensor) -> Tensor:
        """Return the features of flat rows, shape ``batch 32``."""
        w1, b1, w2, b2, _, _ = self.weights
        hidden = functional.silu((rows.float() - self.mean) / self.scale @ w1 + b1)
        return torch.tanh(hidden @ w2 + b2)

    def head(self, rows: Tensor) -> Tensor:
        """Return the logits of the labels, or the reconstruction of the standardised rows."""
        return self(rows) @ self.weights[4] + self.weights[5]


def train_extractor(
    rows: Tensor, label: Tensor | None, *, generator: torch.Generator | None = None
) -> Extractor:
    """Train a classifier of the labels, or an autoencoder where there are none.

    Args:
        rows: Flat rows ``batch dim``.
        label: Labels, or None.
        generator: Source of the first weights and of the batches.
    """
    source = generator if generator is not None else torch.Generator().manual_seed(0)
    x = rows.detach().float()
    scale = x.std(0)
    scale = torch.where(scale > 1e-12, scale, torch.ones_like(scale))
    outputs = x.shape[1] if label is None else int(label.max()) + 1

    def layer(inputs: int, outputs: int) -> tuple[Tensor, Tensor]:
        weight = torch.randn(inputs, outputs, generator=source, device=source.device)
        weight = (weight / inputs**0.5).to(x.device)
        return weight.requires_grad_(), torch.zeros(outputs, device=x.device, requires_grad=True)

    shapes = ((x.shape[1], _WIDTH), (_WIDTH, _FEATURES), (_FEATURES, outputs))
    weights = tuple(w for shape in shapes for w in layer(*shape))
    network = Extractor(x.mean(0), scale, weights)
    optimiser = torch.optim.Adam(weights, lr=_RATE)
    for _ in range(_STEPS):
        index = torch.randint(x.shape[0], (_BATCH,), generator=source, device=source.device)
        batch = x[index.to(x.device)]
        with torch.enable_grad():
            if label is None:
                target = (batch - network.mean) / network.scale
                loss = functional.mse_loss(network.head(batch), target)
            else:
                loss = functional.cross_entropy(network.head(batch), label[index.to(x.device)])
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    return Extractor(network.mean, scale, tuple(w.detach() for w in weights))


def checked_features(features: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """Return the extractor with its output flattened and checked.

    Raises:
        NonFiniteError: The extractor gives NaN or infinity; the share of rows is named.
    """

    def extract(rows: Tensor) -> Tensor:
        with torch.no_grad():
            found = features(rows)
        found = found.reshape(rows.shape[0], -1)
        bad = ~torch.isfinite(found).all(1)
        if bool(bad.any()):
            raise NonFiniteError(
                f"the feature extractor gave NaN or infinity for {int(bad.sum())} of "
                f"{rows.shape[0]} rows, first at row {int(torch.nonzero(bad)[0])}. Check the scale "
                f"of the rows it expects, and that it is in eval mode."
            )
        return found

    return extract
