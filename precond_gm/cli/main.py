"""The group of commands: a table of names, so that ``--help`` imports none of them."""

from __future__ import annotations

import importlib
from typing import Any

import click

from precond_gm.cli.failures import reported

__all__ = ["COMMANDS", "main"]

COMMANDS: dict[str, tuple[str, str]] = {
    "train": ("precond_gm.cli.train:train", "Train and compare variants on data."),
    "sample": ("precond_gm.cli.sample:sample", "Draw rows from a trained flow."),
    "diagnose": ("precond_gm.cli.diagnose:diagnose", "Measure what holds training back."),
    "study": ("precond_gm.cli.study:study", "Find how many sampling steps are needed."),
    "compare": ("precond_gm.cli.compare:compare", "Set the runs of an experiment side by side."),
    "fit": ("precond_gm.cli.fit:fit", "Fit a preconditioner and say what it does."),
    "advise": ("precond_gm.cli.advise:advise", "Recommend parts and settings for data."),
    "report": ("precond_gm.cli.report:report", "Write the HTML report of a job again."),
    "list": ("precond_gm.cli.listing:list_", "List the parts that are installed."),
}


class LazyGroup(click.Group):
    """Commands that are imported when they are called; errors become exit codes."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names, in the order of a job."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command."""
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name][0].partition(":")
        return getattr(importlib.import_module(module), attribute)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands from the table, without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name][1]) for name in self.list_commands(ctx)])

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; what the package raises on purpose is printed, without a traceback."""
        with reported():
            return super().invoke(ctx)


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(package_name="precond_gm", prog_name="precond-gm")
def main() -> None:
    """Train flow-matching models in coordinates where training is easy, and prove it.

    \b
    Example:
      precond-gm train --recipe digits
      precond-gm diagnose --data mine.npz
    """
