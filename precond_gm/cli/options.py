"""Options that several commands share."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["as_json", "data_options", "emit", "save_figure", "tracking_option"]

Command = TypeVar("Command", bound=Callable[..., Any])


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
    """Add ``--data`` and how it is read."""
    for option in (
        click.option("--image-size", type=int, default=None, help="Side that images get."),
        click.option("--label", default="auto", help="Label column, key or file; or 'none'."),
        click.option(
            "--data",
            required=required,
            metavar="PATH",
            help="File, folder, or a bundled set's name.",
        ),
    ):
        command = option(command)
    return command


def emit(values: Any) -> None:
    """Print JSON on stdout."""
    from precond_gm.values.report import plain

    click.echo(json.dumps(plain(values), indent=1))


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure and say where; stdout is left to the result."""
    figure.savefig(path, dpi=130)
    click.echo(f"figure: {path}", err=True)
