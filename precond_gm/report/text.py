"""The table as text, for a terminal."""

from __future__ import annotations

from precond_gm.report.intervals import Finding, Interval
from precond_gm.report.tables import Cell, Table
from precond_gm.report.verdict import number

__all__ = ["text_of"]

_MARKS = {Finding.BETTER: "better", Finding.WORSE: "worse", Finding.OPEN: "tie?"}


def text_of(table: Table) -> str:
    """Return aligned columns: mean, interval, and the finding against the baseline."""
    head = ["", *table.variants, "real/real"]
    lines = [head]
    for row in table.rows:
        floor = "" if row.floor is None else number(row.floor)
        lines.append(
            [row.measure.title, *(_cell(cell, row.measure.is_judged) for cell in row.cells), floor]
        )
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    text = [
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]
    return "\n".join([text[0], "-" * len(text[0]), *text[1:]])


def _cell(cell: Cell, is_judged: bool) -> str:
    if cell.value is None:
        return "-"
    if not is_judged:
        return number(cell.value.mean)
    mark = f" {_MARKS[cell.finding]}" if cell.finding is not None else ""
    return _mean(cell.value) + mark


def _mean(value: Interval) -> str:
    if value.low is None or value.high is None or value.low == value.high:
        return number(value.mean)
    return f"{number(value.mean)} [{number(value.low)}, {number(value.high)}]"
