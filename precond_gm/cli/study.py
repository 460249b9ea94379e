"""``precond-gm study``: how many sampling steps, and of which grid."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from precond_gm.cli.inputs import Source, find_flow
from precond_gm.cli.options import as_json, data_options, emit, tracking_option
from precond_gm.cli.study_output import advise, log, section_of, write

if TYPE_CHECKING:
    from precond_gm.diagnostics import StepSizeComparison, StepSizeReport
    from precond_gm.values import AbstractReport

__all__ = ["study"]

_BRIDGES = ("gaussian", "mixture", "point-mass")


@click.command()
@click.option("--bridge", type=click.Choice(_BRIDGES), default=None, help="An exact bridge.")
@click.option("--variance", type=float, default=1.0, show_default=True, help="Of its target.")
@click.option("--dim", type=click.IntRange(1), default=1, show_default=True, help="Of the bridge.")
@click.option("--sigma", type=float, default=None, help="Noise of the bridge. Default: sqrt(2).")
@click.option("--flow", "--run", "flow_path", default=None, metavar="RUN", help="A trained flow.")
@partial(data_options, required=False)
@click.option("--grids", default="uniform", show_default=True, metavar="A,B", help="Time grids.")
@click.option("--steps", default="8,16,32,64,128", show_default=True, help="Numbers of steps.")
@click.option("--samples", type=click.IntRange(64), default=4096, show_default=True, help="Rows.")
@click.option("--t-max", type=float, default=None, help="Last time.")
@click.option("--want", multiple=True, metavar="NAME=VALUE", help="Recommend steps, path_kl=0.01.")
@click.option("--confirm", is_flag=True, help="Run the recommended steps again, on new noise.")
@click.option("--early-stopping", is_flag=True, help="Also the error against delta.")
@click.option("--assumptions", "hypotheses", is_flag=True, help="Also check the hypotheses (data).")
@click.option("--seed", type=int, default=0, show_default=True, help="Of everything random.")
@click.option("--out", type=click.Path(path_type=Path), default=None, help="Folder for files.")
@click.option("--experiment", default=None, metavar="NAME", help="Log to this MLflow experiment.")
@tracking_option
@as_json
def study(
    *,
    bridge: str | None,
    variance: float,
    dim: int,
    sigma: float | None,
    flow_path: str | None,
    data: Source | None,
    grids: str,
    steps: str,
    samples: int,
    t_max: float | None,
    want: tuple[str, ...],
    confirm: bool,
    early_stopping: bool,
    hypotheses: bool,
    seed: int,
    out: Path | None,
    experiment: str | None,
    tracking_uri: str | None,
    as_json: bool,
) -> None:
    """Measure how far Euler-Maruyama is from the truth, and say how many steps are enough.

    Give --bridge for an exact law, whose exact values stand beside the measured ones, or --run
    with --data for a trained flow and held-out rows. All step sizes run on the same noise. The
    study of a run's folder is kept in it, and 'precond-gm report JOB' then has a section for it.

    \b
    Example:
      precond-gm study --bridge gaussian --variance 0.05 --grids uniform,geometric,path-kl-optimal
      precond-gm study --run runs/digits-001/whiten/seed-0 --data digits --want path_kl=1 --confirm
    """
    import torch

    from precond_gm import diagnostics

    wanted = _wanted(want)
    counts = _numbers(steps)
    generator = torch.Generator().manual_seed(seed)
    if bridge is not None and flow_path is None:
        subject, rows = _bridge(bridge, variance, dim, sigma), None
    elif flow_path is not None and bridge is None:
        subject, rows = find_flow(flow_path, tracking_uri)[0], None
        if data is not None:
            held_out = data.read().test
            rows = (held_out.x, held_out.label if subject.num_labels is not None else None)
    else:
        raise click.UsageError("give one of --bridge and --flow.")
    if torch.cuda.is_available() and isinstance(subject, torch.nn.Module):
        subject = subject.to("cuda")
    common: dict[str, Any] = {"num_samples": samples, "reference": rows, "generator": generator}
    found = _study(
        subject,
        grids.split(","),
        counts,
        t_max,
        bridge or "/".join(Path(flow_path or "").parts[-2:]),
        common,
    )
    reports: dict[str, AbstractReport] = {"study": found}
    if early_stopping:
        reports["early_stopping"] = diagnostics.early_stopping(subject, steps=counts[-1], **common)
    if hypotheses:
        if rows is None:
            raise click.UsageError("--assumptions looks at data: give --flow and --data.")
        reports["assumptions"] = diagnostics.assumptions(*rows, flow=subject, generator=generator)
    advice = advise(subject, found, wanted, confirm, {"t_max": t_max, **common}) if wanted else []
    sections = [section_of(report, advice) for report in reports.values()]
    folder = out or (Path(flow_path) / "study" if flow_path and Path(flow_path).is_dir() else None)
    if folder is not None:
        write(folder, reports, sections)
    if experiment is not None:
        log(experiment, tracking_uri, reports, sections)
    if as_json:
        emit({**reports, "recommendation": advice})
        return
    click.echo("\n\n".join(section.text() for section in sections))


def _study(
    subject: Any,
    grids: list[str],
    counts: tuple[int, ...],
    t_max: float | None,
    name: str,
    common: dict[str, Any],
) -> StepSizeReport | StepSizeComparison:
    from precond_gm import diagnostics

    options = {"steps": counts, "t_max": t_max, "name": name, **common}
    if len(grids) == 1:
        return diagnostics.step_size(subject, grid=grids[0], **options)
    return diagnostics.schedules(subject, grids=grids, **options)


def _bridge(kind: str, variance: float, dim: int, sigma: float | None) -> Any:
    import math

    import torch

    from precond_gm.closed_form import GaussianBridge, GaussianMixtureBridge, PointMassBridge

    noise = math.sqrt(2) if sigma is None else sigma
    if kind == "gaussian":
        zero = torch.zeros(dim)
        return GaussianBridge(zero, 1.0, zero, variance, sigma=noise)
    if kind == "mixture":
        far = torch.zeros(2, dim)
        far[0, 0], far[1, 0] = -2.0, 2.0
        return GaussianMixtureBridge([0.5, 0.5], far, variance, sigma=noise)
    return PointMassBridge(torch.zeros(dim), sigma=noise)


def _numbers(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise click.BadParameter(f"numbers of steps, like 8,16,32; got {text!r}.") from None


def _wanted(texts: tuple[str, ...]) -> dict[str, float]:
    found = {}
    for text in texts:
        name, _, value = text.partition("=")
        try:
            found[name.strip()] = float(value)
        except ValueError:
            raise click.BadParameter(f"--want is NAME=VALUE, like w2=0.05; got {text!r}.") from None
    return found
