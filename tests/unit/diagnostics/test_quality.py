"""The quality report: what it sees, what it leaves alone, what bad input is told."""

from __future__ import annotations

import json
import math

import pytest
import torch
from torch import Tensor

from precond_gm.diagnostics import QualityReport, quality
from precond_gm.errors import InvalidInputError, NonFiniteError, UnknownNameError
from precond_gm.values import Batch, Samples

FAST = ("energy_distance", "sliced_w2", "w2", "mmd", "recovery", "neighbours")
SCALE = torch.tensor([0.03, 0.1, 0.3, 1.0, 3.0, 10.0])


def rows_of(count: int, seed: int) -> Tensor:
    return torch.randn(count, 6, generator=torch.Generator().manual_seed(seed)) * SCALE


def test_the_right_law_differs_in_nothing() -> None:
    """Oracle: both sides from one law; 95 % intervals against noisy floors, seed fixed."""
    report = quality(rows_of(600, 1), rows_of(900, 2), metrics=FAST)
    assert not [name for name, metric in report.metrics.items() if metric.differs]
    assert report.num_rows == 300
    assert report.recovery is not None
    assert report.recovery.ratio.shape == (6,)


def test_inflated_small_directions_are_seen_by_recovery_alone() -> None:
    """Oracle: the two smallest variances times 16, invisible to distances in the data's unit."""
    made = rows_of(600, 1)
    made[:, :2] *= 4
    report = quality(made, rows_of(900, 2), metrics=FAST)
    assert report["low_recovery_error"].low < 4 < report["low_recovery_error"].high
    assert report["low_recovery"].differs
    assert not report["sliced_w2"].differs
    assert not report["energy_distance"].differs


def test_classifier_features_and_labels() -> None:
    """Oracle: swapped labels are half right at most; a scaled set is told apart from data."""
    data = torch.cat((rows_of(80, 1) - 8 * SCALE, rows_of(80, 2) + 8 * SCALE))
    label = torch.arange(2).repeat_interleave(80)
    made, swapped = data + 0.1, 1 - label
    names = ["c2st", "frechet", "label_accuracy"]
    options = {"sample_label": swapped, "data_label": label, "metrics": names}
    report = quality(made, data, **options)  # type: ignore[arg-type]
    assert report["label_accuracy"].value < 0.1
    assert report["label_accuracy"].floor > 0.9
    assert report["label_accuracy"].differs
    assert report["c2st"].differs
    assert report["frechet"].value > 0


def test_copies_of_training_rows_are_seen() -> None:
    """Oracle: samples that are training rows, against fresh rows."""
    train, test = rows_of(300, 1), rows_of(300, 2)
    copied = quality(train[:100], test, reference=train, metrics=["copying"])
    fresh = quality(rows_of(100, 3), test, reference=train, metrics=["copying"])
    assert copied["copying"].value == 1
    assert copied["copying"].differs
    assert not fresh["copying"].differs


def test_a_figure_asked_for_by_name_is_given_or_refused() -> None:
    """Oracle: what each figure is defined from; the message names the missing argument."""
    data, label = rows_of(300, 1), torch.arange(300) % 2
    with pytest.raises(InvalidInputError, match=r"'copying' takes .* give reference"):
        quality(data, data, metrics=["copying"])
    with pytest.raises(InvalidInputError, match="give sample_label and data_label"):
        quality(data, data, metrics=["label_accuracy"])
    options = {"sample_label": label, "data_label": label, "metrics": ["label_accuracy"]}
    with pytest.raises(InvalidInputError, match="give reference_label"):
        quality(data, data, reference=data, **options)  # type: ignore[arg-type]
    with pytest.raises(InvalidInputError, match=r"'recovery' takes rows that vary"):
        quality(data, torch.ones(90, 6), metrics=["recovery"])
    with pytest.raises(InvalidInputError, match=r"at least 8 rows; got 1\."):
        quality(data, data, reference=data[:1])


def test_constant_data_have_every_figure_but_the_recovery() -> None:
    """Oracle: rows that are all the same are at distance 0; there is no variance to recover."""
    report = quality(torch.ones(60, 2), torch.ones(90, 2))
    assert report.recovery is None
    assert "low_recovery" not in report.metrics
    assert "'recovery' is left out" in report.notes[0]
    assert report["w2"].value == 0


def test_a_dropped_label_is_counted_and_named() -> None:
    """Oracle: samples of labels 0, 1 and 5 against data of labels 0, 1 and 2."""
    data, label = rows_of(600, 1), torch.arange(600) % 3
    made = torch.where(label == 2, torch.arange(600) % 2, label)
    made[0] = 5
    report = quality(
        rows_of(600, 2), data, sample_label=made, data_label=label, metrics=["energy_distance"]
    )
    assert report.dropped == (2,)
    assert report.as_metrics()["quality/dropped_labels"] == 1
    assert list(report.per_label) == [0, 1]
    assert any("no sample has the labels [2]" in note for note in report.notes)
    assert any("no data row has the labels [5]" in note for note in report.notes)
    assert quality(data, data, metrics=["energy_distance"]).dropped is None


