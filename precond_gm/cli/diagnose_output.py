"""Where a diagnosis goes: figure, page, MLflow, and the terminal."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from precond_gm.cli.options import emit, save_figure

if TYPE_CHECKING:
    from typing import TypeAlias

    from matplotlib.figure import Figure

    from precond_gm.report import Section
    from precond_gm.values import AbstractReport

    Reported: TypeAlias = "AbstractReport | Mapping[str, AbstractReport]"

__all__ = ["Output"]


@dataclass(frozen=True)
class Output:
    """What the user asked for.

    Attributes:
        image: Figure to write.
        out: Page to write: a file that ends in .html, or a folder.
        tracking_uri: MLflow store to log in.
        as_json: Whether numbers are printed in place of words.
    """

    image: Path | None
    out: Path | None
    tracking_uri: str | None
    as_json: bool

    @property
    def has_page(self) -> bool:
        """Whether a page is written or logged."""
        return self.out is not None or self.tracking_uri is not None

    def write(
        self,
        title: str,
        reports: Mapping[str, Reported],
        *,
        sections: Callable[[], Sequence[Section]],
        figure: Callable[[], Figure],
        text: Callable[[], str],
        numbers: Any = None,
    ) -> None:
        """Write and print what was asked for.

        Args:
            title: Of the page.
            reports: By name, or by variant and name; their numbers go beside the page as
                ``diagnosis.json``, and those of a variant are a nested run in the store.
            sections: Makes the page, the verdict first.
            figure: Draws the image.
            text: What a terminal shows.
            numbers: What ``--json`` prints, if not the reports.
        """
        if self.image is not None:
            save_figure(figure(), self.image)
        if self.has_page:
            self._write_page(title, reports, sections())
        if self.as_json:
            emit(reports if numbers is None else numbers)
        else:
            click.echo(text())

    def _write_page(
        self, title: str, reports: Mapping[str, Reported], sections: Sequence[Section]
    ) -> None:
        from precond_gm.report import write_page
        from precond_gm.training.results import write_text
        from precond_gm.values.report import plain

        with tempfile.TemporaryDirectory() as scratch:
            target = Path(scratch) if self.out is None else self.out
            page = target if target.suffix == ".html" else target / "diagnosis.html"
            write_page(title, sections, page)
            numbers = page.with_suffix(".json")
            write_text(numbers, json.dumps(plain(dict(reports)), indent=1))
            if self.out is not None:
                click.echo(f"report: {page}", err=True)
            if self.tracking_uri is not None:
                _log(title, reports, (page, numbers), self.tracking_uri)


def _log(
    title: str, reports: Mapping[str, Reported], files: Sequence[Path], tracking_uri: str
) -> None:
    from precond_gm.tracking import MlflowTracker

    with MlflowTracker("diagnose", tracking_uri=tracking_uri, run_name=title) as tracker:
        for name, found in reports.items():
            if not isinstance(found, Mapping):
                tracker.log_report(found, name)
                continue
            with tracker.child(name) as variant:
                for inner, report in found.items():
                    variant.log_report(report, inner)
        for path in files:
            tracker.log_file(path)
        click.echo(f"MLflow run: {tracker.run_id}", err=True)
