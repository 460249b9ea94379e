"""Advice follows its rule, and says what failed."""

from __future__ import annotations

import json

import pytest
import torch
from click.testing import CliRunner

from precond_gm.cli import main
from precond_gm.diagnostics import advise
from precond_gm.values import Batch


def halves(scale: list[float], rows: int = 4000) -> tuple[Batch, Batch]:
    """Return correlated Gaussian rows of two labels, split in two."""
    generator = torch.Generator().manual_seed(0)
    mix = torch.tensor([[1.0, 0.99], [0.0, 0.14]])
    x = torch.randn(rows, 2, generator=generator) * torch.tensor(scale) @ mix
    label = torch.arange(rows) % 2
    half = rows // 2
    return Batch(x[:half], label[:half]), Batch(x[half:], label[half:])


def test_whitening_is_advised_where_correlation_is_the_trouble() -> None:
    """Only whitening alters correlation. Oracle: kappa of the correlated Gaussian; held-out noise
    of 1,000 rows a label is 1 + 4 sqrt(2 / 1000), below 1.3.
    """
    names = ["identity", "standardize", "whiten"]
    report = advise(*halves([10.0, 1.0]), candidates=names, num_labels=2)
    by_name = {one.name: one for one in report.candidates}
    assert report.recommended == "whiten"
    assert by_name["whiten"].condition_number < 1.3
    assert by_name["standardize"].condition_number > 10
    assert by_name["whiten"].behind == pytest.approx(0.0)
    assert by_name["identity"].round_trip_error == 0.0


def test_well_conditioned_data_need_none() -> None:
    """Oracle: isotropic rows."""
    x = torch.randn(4000, 2, generator=torch.Generator().manual_seed(0))
    report = advise(Batch(x[:2000]), Batch(x[2000:]), candidates=["whiten"])
    assert report.recommended == "identity"
    assert "already" in report.reason


def test_a_candidate_that_fails_is_listed_with_its_cause() -> None:
    """Too few rows of a label for whitening. Oracle: the message."""
    train, held = halves([10.0, 1.0], rows=4)
    report = advise(train, held, candidates=["identity", "no-such-map"], num_labels=2)
    failed = [one for one in report.candidates if one.failure is not None]
    assert [one.name for one in failed] == ["no-such-map"]
    assert "no preconditioner is called" in str(failed[0].failure)


def test_few_rows_leave_the_decision_to_likelihood() -> None:
    """Rows of a law whose whitening is known, too few to show a condition number of 400 features.
    Oracle: the likelihood, which the true scales raise by hundreds of nats.
    """
    generator = torch.Generator().manual_seed(0)
    scale = torch.logspace(-2, 2, 400)
    x = torch.randn(2040, 400, generator=generator) * scale
    train, held = Batch(x[:2000]), Batch(x[2000:])
    report = advise(train, held, candidates=["identity", "standardize"])
    assert not report.is_conditioning_judged
    assert report.recommended == "standardize"
    assert "too few" in report.reason
    assert [one.name for one in report.candidates] == ["standardize", "identity"]


def test_time_bounds_what_is_trained() -> None:
    """Oracle: a flow that may not train at all is its whitening: the same condition number."""
    train, held = halves([10.0, 1.0], rows=2000)
    report = advise(
        train, held, candidates=["whiten", "whiten+zuko.nice"], num_labels=2, max_seconds=0.0
    )
    found = [one.condition_number for one in report.candidates]
    assert found[1] == pytest.approx(found[0], rel=0.05)


def test_the_command_prints_what_it_would_use() -> None:
    """Oracle: the JSON holds every candidate, and a figure is drawn."""
    arguments = ["advise", "--data", "digits", "--candidates", "identity,standardize", "--json"]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    said = json.loads(result.stdout)
    assert {one["name"] for one in said["candidates"]} == {"identity", "standardize"}
    report = advise(*halves([10.0, 1.0]), candidates=["identity", "whiten"], num_labels=2)
    assert len(report.plot().axes) == 4
