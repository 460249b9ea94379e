r"""Euler-Maruyama on several grids at once, beside the exact process, on one Brownian path per row.

Every run is kept without its noise: ``Y = D + sigma W`` with one ``W`` for all of them, so that
``W`` cancels exactly in differences between runs. The exact process is simulated by a scheme of
strong order 1.5 for additive noise, two evaluations per step,

.. math::
    H = X + \tfrac34 h b_t(X) + \tfrac32 \sigma I / h, \quad
    X' = X + h \left(\tfrac13 b_t(X) + \tfrac23 b_{t + 3h/4}(H)\right) + \sigma \Delta B

with ``I`` the integral of the Brownian path over the step; its two nodes also carry the integral
of the path divergence, and neither of them is at t = 1, where drifts may be singular.

References:
    Roessler (2010), SIAM J. Numer. Anal. 48, scheme SRA1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from precond_gm.diagnostics.step_size.mesh import Mesh
from precond_gm.errors import InvalidInputError, NonFiniteError
from precond_gm.numerics.noise import standard_normal
from precond_gm.values import Dynamics

__all__ = ["RunRows", "run_together"]

Draw = Callable[[int], tuple[Tensor, "Tensor | None"]]


@dataclass(frozen=True)
class RunRows:
    """What the runs give for each row; the exact process exists on the first ``m`` of ``n`` rows.

    Attributes:
        final: End of each run, ``grids`` tensors ``n *event``.
        truth: The exact process at the same times, ``grids`` tensors ``m *event``.
        label: Label of each row, or None.
        discretisation: ``int |b_t(X_t) - b_k(X_k)|^2 dt``, shape ``m grids``; ``b`` is the drift
            of the exact process.
        last_step: The part of ``discretisation`` in the last step.
        total: The same with the drift under study at t_k, shape ``m grids``.
        drift: ``sum_k h_k |b_k(X_k) - b'_k(X_k)|^2``, shape ``m grids``.
        control: The discretisation sum along the finest run, shape ``n grids``.
        num_evals: Rows at which the dynamics under study was evaluated.
    """

    final: tuple[Tensor, ...]
    truth: tuple[Tensor, ...]
    label: Tensor | None
    discretisation: Tensor
    last_step: Tensor
    total: Tensor
    drift: Tensor
    control: Tensor
    num_evals: int


@torch.no_grad()
def run_together(
    model: Dynamics,
    process: Dynamics,
    mesh: Mesh,
    draw: Draw,
    *,
    sigma: float,
    num_samples: int,
    num_reference: int,
    chunk: int,
    generator: torch.Generator | None = None,
) -> RunRows:
    """Run every grid of the mesh, and the exact process on some of the rows.

    Args:
        model: Dynamics under study.
        process: Drift of the exact process; ``model`` itself where no other is known.
        mesh: The grids.
        draw: Gives ``n`` rows of the source, and their labels.
        sigma: Scale of the noise.
        num_samples: Rows n.
        num_reference: Rows m of the exact process.
        chunk: Rows that run at once; bounds the memory.
        generator: Source of the noise.

    Raises:
        NonFiniteError: NaN or infinity; names the time and the share of rows.
        InvalidInputError: Dynamics of another shape than the rows.
    """
    parts, done, drawn = [], 0, 0
    while done < num_samples:
        rows = min(chunk, num_samples - done)
        done += rows
        few = round(num_reference * done / num_samples) - drawn
        drawn += few
        z0, label = draw(rows)
        parts.append(
            _run_rows(model, process, mesh, z0, label, few, sigma=sigma, generator=generator)
        )
    return parts[0] if len(parts) == 1 else _joined(parts)


def _run_rows(
    model: Dynamics,
    process: Dynamics,
    mesh: Mesh,
    z0: Tensor,
    label: Tensor | None,
    few: int,
    *,
    sigma: float,
    generator: torch.Generator | None,
) -> RunRows:
    times = torch.tensor(mesh.times, dtype=z0.dtype, device=z0.device)
    runs = _EulerRuns(model, mesh, z0, label, sigma)
    exact = _ExactProcess(process, model, mesh, z0[:few], label if label is None else label[:few])
    path, final, truth = torch.zeros_like(z0), {}, {}
    for j in range(len(mesh.times) - 1):
        h = mesh.times[j + 1] - mesh.times[j]
        runs.evaluate(j, times[j], path)
        step = standard_normal(path, generator) * (h**0.5 * sigma)
        area = _area(step[:few], h, sigma, generator)
        exact.step(j, times[j], times[j] + 0.75 * h, path[:few], area / h)
        path = path + step
        for s in mesh.ending.get(j + 1, ()):
            final[s] = runs.shift[s] + path
            truth[s] = exact.shift + path[:few]
    runs.require_finite()
    order = range(len(mesh.at))
    return RunRows(
        final=tuple(final[s] for s in order),
        truth=tuple(truth[s] for s in order),
        label=label,
        discretisation=exact.discretisation.T,
        last_step=exact.last_step.T,
        total=(exact.discretisation if exact.is_model else exact.total).T,
        drift=exact.drift.T,
        control=runs.control.T,
        num_evals=runs.num_evals + exact.num_evals,
    )


class _EulerRuns:
    """Euler-Maruyama on every grid; ``shift[s]`` is run s without its noise."""

    def __init__(
        self, model: Dynamics, mesh: Mesh, z0: Tensor, label: Tensor | None, sigma: float
    ) -> None:
        self.model, self.mesh, self.label = model, mesh, label
        self.shift = [z0 for _ in mesh.at]
        self.control = _zeros(len(mesh.at), z0)
        self.num_evals = 0
        self._held = torch.zeros_like(z0).repeat(len(mesh.at), *[1] * z0.ndim)
        self._due = set(range(len(mesh.at)))
        self._before: float | None = None
        self._sums: list[Tensor] = []
        self._when: list[float] = []

    def evaluate(self, j: int, t: Tensor, path: Tensor) -> None:
        """Add the drift of every step that begins at mesh time ``j``: one call for all of them."""
        starting = self.mesh.starting.get(j)
        if not starting:
            return
        z = torch.cat([self.shift[s] + path for s, _ in starting])
        label = None if self.label is None else self.label.repeat(len(starting))
        value = self.model(t.expand(z.shape[0]), z, label)
        _require_shape(value, z)
        self.num_evals += z.shape[0]
        self._sums.append(value.sum())
        self._when.append(self.mesh.times[j])
        drifts = value.reshape(len(starting), *path.shape)
        for (s, h), drift in zip(starting, drifts, strict=True):
            self.shift[s] = torch.add(self.shift[s], drift, alpha=h)
            self._due.add(s)
        for (s, _), drift in zip(starting, drifts, strict=True):
            if s == self.mesh.finest:
                self._follow(drift, self.mesh.times[j])

    def _follow(self, drift: Tensor, t: float) -> None:
        """Gather, along the finest run, what every grid misses between its own times."""
        if self._before is not None:
            self.control += _square(drift - self._held) * (t - self._before)
        for s in self._due:
            self._held[s] = drift
        self._due.clear()
        self._before = t

    def require_finite(self) -> None:
        """Look at the checksums, once, after everything has run."""
        broken = ~torch.isfinite(torch.stack(self._sums))
        if not bool(broken.any()):
            return
        bad = [(~torch.isfinite(shift)).flatten(1).any(1) for shift in self.shift]
        rows = int(torch.stack(bad).any(0).sum())
        if rows == 0:  # only the checksum overflowed
            return
        t, n = self._when[int(torch.nonzero(broken)[0])], self.shift[0].shape[0]
        runs = [len(self.mesh.at[s]) - 1 for s, b in enumerate(bad) if bool(b.any())]
        raise NonFiniteError(
            f"the dynamics became NaN or infinite at t = {t:.6g}: {rows} of {n} rows "
            f"({rows / n:.0%}) are not finite at the end, in the runs of {runs} steps. Look at "
            f"the network's output there; a drift that is singular at 1 needs t_max < 1."
        )


class _ExactProcess:
    """The exact process, and what every grid misses along it."""

    def __init__(
        self,
        process: Dynamics,
        model: Dynamics,
        mesh: Mesh,
        z0: Tensor,
        label: Tensor | None,
    ) -> None:
        self.process, self.model, self.mesh, self.label = process, model, mesh, label
        self.is_model = process is model
        self.shift = z0
        self.discretisation, self.total, self.drift, self.last_step = (
            _zeros(len(mesh.at), z0) for _ in range(4)
        )
        self.num_evals = 0
        self._exact_held = torch.zeros_like(z0).repeat(len(mesh.at), *[1] * z0.ndim)
        self._model_held = self._exact_held if self.is_model else self._exact_held.clone()
        self._running = torch.ones_like(self.drift)

    def step(self, j: int, t: Tensor, t_inner: Tensor, path: Tensor, lean: Tensor) -> None:
        """Step from mesh time ``j``; ``lean`` is ``sigma I / h`` with I the path's integral."""
        h = self.mesh.times[j + 1] - self.mesh.times[j]
        x = self.shift + path
        first = self._evaluate(self.process, t, x)
        self._hold(j, t, x, first)
        inner = x + torch.add(1.5 * lean, first, alpha=0.75 * h)
        second = self._evaluate(self.process, t_inner, inner)
        missed = self._missed(first, second, self._exact_held, h)
        self.discretisation += missed
        for s, start in enumerate(self.mesh.last_start):
            if j >= start:
                self.last_step[s] += missed[s]
        if not self.is_model:
            self.total += self._missed(first, second, self._model_held, h)
        self.shift = torch.add(torch.add(self.shift, first, alpha=h / 3), second, alpha=2 * h / 3)

    def _hold(self, j: int, t: Tensor, x: Tensor, first: Tensor) -> None:
        """Remember the drift that each grid holds from here to its next time."""
        for s in self.mesh.ending.get(j, ()):
            self._running[s] = 0
        starting = self.mesh.starting.get(j)
        if not starting:
            return
        held = first if self.is_model else self._evaluate(self.model, t, x)
        error = _square((first - held).unsqueeze(0))[0]
        for s, h in starting:
            self._exact_held[s] = first
            if not self.is_model:
                self._model_held[s] = held
                self.drift[s] += error * h

    def _missed(self, first: Tensor, second: Tensor, held: Tensor, h: float) -> Tensor:
        """Integrate the squared gap over a step from its two nodes, 0 and 3/4."""
        gap = _square(first - held) * (h / 3) + _square(second - held) * (2 * h / 3)
        return gap * self._running

    def _evaluate(self, dynamics: Dynamics, t: Tensor, x: Tensor) -> Tensor:
        value = dynamics(t.expand(x.shape[0]), x, self.label)
        _require_shape(value, x)
        if dynamics is self.model:
            self.num_evals += x.shape[0]
        return value


