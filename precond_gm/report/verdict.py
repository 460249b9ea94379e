"""The verdict: sentences that follow from the intervals and claim nothing beyond them."""

from __future__ import annotations

from dataclasses import dataclass

from precond_gm.report.intervals import Finding, Interval
from precond_gm.report.tables import Row, Table

__all__ = ["Verdict", "number", "verdict_of"]


@dataclass(frozen=True)
class Verdict:
    """What the job showed.

    Attributes:
        headline: One sentence.
        lines: One per variant other than the baseline.
        caution: What limits these statements.
    """

    headline: str
    lines: tuple[str, ...]
    caution: str


def verdict_of(table: Table) -> Verdict:
    """Say what each variant does better and worse than the baseline, and what stays open."""
    lines, wins, losses = [], 0, 0
    for index, name in enumerate(table.variants[1:], start=1):
        found = {finding: _said(table, index, finding) for finding in Finding}
        wins += bool(found[Finding.BETTER])
        losses += bool(found[Finding.WORSE])
        lines.append(_sentence(name, table.baseline, found))
    return Verdict(_headline(table, wins, losses), tuple(lines), _caution(table))


def number(value: float) -> str:
    """Write a number with three figures, whole from 1000 on, and powers of ten beyond 10^5.

    Example:
        >>> number(0.012345), number(1234.5), number(3.2e6)
        ('0.0123', '1234', '3.2e+06')
    """
    if abs(value) >= 1e5:
        return f"{value:.2g}"
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _said(table: Table, index: int, finding: Finding) -> list[str]:
    return [
        _phrase(row, row.cells[index].change, finding)
        for row in table.rows
        if row.measure.is_judged and row.cells[index].finding is finding
    ]


def _phrase(row: Row, change: Interval | None, finding: Finding) -> str:
    title = row.measure.title
    if finding is Finding.OPEN or change is None:
        return title
    if not row.measure.as_ratio:
        return f"{title} ({change.mean:+.2g})"
    factor = 1 / change.mean if finding is Finding.BETTER else change.mean
    word = "smaller" if finding is Finding.BETTER else "larger"
    return f"{title} ({number(factor)} times {word})"


def _sentence(name: str, baseline: str, found: dict[Finding, list[str]]) -> str:
    parts = []
    if found[Finding.BETTER]:
        parts.append(f"better than {baseline} in {_join(found[Finding.BETTER])}")
    if found[Finding.WORSE]:
        parts.append(f"worse in {_join(found[Finding.WORSE])}")
    if found[Finding.OPEN]:
        parts.append(f"no difference shown in {_join(found[Finding.OPEN])}")
    return f"{name}: {'; '.join(parts)}." if parts else f"{name}: nothing to compare."


def _headline(table: Table, wins: int, losses: int) -> str:
    if len(table.variants) == 1:
        return f"One variant, {table.baseline}: there is nothing to compare it with."
    if table.seeds < 2:
        return "One seed only: differences are listed, none can be called real."
    others = len(table.variants) - 1
    if wins and losses:
        return (
            f"A trade: preconditioning improves some measures and worsens others, against "
            f"{table.baseline}. Which one matters decides."
        )
    if wins:
        return (
            f"{_count(wins, others)} better than {table.baseline} in at least one measure, and "
            f"none is shown to be worse in any."
        )
    if losses:
        return (
            f"{_count(losses, others)} worse than {table.baseline} in at least one measure, and "
            f"none is shown to be better in any."
        )
    return f"No difference from {table.baseline} is shown by these {table.seeds} seeds."


def _count(some: int, of: int) -> str:
    if of == 1:
        return "The other variant is"
    return "All other variants are" if some == of else f"{some} of {of} variants are"


def _caution(table: Table) -> str:
    if table.seeds < 2:
        return "Intervals need at least two seeds. Repeat with seeds=3 or more before you conclude."
    return (
        f"Intervals are 95 %, Student's, over {table.seeds} seeds; comparisons are paired by seed. "
        f"Each is judged alone, so about one in twenty true ties is called a difference. "
        + ("Two seeds can show large effects only. " if table.seeds == 2 else "")
        + "Seeds share the data and the split: another data set may differ."
    )


def _join(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
