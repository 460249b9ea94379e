"""``precond-gm compare``: the runs of an experiment side by side, from MLflow."""

from __future__ import annotations

import click

from precond_gm.cli.options import as_json, emit, tracking_option

__all__ = ["compare"]


@click.command()
@click.argument("experiment")
@click.option("--baseline", default=None, help="Variant that the others are compared with.")
@tracking_option
@as_json
def compare(
    *, experiment: str, baseline: str | None, tracking_uri: str | None, as_json: bool
) -> None:
    """Compare the variants of EXPERIMENT (its newest job), or of a job by name or run id.

    Differences are paired by seed; where the interval includes none, the line says so.

    \b
    Example:
      precond-gm compare digits
      precond-gm compare digits-001 --baseline whiten
    """
    from precond_gm.report.tables import table_of
    from precond_gm.report.text import text_of
    from precond_gm.report.verdict import verdict_of
    from precond_gm.tracking.reading import find_job

    job = find_job(experiment, tracking_uri)
    values: dict[str, dict[int, dict[str, float]]] = {}
    for run in job.runs:
        values.setdefault(run.variant, {})[run.seed] = dict(run.metrics)
    if baseline is not None and baseline not in values:
        raise click.UsageError(f"no variant {baseline!r}; there are {', '.join(values)}.")
    steps = {int(key.rpartition("_")[2]) for run in job.runs for key in run.metrics if _is_w2(key)}
    table = table_of(values, sorted(steps), baseline)
    verdict = verdict_of(table)
    if as_json:
        emit({"job": job.run_name, "run_id": job.run_id, "table": table, "verdict": verdict})
        return
    click.echo(f"{job.experiment}, job {job.run_name} ({job.run_id})\n")
    click.echo(f"{text_of(table)}\n\n{verdict.headline}")
    for line in verdict.lines:
        click.echo(f"  {line}")
    click.echo(f"\n{verdict.caution}")
    if job.others:
        click.echo(f"Other jobs of this experiment: {', '.join(job.others)}.", err=True)


def _is_w2(key: str) -> bool:
    return key.startswith("quality/w2_")
