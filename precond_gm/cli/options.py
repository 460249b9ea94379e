"""Options that several commands share."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from precond_gm.cli.inputs import Source

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["as_json", "data_options", "emit", "save_figure", "tracking_option"]

Command = TypeVar("Command", bound=Callable[..., Any])
_SCALES = ("auto", "none", "unit", "global", "features")  # names of ScaleKind, not imported here


def as_json(command: Command) -> Command:
    """Add ``--json``: the result on stdout, for machines."""
    return click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")(
        command
    )


def tracking_option(command: Command) -> Command:
    """Add ``--tracking-uri``."""
    return click.option(
        "--tracking-uri",
        default=None,
        metavar="URI",
        help="MLflow store. Default: MLFLOW_TRACKING_URI, or sqlite:///mlflow.db.",
    )(command)


def data_options(command: Command, *, required: bool = True) -> Command:
    """Add ``--data`` and how it is read; the command gets a ``Source``, or None without data."""

    @functools.wraps(command)
    def with_source(*args: Any, data: str | None, **rest: Any) -> Any:
        reading = {name: rest.pop(name) for name in ("label", "image_size", "scale", "dequantise")}
        return command(*args, data=None if data is None else Source(data, **reading), **rest)

    for option in (
        click.option(
            "--dequantise/--no-dequantise",
            default=None,
            help="Uniform noise on integers. Default: yes. Bits are kept by --no-dequantise.",
        ),
        click.option(
            "--scale",
            type=click.Choice(_SCALES),
            default="auto",
            help="What the rows are scaled by. Default: the format's range, or each feature.",
        ),
        click.option("--image-size", type=int, default=None, help="Side that images get."),
        click.option("--label", default="auto", help="Label column, key or file; or 'none'."),
        click.option(
            "--data",
            required=required,
            metavar="PATH",
            help="File, folder, or a bundled set's name.",
        ),
    ):
        with_source = option(with_source)
    return with_source  # type: ignore[return-value]


def emit(values: Any) -> None:
    """Print JSON on stdout."""
    from precond_gm.values.report import plain

    click.echo(json.dumps(plain(values), indent=1))


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure and say where; stdout is left to the result."""
    figure.savefig(path, dpi=130)
    click.echo(f"figure: {path}", err=True)
