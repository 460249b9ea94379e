"""What a network has learned so far, direction by direction, from inside anyone's training loop."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from precond_gm.diagnostics.judged_rows import LEAST_ROWS, check_margin, rows_in_z, without_labels
from precond_gm.diagnostics.observer_report import ObserverReport, Seen
from precond_gm.diagnostics.remedy import Remedy, remedies, why_none
from precond_gm.diagnostics.underfit import ROWS_PER_FEATURE, UnderfitReport, judge
from precond_gm.errors import InvalidInputError
from precond_gm.flow import PreconditionedFlow
from precond_gm.values import Batch

__all__ = ["Observer", "ObserverReport", "StagnationWarning"]

_ROWS = 1024
_STILL = 0.1  # a gap that closes by less than a tenth over the window stands still


class StagnationWarning(UserWarning):
    """Training no longer improves along directions where an affine map would do better."""


class Observer:
    """Watch under-fitted directions during training: ``observer(step, x, label)`` in the loop.

    The batches just before an observation are judged *before* they are trained on for as long as
    the rows are new, so the first epoch is held out; later rows were seen before, which can only
    hide under-fitting, never invent it. Randomness is the observer's own.

    Args:
        flow: The flow in training, or its moving average.
        every: Steps between observations.
        times: Number of times judged.
        max_rows: Rows judged: the last ones before the observation. None takes four for each
            feature, as an affine map needs, and at least 1,024. A step before which fewer than
            four for each feature came is not observed, and this is said once.
        margin: As in ``underfit``.
        patience: Observations over which a gap must stand still for the warning, at least 2.
        log: Called with (metrics, step) after each observation; a tracker's ``log_metrics``, say.
        notify: Called with the text of a warning; None gives a ``StagnationWarning``, and a plain
            ``UserWarning`` where a step cannot be observed.
        generator: Source of the noise; None is a fixed seed.

    Attributes:
        warned_at: Step of the warning, or None.
        warning: Its text.

    Raises:
        InvalidInputError: An option out of range.

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
        max_rows: int | None = None,
        margin: float = 0.05,
        patience: int = 3,
        log: Callable[[Mapping[str, float], int], object] | None = None,
        notify: Callable[[str], object] | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        if every < 1 or patience < 2:
            raise InvalidInputError(
                f"every is at least 1 and patience at least 2; got {every} and {patience}."
            )
        if max_rows is not None and max_rows < LEAST_ROWS:
            raise InvalidInputError(
                f"max_rows is at least {LEAST_ROWS}, and four for each feature, or None; got "
                f"{max_rows}."
            )
        check_margin(margin)
        self.flow, self.every, self.times = flow, every, times
        self.max_rows, self.margin, self.patience = max_rows, margin, patience
        self.log, self.notify = log, notify
        self.generator = generator if generator is not None else torch.Generator().manual_seed(0)
        self.warned_at: int | None = None
        self.warning = ""
        self._rows: list[Batch] = []
        self._seen: list[Seen] = []
        self._recent: list[UnderfitReport] = []
        self._said: set[str] = set()

    def __call__(
        self, step: int, x: Tensor, label: Tensor | None = None, *, preconditioned: bool = False
    ) -> UnderfitReport | None:
        """Keep the batch if an observation is near; observe at every ``every``-th step.

        Args:
            step: Number of steps that the network has taken.
            x: The batch, in data coordinates.
            label: Its labels.
            preconditioned: Whether the rows are z already, as in ``flow.loss``.

        Returns:
            The report at a step where one was made, else None.

        Raises:
            InvalidInputError: Another event shape than the flow's; labels in some batches only.
            InvalidTypeError: Rows of a precision that the network refuses.
            NonFiniteError: The network gives NaN or infinity.
        """
        if label is None and self.flow.num_labels is not None:
            self._say_once("label", without_labels(self.flow.num_labels), UserWarning)
        left = -step % self.every
        if left * x.shape[0] < self._wanted(x):
            self._check_alike(label)
            z = x.detach().clone()  # since loaders may fill the same buffer again
            z = z if preconditioned else self.flow.precondition(z, label)
            self._rows.append(Batch(z, None if label is None else label.clone()))
        if left or not step:
            return None
        rows, report = self._gathered(), None
        self._rows.clear()
        least = max(LEAST_ROWS, ROWS_PER_FEATURE * rows.x[0].numel())
        if rows.x.shape[0] >= least:
            report = self._observe(step, rows)
        else:
            self._say_once("rows", self._skipped(step, rows, least), UserWarning)
        return report

    @property
    def has_seen(self) -> bool:
        """Whether an observation was made."""
        return bool(self._seen)

    def report(self) -> ObserverReport:
        """Return the history so far.

        Raises:
            InvalidInputError: Nothing was observed yet.
        """
        if not self._seen:
            raise InvalidInputError(
                f"nothing was observed yet: call observer(step, x, label) in each step; it looks "
                f"at steps {self.every}, {2 * self.every}, ..."
            )
        return ObserverReport(
            steps=torch.tensor([seen.step for seen in self._seen]),
            explained=torch.stack([seen.explained for seen in self._seen]),
            linear_explained=torch.stack([seen.linear_explained for seen in self._seen]),
            directions=torch.tensor([seen.directions for seen in self._seen]),
            warned_at=self.warned_at,
            warning=self.warning,
        )

    def state_dict(self) -> dict[str, Any]:
        """Return all that a resumed loop needs to observe as if it had never stopped."""
        return {
            "seen": [vars(seen) for seen in self._seen],
            "recent": [vars(report) for report in self._recent],
            "rows": [(rows.x, rows.label) for rows in self._rows],
            "warned_at": self.warned_at,
            "warning": self.warning,
            "said": sorted(self._said),
            "generator": self.generator.get_state(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state that ``state_dict`` returned."""
        self._seen = [Seen(**seen) for seen in state["seen"]]
        self._recent = [UnderfitReport(**report) for report in state["recent"]]
        self._rows = [Batch(x, label) for x, label in state["rows"]]
        self.warned_at, self.warning = state["warned_at"], state["warning"]
        self._said = set(state.get("said", ()))  # older states have none
        self.generator.set_state(state["generator"])

    def _wanted(self, x: Tensor) -> int:
        return self.max_rows or max(_ROWS, ROWS_PER_FEATURE * math.prod(x.shape[1:]))

    def _check_alike(self, label: Tensor | None) -> None:
        """Refuse batches of which some have labels and some do not."""
        if self._rows and (self._rows[-1].label is None) != (label is None):
            here, before = ("no", "labels") if label is None else ("a", "none")
            raise InvalidInputError(
                f"this batch has {here} label, and the batch before had {before}: rows of one "
                f"observation are judged together. Give a label for each row in every step, or "
                f"in none."
            )

    def _gathered(self) -> Batch:
        last = slice(-self._wanted(self._rows[0].x), None)
        labels = [batch.label for batch in self._rows if batch.label is not None]
        x = torch.cat([batch.x for batch in self._rows])[last]
        return Batch(x, torch.cat(labels)[last] if labels else None)

    def _skipped(self, step: int, rows: Batch, least: int) -> str:
        got, dim = rows.x.shape[0], rows.x[0].numel()
        limit = self.max_rows is not None and self.max_rows < least
        remedy = f"max_rows={least} or None" if limit else "a larger every, or larger batches"
        return (
            f"step {step} is not observed, nor are others like it: an affine map of {dim} features "
            f"takes {least} rows or more, and {got} were kept since the step before. Give the "
            f"observer {remedy}."
        )

    def _say_once(self, about: str, text: str, category: type[Warning]) -> None:
        if about not in self._said:
            self._said.add(about)
            self._say(text, category)

    def _say(self, text: str, category: type[Warning]) -> None:
        if self.notify is None:
            warnings.warn(text, category, stacklevel=4)
        else:
            self.notify(text)

    def _observe(self, step: int, rows: Batch) -> UnderfitReport:
        some = rows_in_z(self.flow, rows.x, rows.label, None, self.generator, preconditioned=True)
        report = judge(
            self.flow, some, times=self.times, margin=self.margin, generator=self.generator
        )
        self._seen.append(Seen.of(step, report))
        self._recent = [*self._recent, report][-self.patience :]
        if self.warned_at is None and self._stands_still():
            self.warned_at, self.warning = step, self._message(step, rows)
            self._say(self.warning, StagnationWarning)
        if self.log is not None:
            self.log(self.report().as_metrics(), step)
        return report

    def _stuck(self) -> Tensor:
        """Return the cells that were under-fitted in every observation of the window."""
        return torch.stack([report.underfitted for report in self._recent]).all(0)

    def _stands_still(self) -> bool:
        """Whether the gap to the linear predictor no longer closes along suppressed directions."""
        if len(self._recent) < self.patience:
            return False
        stuck, first, last = self._stuck(), self._recent[0], self._recent[-1]
        values = last.eigenvalues
        stuck &= values < values.mean(1, keepdim=True)  # suppressed: below the mean variance
        if not bool(stuck.any()):
            return False
        before, after = (
            float((report.linear_explained - report.explained)[stuck].mean())
            for report in (first, last)
        )
        return after > (1 - _STILL) * before

    def _message(self, step: int, rows: Batch) -> str:
        stuck, last, path = self._stuck(), self._recent[-1], self.flow.path
        (now,) = remedies(rows.x, rows.label, path=path, names=["identity"])
        worst = now.condition_number
        with torch.no_grad():
            x = self.flow.preconditioner.inverse(rows.x, rows.label).value
        why = why_none(x)
        advice = why or _advice(worst, remedies(x, rows.label, path=path))
        return (
            f"step {step}: {int(stuck.any(0).sum())} of {stuck.shape[1]} directions are "
            f"under-fitted and have not improved over the last {self.patience} observations: the "
            f"network explains {float(last.explained[stuck].mean()):.2f} of the target there, an "
            f"affine map {float(last.linear_explained[stuck].mean()):.2f}. The largest condition "
            f"number of Sigma_t is {worst:.3g}.\n{advice}"
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
