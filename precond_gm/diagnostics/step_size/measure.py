"""Measure every error of Euler-Maruyama on several grids at once, on shared Brownian paths."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from precond_gm.closed_form.gaussian_base import AbstractGaussianBridge
from precond_gm.diagnostics.step_size.density import density_divergence
from precond_gm.diagnostics.step_size.distances import (
    gaussian_errors,
    paired_w2,
    sample_errors,
    strong_error,
)
from precond_gm.diagnostics.step_size.drift_bound import held_out_drift
from precond_gm.diagnostics.step_size.mesh import Mesh, exact_times
from precond_gm.diagnostics.step_size.replicates import Replicates, controlled_mean
from precond_gm.diagnostics.step_size.runs import RunRows, run_together
from precond_gm.diagnostics.step_size.subject import LEAST_ROWS, Subject
from precond_gm.errors import InvalidInputError

__all__ = ["Measured", "measure"]

_EXACT_STEPS = 512  # of an exact process, whose evaluations are no network's
_SHARE = 0.09  # evaluations of the network beside the runs, as a share of the finest run's
_NUMBERS_AT_ONCE = 2**22  # in one evaluation of the dynamics: 32 MiB in float64

SELF = "of the dynamics' own continuous process: the error of its drift is not in it"


@dataclass(frozen=True)
class Measured:
    """Errors by name, each with one replicate per group of rows.

    Attributes:
        errors: ``path_kl``, ``discretisation``, ``drift``, ``cross``, ``strong_error``, ``w2``,
            ``energy``, ``marginal_kl``, as far as they exist; each of shape ``grids``.
        meaning: What an error is against, where that depends on what is known, or why it is not
            there.
        floors: Of distances between samples: the same between held-out rows.
        num_reference: Rows of the exact process.
        last_share: Share of the discretisation part that is in the last step, shape ``grids``.
        evaluations: Rows at which the dynamics was evaluated, over those of the finest run.
        final: End of each run, for further study.
        truth: The exact process at the same times, on the first rows.
        label: Label of each row, or None.
    """

    errors: dict[str, Replicates]
    meaning: dict[str, str]
    floors: dict[str, float]
    num_reference: int
    last_share: Tensor
    evaluations: float
    final: tuple[Tensor, ...] = field(repr=False)
    truth: tuple[Tensor, ...] = field(repr=False)
    label: Tensor | None = field(repr=False, default=None)

    def part(self, start: int, count: int) -> Measured:
        """Return what was measured on some of the grids, ``count`` of them from ``start`` on."""
        index = slice(start, start + count)
        return replace(
            self,
            errors={name: e.map(lambda v: v[..., index]) for name, e in self.errors.items()},
            last_share=self.last_share[index],
            final=self.final[index],
            truth=self.truth[index],
        )


def measure(
    subject: Subject,
    grids: Sequence[Tensor],
    *,
    num_samples: int,
    num_reference: int | None = None,
    batch_size: int | None = None,
    generator: torch.Generator,
) -> Measured:
    """Run all grids together and judge each.

    Args:
        subject: Dynamics and what is known of them.
        grids: Times of each run; they need not divide each other, nor end together.
        num_samples: Rows.
        num_reference: Rows of the exact process; None is all rows where it costs no evaluation of
            a network, else as many as cost a tenth of the finest run.
        batch_size: Rows evaluated at once; None bounds the memory.
        generator: Source of everything random.

    Raises:
        InvalidInputError: Too few rows.
        NonFiniteError: The dynamics give NaN or infinity.
    """
    if num_samples < LEAST_ROWS:
        raise InvalidInputError(
            f"a study takes at least {LEAST_ROWS} samples, two for each replicate of its "
            f"intervals; got num_samples={num_samples}. 4096 is a good number."
        )
    end = max(float(grid[-1]) for grid in grids)
    known = subject.bridge is not None
    mesh = Mesh.union(grids, exact_times(_EXACT_STEPS, end) if known else None)
    few = num_reference or _affordable(subject, mesh, num_samples)
    if not LEAST_ROWS <= few <= num_samples:
        raise InvalidInputError(
            f"num_reference lies between {LEAST_ROWS} and num_samples = {num_samples}; got {few}."
        )
    dim = subject.draw(1, torch.Generator(generator.device).manual_seed(0))[0][0].numel()
    at_once = batch_size or max(LEAST_ROWS, _NUMBERS_AT_ONCE // dim)
    rows = run_together(
        subject.model,
        subject.process,
        mesh,
        lambda n: subject.draw(n, generator),
        sigma=subject.sigma,
        num_samples=num_samples,
        num_reference=few,
        chunk=max(1, at_once // len(grids)),
        generator=generator,
    )
    errors, meaning = _path_errors(subject, rows)
    finest = len(mesh.at[mesh.finest]) - 1
    errors["strong_error"] = _strong(rows, mesh).map(lambda v: v.clamp_min(0).sqrt())
    evaluated = rows.num_evals
    if subject.is_own_process and subject.held_out is not None and subject.flow is not None:
        errors["drift"], more = held_out_drift(
            subject.flow, subject.held_out, grids, generator=generator
        )
        meaning["drift"] = "at most this, from the held-out loss, which no network brings to 0"
        evaluated += more
    ends, floors = _end_errors(subject, rows, grids, meaning, generator)
    return Measured(
        errors=errors | ends,
        meaning=meaning,
        floors=floors,
        num_reference=few,
        last_share=(rows.last_step.mean(0) / rows.discretisation.mean(0)).cpu(),
        evaluations=evaluated / (num_samples * finest),
        final=rows.final,
        truth=rows.truth,
        label=rows.label,
    )


def _affordable(subject: Subject, mesh: Mesh, num_samples: int) -> int:
    """Return how many rows of the exact process cost ``_SHARE`` of the finest run."""
    if subject.is_exact:
        return num_samples
    own = subject.process is subject.model
    per_row = 2 * (len(mesh.times) - 1) if own else len(mesh.starting)
    finest = len(mesh.at[mesh.finest]) - 1
    return min(num_samples, max(LEAST_ROWS, int(_SHARE * finest * num_samples / per_row)))


def _path_errors(subject: Subject, rows: RunRows) -> tuple[dict[str, Replicates], dict[str, str]]:
    """Return the path divergence and its parts; none of them exists without noise."""
    if not subject.sigma:
        return {}, {}
    scale = 1 / (2 * subject.sigma**2)
    total = controlled_mean(rows.total * scale, rows.control * scale)
    if subject.bridge is None:
        return {"path_kl": total, "discretisation": total}, {"path_kl": SELF}
    part = controlled_mean(rows.discretisation * scale, rows.control * scale)
    drift = controlled_mean(rows.drift * scale)
    cross = controlled_mean((rows.total - rows.discretisation - rows.drift) * scale)
    meaning = {"path_kl": "KL(exact process || Euler-Maruyama), of paths"}
    return {"path_kl": total, "discretisation": part, "drift": drift, "cross": cross}, meaning


def _strong(rows: RunRows, mesh: Mesh) -> Replicates:
    """Return the squared strong error; distances between runs are its companion."""
    few, count = rows.truth[0].shape[0], len(rows.final)
    order = sorted(range(count), key=lambda s: -len(mesh.at[s]))
    value = torch.stack([strong_error(rows.final[s][:few], rows.truth[s]) for s in range(count)], 1)
    if count == 1 or few == rows.final[0].shape[0]:
        return controlled_mean(value)
    other = [order[1] if s == order[0] else order[0] for s in range(count)]
    control = [strong_error(rows.final[s], rows.final[other[s]]) for s in range(count)]
    return controlled_mean(value, torch.stack(control, 1))


def _end_errors(
    subject: Subject,
    rows: RunRows,
    grids: Sequence[Tensor],
    meaning: dict[str, str],
    generator: torch.Generator,
) -> tuple[dict[str, Replicates], dict[str, float]]:
    """Compare the ends: with a known law, with held-out rows, or with the continuous process."""
    few = rows.truth[0].shape[0]
    if isinstance(subject.bridge, AbstractGaussianBridge):
        laws = [subject.bridge.marginal(float(grid[-1])) for grid in grids]
        meaning["w2"] = "to the exact law at the end"
        return gaussian_errors([run[:few] for run in rows.final], rows.truth, laws), {}
    if subject.held_out is not None:
        runs = [subject.to_data(run, rows.label) for run in rows.final]
        meaning["w2"] = "to held-out data; compare it with the noise floor"
        return sample_errors(runs, subject.held_out.x, generator=generator)
    errors = {"w2": paired_w2([run[:few] for run in rows.final], rows.truth)}
    if subject.bridge is None:
        meaning["w2"] = SELF
        return errors, {}
    meaning["w2"] = "to the exact process on the same noise"
    if subject.sigma and rows.label is None:
        found, meaning["marginal_kl"] = density_divergence(
            subject.bridge, grids, rows.landing, rows.truth_landing, generator=generator
        )
        if found is not None:
            errors["marginal_kl"] = found
    return errors, {}
