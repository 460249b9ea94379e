"""The part of ``precond-gm diagnose`` that compares objectives."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

from precond_gm.cli.inputs import find_flow

if TYPE_CHECKING:
    from precond_gm.cli.diagnose_output import Output
    from precond_gm.data import Prepared
    from precond_gm.diagnostics import ObjectivesReport
    from precond_gm.flow import PreconditionedFlow
    from precond_gm.report.section import Section

__all__ = ["diagnose_objectives", "objective_options"]

Command = TypeVar("Command", bound=Callable[..., Any])


def objective_options(command: Command) -> Command:
    """Add ``--objectives`` and how they are measured."""
    for option in (
        click.option(
            "--batches",
            type=click.IntRange(min=8),
            default=64,
            show_default=True,
            help="With --objectives: batches whose gradients are compared.",
        ),
        click.option(
            "--train-steps",
            type=click.IntRange(min=0),
            default=200,
            show_default=True,
            help="With --objectives: steps that each trains a copy of the network first.",
        ),
        click.option(
            "--exchange",
            is_flag=True,
            help="With --objectives: measure each with its time law turned into a weight, and its "
            "weight into a time law, too.",
        ),
        click.option(
            "--objectives",
            default=None,
            metavar="A,B",
            help="Compare the gradient noise of objectives instead.",
        ),
    ):
        command = option(command)
    return command


def diagnose_objectives(
    data: Prepared,
    texts: Sequence[str],
    *,
    variant: str,
    runs: Sequence[str],
    exchange: bool,
    train_steps: int,
    batch_size: int,
    batches: int,
    output: Output,
) -> None:
    """Measure the gradient noise of objectives on a network that each has trained for a while.

    Args:
        data: The data; its training rows are used.
        texts: Objectives as ``settings_of`` reads them.
        variant: Gives preconditioner, coupling and path.
        runs: A trained run at most, measured as it is instead of a fresh network.
        exchange: Whether time laws are turned into weights and back.
        train_steps: Steps of training before the measurement.
        batch_size: Rows of a batch.
        batches: Number of batches.
        output: Where the result goes.
    """
    import torch

    from precond_gm.diagnostics import objectives

    if len(runs) > 1:
        raise click.BadParameter("--objectives measures one run at a time.", param_hint="--run")
    train, draw = data.train, torch.Generator().manual_seed(0)
    flow = find_flow(runs[0], None)[0] if runs else _fresh(data, variant, draw)
    report = objectives(
        flow,
        train.x,
        train.label if flow.num_labels else None,
        objectives=texts,
        exchange=exchange,
        steps=0 if runs else train_steps,
        batch_size=batch_size,
        batches=batches,
        generator=draw,
    )
    section = _section(report)
    output.write(
        f"Objectives on {data.name}",
        {"objectives": report},
        sections=lambda: [section],
        figure=report.plot,
        text=section.text,
        numbers=report,
    )


def _fresh(data: Prepared, variant: str, draw: Any) -> PreconditionedFlow:
    """Build the flow that ``train`` would build, with its map and its coupling fitted."""
    from precond_gm.training.build import build_flow
    from precond_gm.training.recipe import Recipe
    from precond_gm.training.variants import Variant

    flow = build_flow(Recipe(), Variant.read(variant), data, seed=0)
    train = data.train
    flow.fit_preconditioner(train.x, train.label, generator=draw)
    if flow.coupling.needs_fit:
        flow.fit_coupling(train.x, train.label, generator=draw)
    return flow


def _section(report: ObjectivesReport) -> Section:
    from precond_gm.report.picture import embed
    from precond_gm.report.section import Listing, Section

    noise = report.relative_noise
    rows = tuple(
        (name, f"{loss:.4g}", f"{norm:.4g}", text, f"{ratio:.3g}" if math.isfinite(ratio) else "-")
        for name, loss, norm, text, ratio in zip(
            report.names,
            report.loss.tolist(),
            report.gradient_norm.tolist(),
            report.noise_texts(),
            (noise / noise[0]).tolist(),
            strict=True,
        )
    )
    head = ("", "loss", "|mean gradient|", "noise / signal [95 %]", "of the first")
    table = Listing("Gradients", head, rows)
    lead = (
        f"noise / signal is tr Cov(g) / |E g|^2 of a batch of {report.batch_size} rows, over "
        f"{report.batches} batches: twice as much asks for twice the rows.",
        "Losses of different objectives cannot be compared.",
    )
    caption = "Noise over signal of the gradient, and where in t it comes from."
    return Section("Objectives", lead, (table,), ((caption, embed(report.plot())),))
