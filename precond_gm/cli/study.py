"""``precond-gm study``: how many sampling steps, and of which grid."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from precond_gm.cli.inputs import find_flow, read_data
from precond_gm.cli.options import as_json, emit, tracking_option

if TYPE_CHECKING:
    from precond_gm.diagnostics import StepSizeComparison, StepSizeReport
    from precond_gm.values import AbstractReport

__all__ = ["study"]

_BRIDGES = ("gaussian", "mixture", "point-mass")
_SHOWN = ("path_kl", "marginal_kl", "w2", "strong_error", "energy", "drift")


@click.command()
@click.option("--bridge", type=click.Choice(_BRIDGES), default=None, help="An exact bridge.")
@click.option("--variance", type=float, default=1.0, show_default=True, help="Of its target.")
@click.option("--dim", type=click.IntRange(1), default=1, show_default=True, help="Of the bridge.")
@click.option("--sigma", type=float, default=None, help="Noise of the bridge. Default: sqrt(2).")
@click.option("--flow", "flow_path", default=None, metavar="RUN", help="A trained flow.")
@click.option("--data", default=None, metavar="PATH", help="Data; the flow meets held-out rows.")
@click.option("--label", default="auto", help="Label column, key or file of the data.")
@click.option("--image-size", type=int, default=None, help="Side that images get.")
@click.option("--grids", default="uniform", show_default=True, metavar="A,B", help="Time grids.")
@click.option("--steps", default="8,16,32,64,128", show_default=True, help="Numbers of steps.")
@click.option("--samples", type=click.IntRange(64), default=4096, show_default=True, help="Rows.")
@click.option("--t-max", type=float, default=None, help="Last time.")
@click.option("--want", multiple=True, metavar="NAME=VALUE", help="Recommend steps, path_kl=0.01.")
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
    data: str | None,
    label: str,
    image_size: int | None,
    grids: str,
    steps: str,
    samples: int,
    t_max: float | None,
    want: tuple[str, ...],
    early_stopping: bool,
    hypotheses: bool,
    seed: int,
    out: Path | None,
    experiment: str | None,
    tracking_uri: str | None,
    as_json: bool,
) -> None:
    """Measure how far Euler-Maruyama is from the truth, and say how many steps are enough.

    Give --bridge for an exact law, whose exact values stand beside the measured ones, or --flow
    with --data for a trained flow and held-out rows. All step sizes run on the same noise.

    \b
    Example:
      precond-gm study --bridge gaussian --variance 0.05 --grids uniform,geometric,path-kl-optimal
      precond-gm study --flow runs/digits-001/whiten/seed-0 --data digits --want path_kl=1 --out s
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
            held_out = read_data(data, label, image_size).test
            rows = (held_out.x, held_out.label if subject.num_labels is not None else None)
    else:
        raise click.UsageError("give one of --bridge and --flow.")
    if torch.cuda.is_available() and isinstance(subject, torch.nn.Module):
        subject = subject.to("cuda")
    common: dict[str, Any] = {"num_samples": samples, "reference": rows, "generator": generator}
    found = _study(
        subject, grids.split(","), counts, t_max, bridge or Path(flow_path or "").stem, common
    )
    reports: dict[str, AbstractReport] = {"study": found}
    if early_stopping:
        reports["early_stopping"] = diagnostics.early_stopping(subject, steps=counts[-1], **common)
    if hypotheses:
        if rows is None:
            raise click.UsageError("--assumptions looks at data: give --flow and --data.")
        reports["assumptions"] = diagnostics.assumptions(*rows, flow=subject, generator=generator)
    advice = _advice(found, wanted) if wanted else None
    if out is not None:
        _write(out, reports)
    if experiment is not None:
        _log(experiment, tracking_uri, reports)
    if as_json:
        emit({**reports, "recommendation": advice})
        return
    for name, part in _studies(found).items():
        click.echo(f"\n{name}\n{_table(part)}")
    if advice is not None:
        click.echo(f"\n{advice}")
    for name, report in reports.items():
        _print(name, report)


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


def _studies(found: StepSizeReport | StepSizeComparison) -> dict[str, StepSizeReport]:
    from precond_gm.diagnostics import StepSizeComparison

    return found.studies if isinstance(found, StepSizeComparison) else {found.grid: found}


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


def _advice(found: StepSizeReport | StepSizeComparison, wanted: dict[str, float]) -> str:
    """Recommend, or say why nothing can be recommended: the study itself stands either way."""
    from precond_gm.diagnostics import StepSizeComparison
    from precond_gm.errors import InvalidInputError

    try:
        if isinstance(found, StepSizeComparison):
            return str(found.recommend(**wanted)[1])
        return str(found.recommend(**wanted))
    except InvalidInputError as error:
        return f"no recommendation: {error}"


def _table(report: StepSizeReport) -> str:
    """Lay out errors, twice their standard errors, and exact values where there are any."""
    names = [name for name in _SHOWN if name in report.quantities]
    names = [name for name in names if bool(report.quantities[name].any())]
    head = f"{'steps':>6}" + "".join(
        f"{name:>22}" + (f"{'exact':>11}" if name in report.exact else "") for name in names
    )
    lines = [head]
    for i, n in enumerate(report.steps):
        cells = [f"{n:>6}"]
        for name in names:
            value = float(report.quantities[name][i])
            half = 2 * float(report.standard_errors[name][i])
            cells.append(f"{value:>11.4g} +- {half:<7.2g}")
            if name in report.exact:
                cells.append(f"{float(report.exact[name][i]):>11.4g}")
        lines.append("".join(cells))
    slopes = [f"{name} {slope}" for name, slope in report.slopes.items() if name in names]
    lines.append(f"slopes in h (95 %): {'; '.join(slopes)}")
    if report.floors:
        floors = [f"{name} {value:.4g}" for name, value in report.floors.items()]
        lines.append(f"noise floor of held-out data: {', '.join(floors)}")
    lines += [f"{name}: {text}" for name, text in report.meaning.items()]
    return "\n".join(lines + [f"note: {note}" for note in report.notes])


def _print(name: str, report: AbstractReport) -> None:
    from precond_gm.diagnostics import AssumptionsReport, EarlyStoppingReport

    if isinstance(report, EarlyStoppingReport):
        click.echo(f"\nstopping at 1 - delta with {report.steps} steps; best delta {report.best:g}")
        for i, delta in enumerate(report.delta.tolist()):
            path = "" if report.path_kl is None else f"   path_kl {float(report.path_kl[i]):.4g}"
            click.echo(f"  delta {delta:<8g} w2 to the target {float(report.w2[i]):.4g}{path}")
    if isinstance(report, AssumptionsReport):
        click.echo("")
        for check in report.checks:
            click.echo(f"{check.name}: {check.verdict}. {check.statement}")
            click.echo(f"  {check.evidence}\n  {check.meaning}")


def _write(out: Path, reports: dict[str, AbstractReport]) -> None:
    import json

    out.mkdir(parents=True, exist_ok=True)
    for name, report in reports.items():
        (out / f"{name}.json").write_text(json.dumps(report.to_dict(), indent=1) + "\n")
        report.plot().savefig(out / f"{name}.png", dpi=130)
    click.echo(f"written to {out}", err=True)


def _log(experiment: str, uri: str | None, reports: dict[str, AbstractReport]) -> None:
    from precond_gm.tracking import MlflowTracker

    with MlflowTracker(experiment, tracking_uri=uri, run_name="study") as tracker:
        for name, report in reports.items():
            tracker.log_report(report, name)
