"""A field, a preconditioner, a coupling, a path and an objective, trained and sampled as one."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from precond_gm.couplings.base import AbstractCoupling
from precond_gm.flow.dynamics import FieldLike, Process, backward_process, forward_process
from precond_gm.flow.entry import network_call, paired, require_fitted, see
from precond_gm.flow.route import route
from precond_gm.flow.sampling import encode, sample
from precond_gm.flow.state import stripped
from precond_gm.models.adapt import AdaptedField
from precond_gm.numerics.rows import RowsLike, batches, check_label, check_rows, checked
from precond_gm.objectives import Objective, check_preconditioned, check_rows_are_not_bits
from precond_gm.paths.base import AbstractPath
from precond_gm.preconditioners import Identity
from precond_gm.preconditioners.base import AbstractPreconditioner, FitReport
from precond_gm.values import LossTerms, Pairing, Samples

__all__ = ["PreconditionedFlow"]


class PreconditionedFlow(nn.Module):
    r"""A flow-matching model that is trained in preconditioned coordinates ``z = T(x | label)``.

    Calling it gives the network's prediction, so wrappers that work on modules (DDP, compile, EMA)
    work on it. Build it with ``wrap``.

    Attributes:
        field: The network behind the signature ``(t, z, label)``; ``field.model`` is the original.
        preconditioner: Reversible map between x and z, frozen once fitted.
        coupling: Joint law of noise and data.
        path: Law of z_t given the pair.
        objective: What is predicted and how it is judged.
        num_labels: Number of classes, or None.
        event_shape: Shape of a row, known once data were seen.
    """

    label_frequency: Tensor | None

    def __init__(
        self,
        field: AdaptedField,
        *,
        preconditioner: AbstractPreconditioner,
        coupling: AbstractCoupling,
        path: AbstractPath,
        objective: Objective,
        num_labels: int | None = None,
        event_shape: tuple[int, ...] | None = None,
    ) -> None:
        super().__init__()
        self.field = field
        self.preconditioner = preconditioner
        self.coupling = coupling
        self.path = path
        self.objective = objective
        if not isinstance(preconditioner, Identity):
            check_preconditioned(objective.divergence, preconditioner)
        self.num_labels = num_labels
        self.event_shape = event_shape
        self.register_buffer("label_frequency", None)

    def forward(self, t: Tensor, z: Tensor, label: Tensor | None = None) -> Tensor:
        """Return the network's prediction at times ``t`` and points ``z``."""
        return self.field(t, z, label)

    def dynamics(self, t: Tensor, z: Tensor, label: Tensor | None = None) -> Tensor:
        """Return the velocity or drift that the prediction implies on the path."""
        return self.process().dynamics(t, z, label)

    def process(
        self,
        field: FieldLike | None = None,
        *,
        noise_level: float | None = None,
        path: Any = None,
    ) -> Process:
        """Return what solvers integrate: dynamics, their kind and their diffusion.

        Args:
            field: Evaluated instead of the flow's own network (an EMA, say).
            noise_level: None is the path's own process; see ``forward_process``.
            path: Another path than that of training; see ``sample``.
        """
        way = route(self, field, path)
        return forward_process(way.field, way.path, way.objective, noise_level)

    def backward_process(self, field: FieldLike | None = None) -> Process:
        """Return the process from data to noise, in reversed time."""
        network = self.field if field is None else field
        return backward_process(network, self.path, self.objective)

    def fit_preconditioner(
        self,
        x: RowsLike,
        label: Tensor | None = None,
        *,
        max_steps: int | None = None,
        generator: torch.Generator | None = None,
        **options: Any,
    ) -> FitReport:
        """Fit the reversible map to training data, then freeze it.

        Args:
            x: Rows ``batch *event``, or an iterable of batches that can be read more than once.
            label: Integer labels; inside the batches when ``x`` is an iterable.
            max_steps: Bound on the optimiser, for maps that are trained.
            generator: Source of randomness.
            options: Passed on to the map's ``fit``.

        Raises:
            InvalidInputError: NaN, a label out of range, too few rows: named by position.
            IncompatiblePartsError: A map that is not the identity, on binary data.
        """
        rows = checked(x, label, num_labels=self.num_labels, event_shape=self.event_shape)
        if not isinstance(self.preconditioner, Identity):
            check_rows_are_not_bits(rows, self.preconditioner)
        see(self, rows, label)
        report = self.preconditioner.fit(
            rows,
            label,
            num_labels=self.num_labels,
            max_steps=max_steps,
            generator=generator,
            **options,
        )
        self.preconditioner.requires_grad_(False).eval()
        return report

    def fit_coupling(
        self,
        x: RowsLike,
        label: Tensor | None = None,
        *,
        generator: torch.Generator | None = None,
        **options: Any,
    ) -> None:
        """Fit a coupling that needs the data set (semidiscrete); the others ignore it."""
        rows = checked(x, label, num_labels=self.num_labels, event_shape=self.event_shape)
        z = torch.cat([self.precondition(part.x, part.label) for part in batches(rows, label)])
        labels = [part.label for part in batches(rows, label) if part.label is not None]
        self.coupling.fit(z, torch.cat(labels) if labels else None, generator=generator, **options)

    @torch.no_grad()
    def precondition(self, x: Tensor, label: Tensor | None = None) -> Tensor:
        """Map data to z, once per data set: values are checked here, not in every step.

        Raises:
            NotFittedError: Before ``fit_preconditioner``.
            InvalidInputError: NaN, a wrong shape or label, named by position.
        """
        check_rows(x, event_shape=self.event_shape)
        check_label(label, x.shape[0], num_labels=self.num_labels)
        require_fitted(self)
        parts = [self.preconditioner(p.x, p.label).value for p in batches(x, label)]
        return torch.cat(parts)

    def loss(
        self,
        x_or_pairing: Tensor | Pairing,
        label: Tensor | None = None,
        *,
        preconditioned: bool = False,
        field: FieldLike | None = None,
        generator: torch.Generator | None = None,
    ) -> LossTerms:
        """Return the training loss of a batch; ``total.backward()`` trains the network.

        Args:
            x_or_pairing: Data rows, or ends that were paired ahead of time.
            label: Integer labels, shape batch.
            preconditioned: Whether the rows are z already (from ``precondition``).
            field: Evaluated instead of the flow's own network: ``DDP(flow)``, an EMA, a compiled
                copy. Under DDP this is required, since gradients are averaged only there.
            generator: Source of noise and times.

        Raises:
            InvalidInputError: A wrong shape; values are checked where data enter, not here.
            InvalidTypeError: Not floating rows, or a network that refuses their precision.
        """
        pairing = paired(self, x_or_pairing, label, preconditioned, generator)
        z1 = pairing.z1
        t = self.objective.draw_times(
            z1.shape[0],
            t_max=self.t_max,
            device=z1.device,
            dtype=z1.dtype,
            generator=generator,
        )
        point = self.path.sample(pairing, t, target=self.objective.loss_space, generator=generator)
        network = self.field if field is None else field
        prediction = network_call(self, network, point.t, point.z_t, point.label)
        return self.objective(point, prediction)

    @property
    def t_max(self) -> float:
        """Largest time drawn and reached: the path's, where its own dynamics are predicted."""
        return self.path.t_max if self.objective.prediction is self.path.kind else 1.0

    def sample(
        self,
        n_or_label: int | Tensor,
        label: int | Tensor | None = None,
        *,
        steps: int = 100,
        solver: Any = None,
        grid: Any = "uniform",
        t_max: float | None = None,
        path: Any = None,
        field: FieldLike | None = None,
        noise_level: float | None = None,
        generator: torch.Generator | None = None,
        trajectory: bool = False,
        progress: bool = False,
    ) -> Samples:
        """Generate rows: noise, the solver in z, then the inverse map.

        Args:
            n_or_label: Number of rows, or one label per row.
            label: One label for all rows, one per row, or None for the fitted class frequencies.
            steps: Number of solver steps.
            solver: Name or instance; Heun on ODE paths and Euler-Maruyama on the bridge by default.
            grid: Time grid by name, or the times themselves.
            t_max: Last time; None means the whole path where the prediction allows it.
            path: Another path to sample along: a change of schedule after training, with the same
                law at its end. Times, noise, labels and the inverse map are those of this path.
                Paths with noise of their own need the coupling ``independent``.
            field: Evaluated instead of the flow's own network (an EMA, say).
            noise_level: Noise of the sampler, where the score is known: 0 is the ODE, None the
                path's own.
            generator: Source of the initial noise and of the solver's.
            trajectory: Whether to return the states in z at every time.
            progress: Whether to show a progress bar.

        Raises:
            IncompatiblePartsError: An ODE solver on a drift path, or the other way round; a path
                that the network cannot be carried over to.

        References:
            2412.06264 (change of scheduler after training).

        Example:
            >>> import torch, precond_gm as pg
            >>> flow = pg.wrap(pg.models.MLP(2, width=8), event_shape=(2,))  # the linear path
            >>> flow.sample(4, steps=5, path="trigonometric").x.shape
            torch.Size([4, 2])
        """
        return sample(
            self,
            n_or_label,
            label,
            steps=steps,
            solver=solver,
            grid=grid,
            t_max=t_max,
            path=path,
            field=field,
            noise_level=noise_level,
            generator=generator,
            trajectory=trajectory,
            progress=progress,
        )

    def encode(
        self,
        x: Tensor,
        label: Tensor | None = None,
        *,
        steps: int = 100,
        solver: Any = None,
        grid: Any = "uniform",
        field: FieldLike | None = None,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Map data to noise: the map, then the process backward (the ODE, or the bridge's SDE).

        Args:
            x: Data rows.
            label: Label of each row.
            steps: Number of solver steps.
            solver: Name or instance; as in ``sample``.
            grid: Grid of the reversed time 1 - t.
            field: Evaluated instead of the flow's own network.
            generator: Source of the bridge's noise.

        Returns:
            Rows of noise, of the shape of ``x``.
        """
        return encode(
            self, x, label, steps=steps, solver=solver, grid=grid, field=field, generator=generator
        )

    def load_base(self, state_dict: dict[str, Any]) -> None:
        """Load a checkpoint of the bare network; prefixes of DDP and compile are stripped."""
        self.field.model.load_state_dict(stripped(state_dict))
