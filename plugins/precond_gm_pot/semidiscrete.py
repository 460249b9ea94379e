"""Semidiscrete transport: one potential for each data point, fitted once for the whole data set."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from typing import Any, final

import torch
from torch import Tensor

from precond_gm.couplings import AbstractCoupling
from precond_gm.couplings.within_label import check_pair
from precond_gm.errors import CheckpointError, InvalidInputError, NotFittedError
from precond_gm.numerics.noise import standard_normal
from precond_gm.numerics.rows import RowsLike, check_rows, collect, flatten
from precond_gm.options import check_counts, check_positive
from precond_gm.values import Pairing

__all__ = ["Semidiscrete"]

UNLABELLED = -1
RATE, SMOOTHING = 0.05, 0.1  # in deviations of <z0, z1> over the data; both fall to (nearly) zero
NOISE_ROWS = 512  # noise rows in a step
HELD_OUT = 16_384  # noise rows, at least, on which the misfit is judged


@final
@dataclass(frozen=True)
class Semidiscrete(AbstractCoupling):
    r"""Pair noise with the data point that optimal transport to the *whole* data set assigns to it.

    .. math::
        j(z_0) = \arg\max_j \; g_j + \langle z_0, z_1^j \rangle

    The potentials g are fitted once, by stochastic ascent of the dual, within each label; a batch
    then costs one matrix product and has no bias of a finite batch. Noise keeps its law exactly;
    data points are drawn with frequency 1/N up to ``misfit``; equal rows are one point with their
    frequency together. **Pairs do not use the data rows of the batch**, only their number and
    labels: the points come from the fitted set, which is kept (and saved) with the potentials,
    sorted by label. Worth it where the set has up to some ten thousand points;
    with many more, or thousands of dimensions, the matrix product costs more than ``pot.exact``.

    Args:
        steps: Steps of the fit; more of them in few dimensions, where ``misfit`` falls slowly.
        tolerance: A larger ``misfit`` is warned of.

    Raises:
        InvalidInputError: An option out of range, or labels in one place and none in the other.
        NotFittedError: Before ``fit``.

    References:
        2509.25519 (semidiscrete couplings); 1605.08527 (stochastic ascent of the dual).

    Example:
        >>> coupling = Semidiscrete(steps=50)
        >>> coupling.fit(torch.tensor([[-3.0], [3.0]]), generator=torch.Generator().manual_seed(0))
        >>> coupling.pair(torch.tensor([[-1.0], [2.0]]), torch.zeros(2, 1)).z1.flatten().tolist()
        [-3.0, 3.0]
    """

    steps: int = 1000
    tolerance: float = 0.5
    _fitted: dict[str, Any] = field(default_factory=dict, init=False, repr=False, compare=False)
    _parts: dict[torch.device, dict[int, tuple[Tensor, Tensor]]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )  # points and potentials of each label, on every device that asked for them

    def __post_init__(self) -> None:
        check_counts(self, "steps")
        check_positive(self, "tolerance")

    @property
    def needs_fit(self) -> bool:
        """Whether ``fit`` must be called before ``pair``."""
        return not self._fitted

    @property
    def misfit(self) -> dict[int, float]:
        """Chi-squared distance of the drawn frequencies from the data's, by label (-1: none)."""
        return dict(self._fitted.get("misfit", {}))

    @torch.no_grad()
    def fit(
        self,
        z1: RowsLike,
        label: Tensor | None = None,
        *,
        generator: torch.Generator | None = None,
    ) -> None:
        """Fit the potentials to the data set, within each label."""
        data = collect(z1, label)
        labels = data.label
        if labels is None:
            labels = torch.full((data.x.shape[0],), UNLABELLED, device=data.x.device)
        check_rows(data.x, name="z1")
        points = data.x.to(torch.promote_types(data.x.dtype, torch.float32))
        found: list[tuple[Tensor, Tensor, Tensor]] = []
        misfit = {}
        for name in sorted(set(labels.tolist())):
            mine = torch.nonzero(labels == name)[:, 0]
            first, mass = _distinct(flatten(points[mine]))
            mine = mine[first]
            rows = flatten(points[mine])
            rows = rows - rows.mean(0)  # an offset is the same for every point, and costs digits
            potential = _ascend(rows, mass, self.steps, generator)
            misfit[name] = _misfit(rows, mass, potential, generator)
            found.append((points[mine], labels[mine], potential))
        kept, known, potentials = (torch.cat(parts) for parts in zip(*found, strict=True))
        self._remember({"points": kept, "label": known, "potentials": potentials, "misfit": misfit})
        worst = max(misfit.values())
        if worst > self.tolerance:
            warnings.warn(
                f"Semidiscrete: data points are drawn with frequencies off the data's by "
                f"{worst:.2g} in chi-squared distance, above the tolerance {self.tolerance:g}. "
                f"Fit with more steps than {self.steps}.",
                RuntimeWarning,
                stacklevel=2,
            )

    @torch.no_grad()
    def pair(
        self,
        z0: Tensor,
        z1: Tensor,
        label: Tensor | None = None,
        *,
        generator: torch.Generator | None = None,
    ) -> Pairing:
        """Give each noise row its data point, of the label of its row."""
        check_pair(z0, z1, label)
        self._require(z1, label)
        parts = self._on(z1.device)
        noise = flatten(z0).to(self._fitted["points"].dtype)
        if label is None:
            return Pairing(z0, _chosen(noise, *parts[UNLABELLED]).to(z1.dtype), None)
        chosen = torch.empty_like(z1)
        for name in torch.unique(label).tolist():
            rows = label == name
            chosen[rows] = _chosen(noise[rows], *parts[name]).to(z1.dtype)
        return Pairing(z0, chosen, label)

    def state_dict(self) -> dict[str, Any]:
        """Return points, labels, potentials and misfit."""
        return dict(self._fitted)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what ``state_dict`` returned.

        Raises:
            CheckpointError: Something is missing.
        """
        missing = {"points", "label", "potentials", "misfit"} - set(state)
        if state and missing:
            raise CheckpointError(
                f"the state of Semidiscrete lacks {', '.join(sorted(missing))}. Load a state that "
                f"its state_dict() returned."
            )
        self._remember(state)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_parts": {}}  # views, which pickle would write out one by one

    def _remember(self, state: dict[str, Any]) -> None:
        """Keep a fitted state, sorted by label, so that the points of a label are a view."""
        self._fitted.clear()
        self._parts.clear()
        self._fitted.update(state)
        if not state:
            return
        label = state["label"]
        if bool((label[1:] < label[:-1]).any()):  # saved before points were sorted
            order = torch.argsort(label, stable=True)
            for name in ("points", "label", "potentials"):
                self._fitted[name] = state[name][order]
        self._on(label.device)  # once, and not in every worker

    def _on(self, device: torch.device) -> dict[int, tuple[Tensor, Tensor]]:
        """Return points and potentials of each label on a device."""
        if device not in self._parts:
            names, counts = torch.unique(self._fitted["label"], return_counts=True)
            sides = (self._fitted[name].to(device) for name in ("points", "potentials"))
            points, potentials = (torch.split(side, counts.tolist()) for side in sides)
            split = zip(points, potentials, strict=True)
            self._parts[device] = dict(zip(names.tolist(), split, strict=True))
        return self._parts[device]

    def _require(self, z1: Tensor, label: Tensor | None) -> None:
        if self.needs_fit:
            raise NotFittedError(
                "Semidiscrete is not fitted. Call fit(z1, label) on the preconditioned data set, "
                "or flow.fit_coupling(x, label)."
            )
        known = self._fitted["misfit"]
        if (label is None) != (UNLABELLED in known):
            fitted, given = ("no labels", "labels") if label is not None else ("labels", "none")
            raise InvalidInputError(
                f"Semidiscrete was fitted with {fitted} and the batch has {given}. Give labels in "
                f"both places or in neither."
            )
        if label is not None and (unknown := set(label.tolist()) - set(known)):
            raise InvalidInputError(
                f"Semidiscrete was fitted on the labels {sorted(known)}; the batch holds "
                f"{sorted(unknown)}. Fit it on data of every label."
            )
        if z1.shape[1:] != self._fitted["points"].shape[1:]:
            raise InvalidInputError(
                f"Semidiscrete was fitted on rows of shape "
                f"{tuple(self._fitted['points'].shape[1:])}; got {tuple(z1.shape[1:])}."
            )


def _chosen(noise: Tensor, points: Tensor, potential: Tensor) -> Tensor:
    """Return the point that each noise row chooses."""
    return points[torch.addmm(potential, noise, flatten(points).T).argmax(1)]


def _distinct(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Return the first place of each distinct row, in order, and the share of rows equal to it."""
    places: dict[bytes, list[int]] = {}
    for place, row in enumerate((rows + 0.0).cpu().numpy()):  # -0.0 is 0.0
        places.setdefault(row.tobytes(), []).append(place)
    first = torch.tensor([found[0] for found in places.values()], device=rows.device)
    count = rows.new_tensor([len(found) for found in places.values()])
    return first, count / len(rows)


