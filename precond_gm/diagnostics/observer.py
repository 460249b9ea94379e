"""What a network has learned so far, direction by direction, from inside anyone's training loop."""

from __future__ import annotations

import math
import warnings
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from precond_gm.diagnostics.conditioning import conditioning
from precond_gm.diagnostics.remedy import Remedy, remedies
from precond_gm.diagnostics.underfit import UnderfitReport, underfit
from precond_gm.errors import InvalidInputError
from precond_gm.flow import PreconditionedFlow
from precond_gm.values import AbstractReport, Batch

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Observer", "ObserverReport", "StagnationWarning"]

_STILL = 0.1  # a gap that closes by less than a tenth over the window stands still


class StagnationWarning(UserWarning):
    """Training no longer improves along directions where an affine map would do better."""


@dataclass(frozen=True)
class ObserverReport(AbstractReport):
    """History of the explained share per direction, mean over t.

    Attributes:
        steps: Training steps, shape ``observations``.
        explained: Share of the target's variance that the network explains, per direction in the
            order of ascending eigenvalues, shape ``observations dim``.
        linear_explained: Share that the best linear predictor explains.
        directions: Directions that were under-fitted at one time or more, per observation.
        warned_at: Step of the warning, or None.
    """

    steps: Tensor
    explained: Tensor
    linear_explained: Tensor
    directions: Tensor
    warned_at: int | None

    def as_metrics(self) -> dict[str, float]:
        """Return the last observation under ``observer/...``."""
        found = {
            "steps": float(self.steps[-1]),
            "explained": float(self.explained[-1].nanmean()),
            "linear_explained": float(self.linear_explained[-1].nanmean()),
            "directions": float(self.directions[-1]),
            "warned": float(self.warned_at is not None),
        }
        return {f"observer/{name}": v for name, v in found.items() if math.isfinite(v)}

    def plot(self) -> Figure:
        """Draw the gap to the linear predictor per direction over training."""
        from precond_gm.plotting.underfit import plot_history

        return plot_history(self.steps, self.explained, self.linear_explained, self.directions)


