"""Several outputs side by side, each with its own divergence and weight."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor, nn

from precond_gm.errors import InvalidInputError
from precond_gm.objectives.divergences.base import AbstractDivergence
from precond_gm.objectives.divergences.domain import Domain

__all__ = ["Output", "Separable"]


@final
@dataclass(frozen=True)
class Output:
    """One of several outputs.

    Attributes:
        divergence: Its divergence.
        size: Number of entries along axis 1 that it takes.
        weight: Its weight in the sum, positive.
    """

    divergence: AbstractDivergence
    size: int
    weight: float = 1.0


@final
class Separable(nn.Module, AbstractDivergence):
    r"""Sum ``sum_k w_k D_k(a_k, b_k)`` over consecutive blocks of axis 1.

    A positive sum of Bregman divergences is one, so each block still learns its conditional mean:
    rates beside positions, bits beside real numbers. What one block cannot do, the whole cannot:
    leave the space of the prediction, or follow a preconditioner. A block with a metric
    ``(t, z) -> matrices`` is given the whole state z, and returns matrices of its own size.

    Args:
        outputs: The blocks in order; their sizes add up to the length of axis 1.

    Raises:
        InvalidInputError: No block, a weight that is not positive, or sizes that do not fit.

    References:
        arXiv:2511.16599, section 4.5.

    Example:
        >>> from precond_gm.objectives.divergences import BinaryCrossEntropy, Squared
        >>> mixed = Separable(Output(Squared(), 3), Output(BinaryCrossEntropy(), 5, weight=0.5))
        >>> mixed.is_bregman
        True
    """

    def __init__(self, *outputs: Output) -> None:
        super().__init__()
        if not outputs:
            raise InvalidInputError(
                "Separable takes one Output(divergence, size, weight) or more; got none."
            )
        for output in outputs:
            if not (output.weight > 0 and output.size > 0):
                raise InvalidInputError(
                    f"every output has a positive size and weight; got {output!r}. An output of "
                    f"weight 0 is never learned."
                )
        self.outputs = outputs
        self.parts = nn.ModuleList(
            o.divergence for o in outputs if isinstance(o.divergence, nn.Module)
        )

    @property
    def is_bregman(self) -> bool:  # type: ignore[override]
        """Whether every block is."""
        return all(output.divergence.is_bregman for output in self.outputs)

    @property
    def domain(self) -> Domain:  # type: ignore[override]
        """Domain of the first block that is not on R^d, or R^d if all are."""
        domains = [output.divergence.domain for output in self.outputs]
        return next((domain for domain in domains if domain is not Domain.REAL), Domain.REAL)

    @property
    def is_translation_invariant(self) -> bool:  # type: ignore[override]
        """Whether every block is, so that the loss space may differ from the prediction."""
        return all(output.divergence.is_translation_invariant for output in self.outputs)

    def at(self, t: Tensor, z: Tensor) -> AbstractDivergence:
        """Return the sum with every block at these times and points."""
        there = [output.divergence.at(t, z) for output in self.outputs]
        if all(new is o.divergence for new, o in zip(there, self.outputs, strict=True)):
            return self
        pairs = zip(there, self.outputs, strict=True)
        return Separable(*(Output(new, o.size, o.weight) for new, o in pairs))

    def forward(self, target: Tensor, prediction: Tensor) -> Tensor:
        """Return the weighted sum of each row."""
        pairs = zip(self.outputs, self._split(target), self._split(prediction), strict=True)
        return torch.stack([o.weight * o.divergence(a, b) for o, a, b in pairs]).sum(0)

    def mean(self, prediction: Tensor) -> Tensor:
        """Turn every block into its mean."""
        blocks = zip(self.outputs, self._split(prediction), strict=True)
        return torch.cat([o.divergence.mean(b) for o, b in blocks], 1)

    def link(self, mean: Tensor) -> Tensor:
        """Undo ``mean``."""
        blocks = zip(self.outputs, self._split(mean), strict=True)
        return torch.cat([o.divergence.link(b) for o, b in blocks], 1)

    def finish(self, mean: Tensor) -> Tensor:
        """Finish every block."""
        blocks = zip(self.outputs, self._split(mean), strict=True)
        return torch.cat([o.divergence.finish(b) for o, b in blocks], 1)

    def check(self, target: Tensor, prediction: Tensor) -> None:
        """Check every block.

        Raises:
            InvalidInputError: A target or a prediction outside the domain of its block.
        """
        pairs = zip(self.outputs, self._split(target), self._split(prediction), strict=True)
        for output, a, b in pairs:
            output.divergence.check(a, b)

    def _split(self, rows: Tensor) -> tuple[Tensor, ...]:
        sizes = [output.size for output in self.outputs]
        if sum(sizes) != rows.shape[1]:
            raise InvalidInputError(
                f"the outputs take {' + '.join(map(str, sizes))} = {sum(sizes)} entries along "
                f"axis 1; the rows have {rows.shape[1]}."
            )
        return torch.split(rows, sizes, 1)
