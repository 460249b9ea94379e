"""``precond-gm diagnose``: why training is slow, before any training."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import click

from precond_gm.cli.diagnose_couplings import diagnose_couplings
from precond_gm.cli.diagnose_data import diagnose_data
from precond_gm.cli.diagnose_objectives import diagnose_objectives, objective_options
from precond_gm.cli.diagnose_output import Output
from precond_gm.cli.diagnose_run import diagnose_run
from precond_gm.cli.inputs import Source, data_of_run
from precond_gm.cli.options import as_json, data_options

__all__ = ["diagnose"]


@click.command()
@partial(data_options, required=False)
@click.option(
    "--variants", default="identity,whiten", show_default=True, metavar="A,B", help="What is tried."
)
@click.option(
    "--couplings", default=None, metavar="A,B", help="Compare couplings on one batch instead."
)
@click.option(
    "--batch-size", type=click.IntRange(2), default=256, show_default=True, help="Rows of a batch."
)
@objective_options
@click.option(
    "--run",
    "runs",
    multiple=True,
    metavar="RUN",
    help="A trained run, judged on the data it was trained for. With --couplings: runs whose "
    "paths' curvature is stated too. With --objectives: the trained run that is measured, instead "
    "of a fresh network.",
)
@click.option(
    "--times",
    type=click.IntRange(2),
    default=101,
    show_default=True,
    help="Number of times in [0, 1].",
)
@click.option("--image", type=click.Path(path_type=Path), default=None, help="Figure to write.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=None,
    help="Page to write: a file that ends in .html, or a folder. The numbers go beside it.",
)
@click.option(
    "--tracking-uri", default=None, metavar="URI", help="MLflow store to log the diagnosis in."
)
@as_json
def diagnose(
    *,
    data: Source | None,
    variants: str,
    couplings: str | None,
    batch_size: int,
    objectives: str | None,
    exchange: bool,
    train_steps: int,
    batches: int,
    runs: tuple[str, ...],
    times: int,
    image: Path | None,
    out: Path | None,
    tracking_uri: str | None,
    as_json: bool,
) -> None:
    """Measure the conditioning of Cov(z_t) for every t, and what each variant makes of it.

    With --run: what a trained flow left under-fitted, and what its samples show of it.

    A variant is preconditioner[/coupling[/path]]. Maps that have to be fitted are fitted on half
    of the training rows and judged on the other half.

    An objective is a preset (aligned, jit, edm, min-snr, epsilon, rectified-logit-normal,
    even-times) or prediction/loss_space/divergence/weight/time_law/clamp, where places may be left
    out. It is measured with the parts of the first variant.

    \b
    Example:
      precond-gm diagnose --data digits --out digits.html
      precond-gm diagnose --run runs/digits-001/whiten/seed-0 --out whiten.html
      precond-gm diagnose --data mine.npz --variants identity,whiten/ot,whiten/ot/brownian-bridge
      precond-gm diagnose --data digits --couplings independent,ot,pot.sinkhorn
      precond-gm diagnose --data digits --objectives velocity,x1////beta:a=2,b=1,jit --exchange
    """
    from precond_gm.training.variants import split_variants

    output = Output(image, out, tracking_uri, as_json)
    if len(runs) == 1 and couplings is None and objectives is None:
        diagnose_run(runs[0], None if data is None else data.path, times=times, output=output)
        return
    if data is None and len(runs) != 1:
        raise click.UsageError("give --data, or one --run to judge on its own data.")
    prepared = data_of_run(runs[0], None, tracking_uri)[0] if data is None else data.read()
    if couplings is not None:
        diagnose_couplings(
            prepared, split_variants(couplings), batch_size=batch_size, runs=runs, output=output
        )
    elif objectives is not None:
        diagnose_objectives(
            prepared,
            split_variants(objectives),
            variant=split_variants(variants)[0],
            runs=runs,
            exchange=exchange,
            train_steps=train_steps,
            batch_size=batch_size,
            batches=batches,
            output=output,
        )
    else:
        diagnose_data(prepared, split_variants(variants), times=times, output=output)