def _ascend(rows: Tensor, mass: Tensor, steps: int, generator: torch.Generator | None) -> Tensor:
    """Maximise the dual by Adam on softened, then harder and harder assignments.

    The gradient of the dual at point j is its mass less the frequency with which noise chooses j; a
    soft choice spreads every noise row over many points, which removes most of the sampling noise.
    """
    count = rows.shape[0]
    potential, first, second = (rows.new_zeros(count) for _ in range(3))
    if count == 1:
        return potential
    deviation = (rows - rows.mean(0)).square().sum(1).mean().sqrt()
    deviation = torch.maximum(deviation, 1e-6 * rows.abs().amax()).clamp_min(1e-30)
    like = rows.new_empty(NOISE_ROWS, rows.shape[1])
    for step in range(steps):
        left = 1 - step / steps
        sharp = 1 / (deviation * max(SMOOTHING * left, 1e-3))
        score = torch.addmm(potential * sharp, standard_normal(like, generator) * sharp, rows.T)
        excess = torch.softmax(score, 1).mean(0) / mass - 1
        first = 0.9 * first + 0.1 * excess
        second = 0.99 * second + 0.01 * excess.square()
        unbiased = second.div(1 - 0.99 ** (step + 1)).sqrt() + 1e-8
        potential = potential - RATE * left * deviation * first / (1 - 0.9 ** (step + 1)) / unbiased
    return potential


def _misfit(
    rows: Tensor, mass: Tensor, potential: Tensor, generator: torch.Generator | None
) -> float:
    """Return ``sum p_j^2 / mass_j - 1`` without bias, from pairs of draws that agree."""
    count, drawn = rows.shape[0], 0
    hits = rows.new_zeros(count, dtype=torch.float64)
    while drawn < max(HELD_OUT, 4 * count):
        noise = standard_normal(rows.new_empty(2048, rows.shape[1]), generator)
        chosen = torch.addmm(potential, noise, rows.T).argmax(1)
        hits += torch.bincount(chosen, minlength=count)
        drawn += 2048
    return float((hits * (hits - 1) / mass).sum() / (drawn * (drawn - 1)) - 1)