def test_a_label_that_the_reference_lacks_is_left_out() -> None:
    """Oracle: the reference has label 0 alone, so label 1 has no directions."""
    data, label = rows_of(200, 1), torch.arange(200) % 2
    report = quality(
        rows_of(200, 2),
        data,
        sample_label=label,
        data_label=label,
        reference=rows_of(100, 3),
        reference_label=torch.zeros(100, dtype=torch.long),
        metrics=["energy_distance"],
    )
    assert list(report.per_label) == [0]
    assert report.notes == ("too few rows for a report of the labels [1].",)


def test_intervals_stay_within_the_range_of_their_figure() -> None:
    """Oracle: shares lie in [0, 1], distances above 0; of 30 rows, intervals reached beyond."""
    report = quality(rows_of(30, 1), rows_of(90, 2))
    for name in ("precision", "recall", "coverage", "c2st"):
        assert 0 <= report[name].low <= report[name].value <= report[name].high <= 1
    for name in ("frechet", "w2", "sliced_w2", "density", "low_recovery_error"):
        assert 0 <= report[name].low <= report[name].value <= report[name].high
    copied = quality(rows_of(30, 1), rows_of(90, 2), reference=rows_of(30, 1), metrics=["copying"])
    assert copied["copying"].high <= 1


def test_labels_give_a_report_each() -> None:
    """Oracle: only label 1 is damaged; label 2 has too few rows and is named."""
    label = torch.tensor([0, 1] * 300 + [2] * 4)
    data, made = rows_of(604, 1), rows_of(604, 2)
    made[label == 1] *= 3
    report = quality(made, data, sample_label=label, data_label=label, metrics=FAST)
    assert list(report.per_label) == [0, 1]
    assert report.per_label[1]["sliced_w2"].differs
    assert not report.per_label[0]["sliced_w2"].differs
    assert "[2]" in report.notes[0]


def test_any_event_shape_and_any_container() -> None:
    """Oracle: the same rows as a tensor, as batches, and as the record of the sampler."""
    made, data = rows_of(60, 1).reshape(60, 2, 3), rows_of(90, 2).reshape(90, 2, 3)

    def figures(report: QualityReport) -> dict[str, float]:
        return report.as_metrics()

    plain = quality(made, data, metrics=FAST)
    batched = quality([Batch(made[:20]), Batch(made[20:])], [Batch(data)], metrics=FAST)
    record = quality(Samples(made, None, None, 7), data, metrics=FAST)
    assert figures(plain) == figures(batched) == figures(record)


def test_own_features_get_rows_of_the_event_shape() -> None:
    """Oracle: an extractor that reads images; equal sets do not differ."""
    data = rows_of(90, 2).reshape(90, 1, 2, 3)
    report = quality(data, data, features=lambda x: x.mean((1, 2)), metrics=["frechet"])
    assert not report["frechet"].differs


def test_report_is_plain_and_finite() -> None:
    """Oracle: JSON accepts it, MLflow's character set holds, every metric is finite."""
    data = rows_of(120, 1)
    data[:, 3] = 1.0  # a constant feature
    report = quality(rows_of(60, 2), data, metrics=FAST)
    assert all(math.isfinite(v) for v in report.as_metrics().values())
    allowed = set("abcdefghijklmnopqrstuvwxyz0123456789_-./")
    assert all(set(name) <= allowed for name in report.as_metrics())
    json.dumps(report.to_dict(), allow_nan=False)
    assert len(report.plot().axes) == 2


@pytest.mark.parametrize(
    ("made", "data", "options", "error", "words"),
    [
        (torch.zeros(5, 2), torch.zeros(50, 2), {}, InvalidInputError, "at least 8 rows"),
        (torch.zeros(50, 2), torch.zeros(50, 3), {}, InvalidInputError, "samples has rows of"),
        (torch.full((9, 2), math.nan), torch.zeros(50, 2), {}, InvalidInputError, "row 0"),
        (torch.zeros(9, 2), torch.zeros(50, 2), {"metrics": ["fid"]}, UnknownNameError, "fid"),
    ],
)
def test_bad_input(
    made: Tensor, data: Tensor, options: dict[str, object], error: type[Exception], words: str
) -> None:
    """Oracle: the message names what is wrong."""
    with pytest.raises(error, match=words):
        quality(made, data, **options)  # type: ignore[arg-type]


def test_an_extractor_that_fails_is_named() -> None:
    """Oracle: the message says in how many rows, and what to look at."""
    data = rows_of(90, 1)
    with pytest.raises(NonFiniteError, match="feature extractor gave NaN or infinity for 30 of 30"):
        quality(data, data, features=lambda x: x * math.nan, metrics=["frechet"])
