"""The processes that run side by side: Euler-Maruyama on every grid, and the exact one."""

from __future__ import annotations

import torch
from torch import Tensor

from precond_gm.diagnostics.step_size.mesh import Mesh
from precond_gm.errors import InvalidInputError, NonFiniteError
from precond_gm.values import Dynamics

__all__ = ["EulerRuns", "ExactProcess"]


class EulerRuns:
    """Euler-Maruyama on every grid; ``shift[s]`` is run s without its noise.

    ``landing[s]`` is where its last step goes without the noise of that step.
    """

    def __init__(
        self, model: Dynamics, mesh: Mesh, z0: Tensor, label: Tensor | None, sigma: float
    ) -> None:
        self.model, self.mesh, self.label = model, mesh, label
        self.shift = [z0 for _ in mesh.at]
        self.control = _zeros(len(mesh.at), z0)
        self.landing: dict[int, Tensor] = {}
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
            if j == self.mesh.last_start[s]:
                self.landing[s] = self.shift[s] + path
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


class ExactProcess:
    """The exact process, and what every grid misses along it.

    ``landing[s]`` is where one step from it goes, without its noise, at the last step of grid s.
    """

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
        self.landing: dict[int, Tensor] = {}
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
            if j == self.mesh.last_start[s]:
                self.landing[s] = torch.add(x, first, alpha=h)
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