class Observer:
    """Watch under-fitted directions during training: ``observer(step, x, label)`` in the loop.

    The batches just before an observation are judged *before* they are trained on for as long as
    the rows are new, so the first epoch is held out; later rows were seen before, which can only
    hide under-fitting, never invent it. Randomness is the observer's own.

    Args:
        flow: The flow in training.
        every: Steps between observations.
        times: Number of times judged.
        max_rows: Rows judged: the last ones before the observation.
        margin: As in ``underfit``.
        patience: Observations over which a gap must stand still for the warning, at least 2.
        log: Called with (metrics, step) after each observation; a tracker's ``log_metrics``, say.
        generator: Source of the noise; None is a fixed seed.

    Example:
        >>> import torch, precond_gm as pg
        >>> flow = pg.wrap(pg.models.MLP(2), event_shape=(2,))
        >>> observer = Observer(flow, every=2)
        >>> for step in range(5):
        ...     seen = observer(step, torch.randn(32, 2))
        >>> observer.report().steps
        tensor([2, 4])
    """

    def __init__(
        self,
        flow: PreconditionedFlow,
        *,
        every: int = 500,
        times: int = 5,
        max_rows: int = 1024,
        margin: float = 0.05,
        patience: int = 3,
        log: Callable[[Mapping[str, float], int], object] | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        if every < 1 or patience < 2:
            raise InvalidInputError(
                f"every is at least 1 and patience at least 2; got {every} and {patience}."
            )
        self.flow, self.every, self.times = flow, every, times
        self.max_rows, self.margin, self.patience = max_rows, margin, patience
        self.log = log
        self.generator = generator if generator is not None else torch.Generator().manual_seed(0)
        self.history: list[tuple[int, UnderfitReport]] = []
        self.warned_at: int | None = None
        self._rows: deque[Batch] = deque()

    def __call__(self, step: int, x: Tensor, label: Tensor | None = None) -> UnderfitReport | None:
        """Keep the batch if an observation is near; observe at every ``every``-th step.

        Args:
            step: Training step, counted from 0.
            x: The batch, in data coordinates.
            label: Its labels.

        Returns:
            The report at a step where one was made, else None.
        """
        left = -step % self.every
        if left * x.shape[0] < self.max_rows:
            # Cloned, since loaders may fill the same buffer again.
            self._rows.append(Batch(x.detach().clone(), None if label is None else label.clone()))
        if left or not step:
            return None
        rows, report = self._gathered(), None
        if rows.x.shape[0] >= 8:
            report = self._observe(step, rows)
        self._rows.clear()
        return report

    def report(self) -> ObserverReport:
        """Return the history so far.

        Raises:
            InvalidInputError: Nothing was observed yet.
        """
        if not self.history:
            raise InvalidInputError(
                f"nothing was observed yet: call observer(step, x, label) in each step; it looks "
                f"at steps {self.every}, {2 * self.every}, ..."
            )
        reports = [report for _, report in self.history]
        return ObserverReport(
            steps=torch.tensor([step for step, _ in self.history]),
            explained=torch.stack([report.explained.mean(0) for report in reports]),
            linear_explained=torch.stack([report.linear_explained.mean(0) for report in reports]),
            directions=torch.tensor([report.num_directions for report in reports]),
            warned_at=self.warned_at,
        )

    def _gathered(self) -> Batch:
        labels = [batch.label for batch in self._rows if batch.label is not None]
        x = torch.cat([batch.x for batch in self._rows])[-self.max_rows :]
        return Batch(x, torch.cat(labels)[-self.max_rows :] if labels else None)

    def _observe(self, step: int, rows: Batch) -> UnderfitReport:
        report = underfit(
            self.flow,
            rows.x,
            rows.label,
            times=self.times,
            margin=self.margin,
            max_rows=self.max_rows,
            generator=self.generator,
        )
        self.history.append((step, report))
        if self.log is not None:
            self.log(report.as_metrics(), step)
        if self.warned_at is None and self._stands_still():
            self.warned_at = step
            warnings.warn(self._message(step, rows), StagnationWarning, stacklevel=3)
        return report

    def _stuck(self) -> Tensor:
        """Return the cells that were under-fitted in every observation of the window."""
        window = [report for _, report in self.history[-self.patience :]]
        return torch.stack([report.underfitted for report in window]).all(0)

    def _stands_still(self) -> bool:
        """Whether the gap to the linear predictor no longer closes along suppressed directions."""
        if len(self.history) < self.patience:
            return False
        stuck = self._stuck()
        values = self.history[-1][1].eigenvalues
        stuck &= values < values.mean(1, keepdim=True)  # suppressed: below the mean variance
        if not bool(stuck.any()):
            return False
        first, last = self.history[-self.patience][1], self.history[-1][1]
        before, after = (
            float((report.linear_explained - report.explained)[stuck].mean())
            for report in (first, last)
        )
        return after > (1 - _STILL) * before

    def _message(self, step: int, rows: Batch) -> str:
        stuck, last = self._stuck(), self.history[-1][1]
        here = conditioning(
            self.flow.precondition(rows.x, rows.label),
            rows.label,
            path=self.flow.path,
            times=21,
            intervals=False,
        )
        worst = max([part.worst for part in here.per_label.values()], default=here.worst)
        offers = remedies(rows.x, rows.label, path=self.flow.path, generator=self.generator)
        return (
            f"step {step}: {int(stuck.any(0).sum())} of {stuck.shape[1]} directions are "
            f"under-fitted and have not improved over the last {self.patience} observations: the "
            f"network explains {float(last.explained[stuck].mean()):.2f} of the target there, an "
            f"affine map {float(last.linear_explained[stuck].mean()):.2f}. The largest condition "
            f"number of Sigma_t is {worst:.3g}.\n{_advice(worst, offers)}"
        )


def _advice(worst: float, offers: tuple[Remedy, ...]) -> str:
    better = [offer for offer in offers if offer.condition_number < worst / 2]
    if not better:
        return (
            "No affine preconditioner would make it half as large: train longer, raise the "
            "learning rate, or use a larger network."
        )
    lines = "\n".join(f"  {offer}" for offer in better)
    return (
        f"Train anew with a preconditioner (a trained network cannot be preconditioned "
        f"afterwards):\n{lines}\nFor example wrap(model, preconditioner={better[0].name!r})."
    )
