"""Sections: kept, found again, and shown in a page with the recommendation first."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

import precond_gm.report
from precond_gm.cli import main
from precond_gm.closed_form import GaussianBridge
from precond_gm.diagnostics import early_stopping, schedules, step_size
from precond_gm.errors import CheckpointError
from precond_gm.report import Section, read_sections, write_page, write_section
from precond_gm.report.studies import early_stopping_section, step_size_section
from precond_gm.training.results import Comparison

NARROW = GaussianBridge(0.0, 1.0, 0.0, 0.05)


def test_kept_and_found_again(tmp_path: Path) -> None:
    """What is read is what was written, from any folder below. Oracle: equality."""
    found = step_size(NARROW, steps=(4, 8), num_samples=64)
    section = step_size_section(found, ["Take 8 steps."])
    (tmp_path / "run" / "study").mkdir(parents=True)
    write_section(section, tmp_path / "run" / "study")
    assert read_sections(tmp_path) == [section]
    (tmp_path / "run" / "study" / "section.json").write_text("{")
    with pytest.raises(CheckpointError, match="run the study again"):
        read_sections(tmp_path)


def test_page_leads_with_what_to_do(tmp_path: Path) -> None:
    """Recommendation, then figures, then the numbers; text from outside is escaped."""
    found = schedules(NARROW, grids=("uniform", "path-kl-optimal"), steps=(4, 8), num_samples=64)
    sections = [
        step_size_section(found, ["Take 8 steps of <this> grid."]),
        early_stopping_section(early_stopping(NARROW, deltas=(0.1, 0.3), steps=4, num_samples=64)),
    ]
    page = write_page("Study", sections, tmp_path / "study.html").read_text()
    assert "&lt;this&gt;" in page
    places = [page.index(s) for s in ("Take 8", "data:image/svg", "<table", "Where to stop")]
    assert places == sorted(places)
    assert page.count("<table") == 3
    assert "path-kl-optimal divides the path KL of uniform by" in page


def test_report_of_a_job_has_the_sections(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``precond-gm report JOB`` hands the studies of its runs to the page. Oracle: what it gets."""
    section = Section("Steps", ("Take 8.",))
    (tmp_path / "whiten" / "study").mkdir(parents=True)
    write_section(section, tmp_path / "whiten" / "study")
    got = {}

    def write(comparison: object, out: Path, figures: object, sections: object) -> None:
        got["sections"] = sections

    monkeypatch.setattr(Comparison, "load", lambda folder: SimpleNamespace(results=()))
    monkeypatch.setattr(precond_gm.report, "draw", lambda comparison: {})
    monkeypatch.setattr(precond_gm.report, "write_report", write)
    result = CliRunner().invoke(main, ["report", str(tmp_path)])
    assert result.exit_code == 0, result.output
    assert got["sections"] == [section]


def test_text_is_aligned() -> None:
    """Every line of a table has the width of its head. Oracle: counting."""
    text = step_size_section(step_size(NARROW, steps=(4, 128), num_samples=64)).text()
    lines = text.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("grid")) + 1
    assert len({len(line) for line in lines[start : start + 3]}) == 1
    assert Section("only a title", ()).text() == "only a title"
