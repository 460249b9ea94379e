"""Fill the page: a comparison in, one self-contained HTML file out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from precond_gm.report.figures import pictures_of
from precond_gm.report.intervals import Finding, Interval
from precond_gm.report.picture import embed
from precond_gm.report.section import Section
from precond_gm.report.tables import Cell, Row, Table, table_of, values_of
from precond_gm.report.verdict import number, verdict_of
from precond_gm.training.results import Comparison, write_text
from precond_gm.values.report import plain

if TYPE_CHECKING:
    from jinja2 import Template
    from matplotlib.figure import Figure

__all__ = ["draw", "render", "table_for", "write_page", "write_report"]

_TEMPLATES = Path(__file__).parent / "templates"
_MARKS = {Finding.BETTER: "▼", Finding.WORSE: "▲", Finding.OPEN: "≈"}


def table_for(comparison: Comparison) -> Table:
    """Return the table of a job."""
    return table_of(values_of(comparison.results), comparison.recipe["sample_steps"])


def draw(comparison: Comparison) -> dict[str, Figure]:
    """Return the figures of a job by name; drawing takes most of a report's time."""
    return {p.name: p.draw() for p in pictures_of(comparison, table_for(comparison))}


def render(
    comparison: Comparison,
    figures: Mapping[str, Figure] | None = None,
    sections: Sequence[Section] = (),
) -> str:
    """Return the page as text; figures, styles and numbers are all inside."""
    table = table_for(comparison)
    drawn = draw(comparison) if figures is None else figures
    pictures = [
        {
            "title": picture.title,
            "text": picture.text,
            "name": picture.name,
            "address": embed(drawn[picture.name], sharp=picture.name != "samples"),
        }
        for picture in pictures_of(comparison, table)
    ]
    return _template("comparison.html.j2").render(
        sections=sections,
        comparison=comparison,
        table=table,
        groups=_grouped(table),
        verdict=verdict_of(table),
        pictures=pictures,
        fits=_fits(comparison),
        number=number,
        interval=_interval,
        change=_change,
        mark=lambda cell: _MARKS.get(cell.finding, ""),
        recipe=yaml.safe_dump(plain(comparison.recipe), sort_keys=False),
        machine=yaml.safe_dump(plain(comparison.machine), sort_keys=False),
        minutes=_minutes(float(comparison.machine.get("seconds", 0.0))),
    )


def write_report(
    comparison: Comparison,
    path: Path,
    figures: Mapping[str, Figure] | None = None,
    sections: Sequence[Section] = (),
) -> Path:
    """Write the page atomically and return its path.

    Args:
        comparison: The job.
        path: Where the page goes.
        figures: Figures that are drawn already.
        sections: What studies of its runs have to say, as ``read_sections`` finds it.
    """
    write_text(path, render(comparison, figures, sections))
    return path


def write_page(title: str, sections: Sequence[Section], path: Path) -> Path:
    """Write a page of sections alone, atomically, and return its path."""
    write_text(path, _template("page.html.j2").render(title=title, sections=sections))
    return path


def _template(name: str) -> Template:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES), autoescape=True, undefined=StrictUndefined
    )
    return environment.get_template(name)


def _grouped(table: Table) -> list[tuple[str, list[Row]]]:
    groups: dict[str, list[Row]] = {}
    for row in table.rows:
        groups.setdefault(row.measure.group, []).append(row)
    return list(groups.items())


def _interval(value: Interval) -> str:
    """Return both ends; nothing where seeds agree exactly or there is but one."""
    if value.low is None or value.high is None or value.low == value.high:
        return ""
    return f"{number(value.low)} – {number(value.high)}"


def _change(row: Row, cell: Cell) -> str:
    change = cell.change
    if change is None:
        return ""
    sign = "× " if row.measure.as_ratio else ""
    head = f"{sign}{number(change.mean)}"
    return f"{head} [{_interval(change)}]" if _interval(change) else head


def _fits(comparison: Comparison) -> list[dict[str, Any]]:
    """Return what fitting said, once per variant: first seed."""
    found = []
    for name in comparison.variants:
        fit = dict(comparison.of(name)[0].fit)
        found.append(
            {
                **fit,
                "variant": name,
                "before": _maybe(fit["condition_before"]),
                "after": _maybe(fit["condition_after"]),
                "round_trip": _maybe(fit["round_trip_error"]),
            }
        )
    return found


def _maybe(value: Any) -> str:
    """Write a number that JSON may have kept as None or as a word."""
    return "–" if value is None else value if isinstance(value, str) else number(float(value))


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.1f} min" if seconds >= 90 else f"{seconds:.0f} s"
