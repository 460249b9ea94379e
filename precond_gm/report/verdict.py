"""The verdict: sentences that follow from the intervals and claim nothing beyond them."""

from __future__ import annotations

from dataclasses import dataclass

from precond_gm.report.intervals import Finding
from precond_gm.report.tables import CONDITION, QUALITY, Row, Table

__all__ = ["Verdict", "number", "verdict_of"]


@dataclass(frozen=True)
class Verdict:
    """What the job showed.

    Attributes:
        headline: One sentence.
        lines: One per variant other than the baseline; none where one seed allows none.
        caution: What limits these statements.
    """

    headline: str
    lines: tuple[str, ...]
    caution: str


def verdict_of(table: Table) -> Verdict:
    """Say what each variant does better and worse than the baseline, and what stays open."""
    lines: list[str] = []
    better: list[str] = []
    worse: list[str] = []
    for index, name in enumerate(table.variants[1:], start=1):
        found = {finding: _said(table, index, finding, QUALITY) for finding in Finding}
        better += [name] if found[Finding.BETTER] else []
        worse += [name] if found[Finding.WORSE] else []
        lines.append(_sentence(name, table.baseline, found, _conditioned(table, index)))
    said = tuple(lines) if table.seeds > 1 else ()
    return Verdict(_headline(table, better, worse), said, _caution(table))


def number(value: float) -> str:
    """Write a number with three figures, whole from 1000 on, and powers of ten beyond 10^8.

    Example:
        >>> number(0.012345), number(12345.6), number(3.2e9)
        ('0.0123', '12,346', '3.2e+09')
    """
    if abs(value) >= 1e8:
        return f"{value:.2g}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _said(table: Table, index: int, finding: Finding, group: str) -> list[str]:
    """Return a phrase per measure with this finding; one for all numbers of solver steps."""
    rows = [
        row
        for row in table.rows
        if row.measure.group == group and row.cells[index].finding is finding
    ]
    alone = [row for row in rows if row.measure.steps is None]
    by_steps = [row for row in rows if row.measure.steps is not None]
    phrases = [f"{row.measure.title}{_size([row], index, finding)}" for row in alone]
    if by_steps:
        steps = _join([str(row.measure.steps) for row in by_steps])
        phrases.append(f"sliced W2 at {steps} steps{_size(by_steps, index, finding)}")
    return phrases


def _size(rows: list[Row], index: int, finding: Finding) -> str:
    """Return how large the change is, in brackets; nothing where none was shown."""
    means = [change.mean for row in rows if (change := row.cells[index].change) is not None]
    if finding is Finding.OPEN or not means:
        return ""
    if not rows[0].measure.as_ratio:
        return f" ({means[0]:+.2g})"
    word = "smaller" if finding is Finding.BETTER else "larger"
    factors = sorted(1 / mean if finding is Finding.BETTER else mean for mean in means)
    span = " to ".join(dict.fromkeys(number(factor) for factor in (factors[0], factors[-1])))
    return f" ({span} times {word})"


def _conditioned(table: Table, index: int) -> str:
    """Say what happened to the worst condition number; it is what the map is for."""
    rows = [row for row in table.rows if row.measure.group == CONDITION]
    if not rows or rows[-1].cells[index].change is None:
        return ""
    row, change = rows[-1], rows[-1].cells[index].change
    before, after = row.cells[0].value, row.cells[index].value
    if change is None or before is None or after is None:
        return ""
    return f"{row.measure.title} {number(before.mean)} → {number(after.mean)}"


def _sentence(name: str, baseline: str, found: dict[Finding, list[str]], conditioned: str) -> str:
    parts = [conditioned] if conditioned else []
    if found[Finding.BETTER]:
        parts.append(f"better than {baseline} in {_join(found[Finding.BETTER])}")
    if found[Finding.WORSE]:
        parts.append(f"worse in {_join(found[Finding.WORSE])}")
    if found[Finding.OPEN]:
        parts.append(f"no difference shown in {_join(found[Finding.OPEN])}")
    return f"{name}: {'; '.join(parts)}." if parts else f"{name}: nothing to compare."


def _headline(table: Table, better: list[str], worse: list[str]) -> str:
    if len(table.variants) == 1:
        return f"One variant, {table.baseline}: there is nothing to compare it with."
    if table.seeds < 2:
        return "One seed only: differences are listed, none can be called real."
    if not better and not worse:
        return (
            f"No difference in the samples is shown between {table.baseline} and the others by "
            f"{table.seeds} seeds."
        )
    clean = [name for name in better if name not in worse]
    mixed = [name for name in better if name in worse]
    only_worse = [name for name in worse if name not in better]
    parts = []
    if clean:
        parts.append(f"{_join(clean)} {_is(clean)} better in some measures and worse in none")
    if mixed:
        parts.append(f"{_join(mixed)} {_is(mixed)} better in some measures and worse in others")
    if only_worse:
        parts.append(f"{_join(only_worse)} {_is(only_worse)} worse in some and better in none")
    return f"Samples against {table.baseline}: {'; '.join(parts)}."


def _is(names: list[str]) -> str:
    return "is" if len(names) == 1 else "are"


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
