"""The part of ``precond-gm diagnose`` that judges a trained run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from precond_gm.cli.inputs import data_of_run, find_flow

if TYPE_CHECKING:
    from precond_gm.cli.diagnose_output import Output

__all__ = ["diagnose_run"]

_MOST_ROWS = 20_000


def diagnose_run(
    run: str,
    data: str | None,
    *,
    times: int,
    output: Output,
) -> None:
    """Judge a trained flow on the data it was trained for: what it left, and what samples show."""
    import torch

    from precond_gm.diagnostics import quality
    from precond_gm.report.trained import trained_sections
    from precond_gm.training.directions import exact_directions, underfitted
    from precond_gm.training.evaluation import conditioning_of, directions_of

    flow, _ = find_flow(run, output.tracking_uri)
    prepared, recipe = data_of_run(run, data, output.tracking_uri)
    steps = max(recipe.sample_steps)
    train, test = prepared.train, prepared.test
    label = None if train.label is None else train.label[:_MOST_ROWS]
    spectra = conditioning_of(flow, prepared, times=times)
    proved = underfitted(flow, prepared)
    drawn = flow.sample(recipe.num_samples, steps=steps, generator=torch.Generator().manual_seed(0))
    found = quality(
        drawn,
        test.x,
        data_label=test.label,
        reference=train.x[:_MOST_ROWS],
        reference_label=label,
    )
    recovery = directions_of(found) | exact_directions(flow, prepared, steps)
    sections = trained_sections(
        spectra, proved, found, recovery, steps=steps, label_names=prepared.label_names
    )
    reports: dict[str, Any] = {"conditioning": spectra, "underfit": proved, "quality": found}
    kept = {name: report for name, report in reports.items() if report is not None}
    output.write(
        f"Diagnosis of {run}",
        kept,
        sections=lambda: sections,
        figure=(spectra if proved is None else proved).plot,
        text=sections[0].text,
        numbers={**kept, "recovery": recovery},
    )
