"""The table and the verdict, on numbers whose story is known."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from precond_gm.report import table_of, verdict_of
from precond_gm.report.intervals import Finding
from precond_gm.report.text import text_of
from precond_gm.report.verdict import number


def runs(**values: list[float]) -> dict[int, Mapping[str, float]]:
    """Return metrics by seed from one list per metric; ``_`` in the names stands for ``/``."""
    keys = {key.replace("__", "/"): rows for key, rows in values.items()}
    seeds = len(next(iter(keys.values())))
    return {seed: {key: rows[seed] for key, rows in keys.items()} for seed in range(seeds)}


GOOD = runs(recovery__low=[1.1, 1.12, 1.09], quality__energy=[0.30, 0.31, 0.29])
PLAIN = runs(recovery__low=[3.0, 3.1, 2.9], quality__energy=[0.10, 0.11, 0.09])


def test_a_trade_is_called_a_trade() -> None:
    """Recovery is better, energy distance worse: both are said, with their sizes."""
    table = table_of({"whiten": GOOD, "identity": PLAIN}, [])
    assert table.baseline == "identity"
    verdict = verdict_of(table)
    assert "better in some measures and worse in others" in verdict.headline
    assert "variance error in small directions (2.72 times smaller)" in verdict.lines[0]
    assert "worse in energy distance (+0.2)" in verdict.lines[0]


def test_the_plain_model_can_win() -> None:
    """A variant that is worse in everything is called so."""
    bad = runs(recovery__low=[9.0, 9.1, 8.9], quality__energy=[0.9, 0.91, 0.89])
    verdict = verdict_of(table_of({"identity": PLAIN, "whiten": bad}, []))
    assert "worse in some and better in none" in verdict.headline


def test_noise_is_not_a_difference() -> None:
    """Seeds that overlap show nothing."""
    noisy = runs(recovery__low=[2.0, 4.2, 3.1], quality__energy=[0.2, 0.02, 0.1])
    table = table_of({"identity": PLAIN, "whiten": noisy}, [])
    assert {row.cells[1].finding for row in table.rows} == {Finding.OPEN}
    assert "No difference in the samples is shown" in verdict_of(table).headline


@pytest.mark.parametrize(("seeds", "word"), [(1, "One seed only"), (3, "Samples against")])
def test_one_seed_claims_nothing(seeds: int, word: str) -> None:
    """One seed lists differences and calls none real."""
    cut = {name: {s: r[s] for s in range(seeds)} for name, r in (("identity", PLAIN), ("w", GOOD))}
    assert verdict_of(table_of(cut, [])).headline.startswith(word)


def test_one_variant_has_nothing_to_beat() -> None:
    """No baseline, no claim."""
    assert "nothing to compare" in verdict_of(table_of({"whiten": GOOD}, [])).headline


def test_solver_steps_share_a_phrase() -> None:
    """Three distances in three phrases would not be read."""
    base = runs(quality__w2_5=[2.0, 2.1], quality__w2_10=[2.0, 2.1], quality__energy=[1.0, 1.1])
    half = runs(quality__w2_5=[1.0, 1.05], quality__w2_10=[0.5, 0.525], quality__energy=[1.0, 1.1])
    line = verdict_of(table_of({"identity": base, "w": half}, [5, 10])).lines[0]
    assert "sliced W2 at 5 and 10 steps (2 to 4 times smaller)" in line


def test_only_shared_seeds_are_paired() -> None:
    """A run that failed takes its partner out of the comparison, not out of the table."""
    fewer = {seed: GOOD[seed] for seed in (0, 2)}
    cell = table_of({"identity": PLAIN, "whiten": fewer}, []).rows[0].cells[1]
    assert cell.change is not None
    assert cell.change.count == 2


def test_text_has_every_variant_and_line() -> None:
    """The terminal's table is the page's table."""
    table = table_of({"identity": PLAIN, "whiten": GOOD}, [])
    text = text_of(table)
    assert all(name in text.splitlines()[0] for name in table.variants)
    assert len(text.splitlines()) == 2 + len(table.rows)


def test_numbers_are_short() -> None:
    """Three figures, no exponent where none is needed."""
    assert [number(v) for v in (0.0, 1.0, 123.456, 99999.0, 2.5e7)] == [
        "0",
        "1",
        "123",
        "99,999",
        "25,000,000",
    ]
