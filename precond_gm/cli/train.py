"""``precond-gm train``: the main job."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from precond_gm.cli.joblog import log_comparison
from precond_gm.cli.options import as_json, emit, tracking_option

if TYPE_CHECKING:
    from precond_gm.training.recipe import Recipe
    from precond_gm.training.results import Comparison

__all__ = ["train"]


@click.command()
@click.option("--recipe", "recipe_name", default=None, metavar="NAME", help="Recipe: name or file.")
@click.option("--data", default=None, metavar="PATH", help="File, folder, or a bundled set's name.")
@click.option("--variants", default=None, metavar="A,B", help="What is compared: whiten,whiten/ot.")
@click.option("--seeds", type=int, default=None, help="Repetitions of each variant.")
@click.option("--max-steps", type=int, default=None, help="Optimiser steps of each run.")
@click.option("--out", type=click.Path(path_type=Path), default=None, help="Folder of the job.")
@click.option("--resume", is_flag=True, help="Go on with the latest job of this name.")
@click.option("--no-tracking", is_flag=True, help="Keep files only, without MLflow.")
@tracking_option
@as_json
@click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")
def train(
    *,
    recipe_name: str | None,
    data: str | None,
    variants: str | None,
    seeds: int | None,
    max_steps: int | None,
    out: Path | None,
    resume: bool,
    no_tracking: bool,
    tracking_uri: str | None,
    as_json: bool,
    overrides: Sequence[str],
) -> None:
    """Train every variant with every seed under one budget, and compare them.

    Settings come from the recipe, then the options, then KEY=VALUE; 'precond-gm list recipe' shows
    the recipes. The job's folder holds the recipe, checkpoints, flows and the HTML report; MLflow
    holds parameters, losses, metrics, reports and models.

    \b
    Example:
      precond-gm train --recipe digits
      precond-gm train --data mine.csv --variants identity,whiten --seeds 3 lr=3e-4
      precond-gm train --recipe digits --resume
    """
    from precond_gm.report import draw, write_report
    from precond_gm.training.engine import agreed, make_engine
    from precond_gm.training.job import Job
    from precond_gm.training.progress import Progress, Silent

    chosen = {"data": data, "variants": variants, "seeds": seeds, "max_steps": max_steps}
    recipe = _resolved(recipe_name, chosen, overrides)
    engine = make_engine(recipe)
    folder = Path(agreed(engine, str(_folder(out, recipe.name, resume))))
    job = Job(
        recipe,
        folder,
        tracking_uri="" if no_tracking else tracking_uri,
        progress=Progress() if engine.is_main_process else Silent(),
        engine=engine,
    )
    with job:
        comparison = job.run()
        if not job.engine.is_main_process:
            return
        figures = draw(comparison)
        page = write_report(comparison, folder / "report.html", figures)
        if job.tracker is not None:
            log_comparison(job.tracker, comparison, folder, figures, page)
    if as_json:
        emit(_summary(comparison, page))
    else:
        _print(comparison, page)


def _resolved(name: str | None, chosen: dict[str, Any], overrides: Sequence[str]) -> Recipe:
    """Merge recipe, options and overrides; without a recipe the job is named after its data."""
    from precond_gm.training.reading import find_recipe, overrides_of, recipe_of

    given = {k: v for k, v in chosen.items() if v is not None} | overrides_of(overrides)
    base = find_recipe(name) if name else {}
    if name is None and "data" in given:
        base["name"] = Path(str(given["data"])).stem
    return recipe_of({**base, **given})


def _folder(out: Path | None, name: str, resume: bool) -> Path:
    """Return the folder to go on with, or a fresh one: nothing is ever overwritten."""
    from precond_gm.errors import ConfigError

    if out is not None:
        if not resume and (out / "recipe.yaml").exists():
            raise ConfigError(f"{out} holds a job already. Add --resume, or choose another --out.")
        return out
    found = sorted(Path("runs").glob(f"{name}-[0-9][0-9][0-9]"))
    if not resume:
        number = int(found[-1].name[-3:]) + 1 if found else 1
        return Path("runs") / f"{name}-{number:03d}"
    if not found:
        raise ConfigError(
            f"there is no job {name!r} under runs/ to resume. Leave out --resume, or name its "
            f"folder with --out."
        )
    return found[-1]


def _summary(comparison: Comparison, page: Path) -> dict[str, Any]:
    from precond_gm.report.render import table_for
    from precond_gm.report.verdict import verdict_of

    table = table_for(comparison)
    return {
        "folder": str(page.parent),
        "report": str(page),
        "tracking": comparison.tracking,
        "verdict": verdict_of(table),
        "table": table,
    }


def _print(comparison: Comparison, page: Path) -> None:
    from precond_gm.report.render import table_for
    from precond_gm.report.text import text_of
    from precond_gm.report.verdict import verdict_of

    table = table_for(comparison)
    verdict = verdict_of(table)
    click.echo(f"\n{text_of(table)}\n\n{verdict.headline}")
    for line in verdict.lines:
        click.echo(f"  {line}")
    click.echo(f"\nReport: {page}")
    if comparison.tracking:
        click.echo(f"Runs:   mlflow ui --backend-store-uri {comparison.tracking['uri']}")