def _area(step: Tensor, h: float, sigma: float, generator: torch.Generator | None) -> Tensor:
    """Return sigma times the integral of the path over a step, given its increment.

    Given ``D = B(h)`` it is N(h D / 2, h^3 / 12).
    """
    noise = standard_normal(step, generator)
    return torch.add(step * (h / 2), noise, alpha=sigma * (h**3 / 12) ** 0.5)


def _square(gap: Tensor) -> Tensor:
    """Return the squared norm of each row, ``grids rows *event`` to ``grids rows``, in float64."""
    return gap.square().flatten(2).sum(2).to(torch.float64)


def _zeros(grids: int, z: Tensor) -> Tensor:
    return torch.zeros(grids, z.shape[0], dtype=torch.float64, device=z.device)


def _require_shape(value: Tensor, z: Tensor) -> None:
    if value.shape != z.shape:
        raise InvalidInputError(
            f"the dynamics gave shape {tuple(value.shape)} for rows of shape {tuple(z.shape)}. "
            f"It has to return one value per coordinate."
        )


def _joined(parts: Sequence[RunRows]) -> RunRows:
    """Join chunks so that the rows of the exact process come first."""
    few = [part.discretisation.shape[0] for part in parts]

    def rows(of: Callable[[RunRows], Tensor]) -> Tensor:
        first = [of(part)[:m] for part, m in zip(parts, few, strict=True)]
        rest = [of(part)[m:] for part, m in zip(parts, few, strict=True)]
        return torch.cat(first + rest)

    grids = range(len(parts[0].final))
    return RunRows(
        final=tuple(rows(lambda part, s=s: part.final[s]) for s in grids),  # type: ignore[misc]
        truth=tuple(torch.cat([part.truth[s] for part in parts]) for s in grids),
        label=None if parts[0].label is None else rows(lambda part: part.label),  # type: ignore[arg-type, return-value]
        discretisation=torch.cat([part.discretisation for part in parts]),
        last_step=torch.cat([part.last_step for part in parts]),
        total=torch.cat([part.total for part in parts]),
        drift=torch.cat([part.drift for part in parts]),
        control=rows(lambda part: part.control),
        num_evals=sum(part.num_evals for part in parts),
    )
