"""``precond-gm sample``: rows from a trained flow, in the units of the data."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from precond_gm.cli.inputs import find_flow
from precond_gm.cli.options import as_json, emit, tracking_option

__all__ = ["sample"]


@click.command()
@click.argument("run")
@click.option("-n", "--count", type=click.IntRange(1), default=64, show_default=True, help="Rows.")
@click.option(
    "--label", type=int, default=None, help="Class; by default as frequent as in the data."
)
@click.option(
    "--steps", type=click.IntRange(1), default=50, show_default=True, help="Solver steps."
)
@click.option("--solver", default=None, help="Solver; see 'precond-gm list solver'.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the noise.")
@click.option("--out", type=click.Path(path_type=Path), default=None, help=".npz with x and label.")
@click.option("--image", type=click.Path(path_type=Path), default=None, help="Picture to write.")
@tracking_option
@as_json
def sample(
    *,
    run: str,
    count: int,
    label: int | None,
    steps: int,
    solver: str | None,
    seed: int,
    out: Path | None,
    image: Path | None,
    tracking_uri: str | None,
    as_json: bool,
) -> None:
    """Draw rows from RUN: a run's folder, a flow.pt, or the id of an MLflow run.

    \b
    Example:
      precond-gm sample runs/digits-001/whiten/seed-0 --label 3 -n 64 --image threes.png
      precond-gm sample 0123456789abcdef --out samples.npz
    """
    import numpy as np
    import torch

    from precond_gm.plotting.samples import plot_rows

    flow, units = find_flow(run, tracking_uri)
    if torch.cuda.is_available():
        flow = flow.to("cuda")
    generator = torch.Generator().manual_seed(seed)
    drawn = flow.sample(
        count,
        label,
        steps=steps,
        solver=solver,
        generator=generator,
        progress=not as_json and sys.stderr.isatty(),
    )
    x = drawn.x.cpu()
    raw = (x if units is None else units.undo(x)).numpy()
    shown_x = (x if units is None else units.decode(x)).numpy()
    arrays: dict[str, Any] = {"x": raw}
    if drawn.label is not None:
        arrays["label"] = drawn.label.cpu().numpy()
    if out is not None:
        with out.open("wb") as file:
            np.savez_compressed(file, **arrays)
    if image is not None:
        names = [str(i) for i in range(flow.num_labels or 0)] if label is None else []
        shown = arrays.get("label") if label is None else None
        plot_rows({f"{count} samples": (shown_x, shown)}, names).savefig(image, dpi=150)
    said = {
        "rows": count,
        "shape": list(raw.shape[1:]),
        "evaluations": drawn.num_evals,
        "out": None if out is None else str(out),
        "image": None if image is None else str(image),
        "mean": float(raw.mean()),
        "deviation": float(raw.std()),
    }
    if as_json:
        emit(said)
        return
    where = " and ".join(str(p) for p in (out, image) if p is not None) or "nowhere (give --out)"
    click.echo(
        f"{count} rows of shape {tuple(raw.shape[1:])}, {drawn.num_evals} evaluations each, "
        f"written to {where}"
    )
