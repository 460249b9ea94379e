"""The observer: when it looks, what it leaves untouched, and the warning with its remedy."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import precond_gm as pg
from precond_gm.diagnostics.observer import Observer, StagnationWarning
from precond_gm.diagnostics.remedy import remedies
from precond_gm.errors import InvalidInputError

SCALE = torch.tensor([0.01, 0.1, 1.0, 3.0])


class Stuck(nn.Module):
    """Predict the mean: along the small directions an affine map is far better."""

    def forward(self, t: Tensor, z: Tensor, label: Tensor | None = None) -> Tensor:
        return torch.zeros_like(z)


def batch(seed: int, rows: int = 128) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(rows, 4, generator=generator) * SCALE


def rotation() -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.linalg.qr(torch.randn(4, 4, generator=generator)).Q


def test_it_looks_at_multiples_and_logs() -> None:
    """Oracle: the steps asked for; the logger gets the history's own metrics."""
    logged: dict[int, float] = {}
    flow = pg.wrap(Stuck(), event_shape=(4,))
    observer = Observer(
        flow,
        every=3,
        patience=9,
        log=lambda m, step: logged.update({step: m["observer/directions"]}),
    )
    seen = [step for step in range(8) if observer(step, batch(step)) is not None]
    assert seen == [3, 6]
    assert list(logged) == [3, 6]
    report = observer.report()
    assert report.explained.shape == (2, 4)
    assert report.as_metrics()["observer/warned"] == 0
    assert len(report.plot().axes) == 2


def test_the_warning_names_the_remedy_once() -> None:
    """Oracle: a network that never moves; whitening brings the condition number near 1."""
    observer = Observer(pg.wrap(Stuck(), event_shape=(4,)), every=2, max_rows=400)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for step in range(13):
            observer(step, batch(step, 256) @ rotation())
    texts = [str(w.message) for w in caught if issubclass(w.category, StagnationWarning)]
    assert len(texts) == 1
    assert observer.warned_at == 6
    assert "wrap(model, preconditioner='whiten')" in texts[0]
    assert "condition number of Sigma_t is" in texts[0]
    assert "ms per 1,000 samples" in texts[0]


def test_a_network_that_improves_is_not_warned_about() -> None:
    """Oracle: a field that closes its gap to the optimum by a third from look to look."""
    share = 1.0

    class Improving(nn.Module):
        def forward(self, t: Tensor, z: Tensor, label: Tensor | None = None) -> Tensor:
            t = t[:, None]
            total = (1 - t) ** 2 + t**2 * SCALE**2
            return (1 - share) * (t * SCALE**2 - (1 - t)) / total * z

    observer = Observer(pg.wrap(Improving(), event_shape=(4,)), every=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error", StagnationWarning)
        for step in range(6):
            observer(step, batch(step))
            share *= 0.65
    assert observer.warned_at is None


def test_z_rows_are_judged_like_their_data() -> None:
    """Oracle: the report on the data themselves; the map is undone for the remedy's sake only."""
    flow = pg.wrap(Stuck(), preconditioner="whiten", event_shape=(4,))
    flow.fit_preconditioner(batch(9, 2000))
    reports = []
    for preconditioned in (False, True):
        observer = Observer(flow, every=1)
        for step in range(3):
            x = batch(step)
            rows = flow.precondition(x) if preconditioned else x
            observer(step, rows, preconditioned=preconditioned)
        reports.append(observer.report())
    assert torch.equal(reports[0].explained, reports[1].explained)


def test_a_resumed_observer_sees_and_says_the_same(tmp_path: Path) -> None:
    """Stopped between the batches of one look, twice; oracle: the one that was not stopped."""
    flow = pg.wrap(Stuck(), event_shape=(4,))
    said: list[list[str]] = [[], []]
    whole = Observer(flow, every=4, max_rows=400, notify=said[0].append)
    parts = Observer(flow, every=4, max_rows=400, notify=said[1].append)
    for step in range(17):
        whole(step, batch(step))
        if step in (7, 15):
            torch.save(parts.state_dict(), tmp_path / "observer.pt")
            parts = Observer(flow, every=4, max_rows=400, notify=said[1].append)
            parts.load_state_dict(torch.load(tmp_path / "observer.pt", weights_only=True))
        parts(step, batch(step))
    one, two = whole.report(), parts.report()
    assert torch.equal(one.explained, two.explained)
    assert (one.warned_at, two.warned_at) == (12, 12)
    assert [len(texts) for texts in said] == [1, 1]
    again = type(one).from_dict(one.to_dict())
    assert torch.equal(again.explained, one.explained)


def test_training_is_left_as_it_was() -> None:
    """Oracle: global randomness, mode and gradients are the same with and without looking."""
    flow = pg.wrap(pg.models.MLP(4, width=8, depth=1), event_shape=(4,))
    flow.train()
    state = torch.get_rng_state()
    Observer(flow, every=1)(1, batch(0))
    assert torch.equal(state, torch.get_rng_state())
    assert flow.training
    assert all(p.grad is None for p in flow.parameters())


def test_remedies_are_sorted_and_measured_on_other_rows() -> None:
    """Oracle: whitening and standardising both cure diagonal data; rotated data only whitening."""
    found = remedies(batch(0, 2000) @ rotation())
    assert [offer.name for offer in found] == ["whiten", "standardize"]
    assert found[0].condition_number < 2
    assert found[1].condition_number > 50
    assert all(offer.inverse_ms > 0 for offer in found)


def test_bits_are_not_told_to_be_preconditioned() -> None:
    """Oracle: fit_preconditioner refuses bits; the warning and the table of remedies do as well."""
    chance = torch.tensor([0.01, 0.1, 0.5, 0.5])  # variances 0.04 and 0.36, beside 1

    def bits(seed: int) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        return 2 * (torch.rand(1024, 4, generator=generator) < chance).float() - 1

    with pytest.warns(UserWarning, match="skipped standardize, whiten: no preconditioner serves"):
        assert remedies(bits(0)) == ()
    assert [offer.name for offer in remedies(bits(0), names=["identity"])] == ["identity"]
    said: list[str] = []
    observer = Observer(pg.wrap(Stuck(), event_shape=(4,)), every=1, notify=said.append)
    for step in range(4):
        observer(step, bits(step))
    assert len(said) == 1
    assert "every entry is -1 or 1" in said[0]
    assert "whiten" not in said[0]


def test_too_few_rows_are_not_observed_and_said_once(tmp_path: Path) -> None:
    """Oracle: the exact field of N(0, I), 64 features, batches of 64: 256 rows are needed."""

    class Exact(nn.Module):
        def forward(self, t: Tensor, z: Tensor, label: Tensor | None = None) -> Tensor:
            t = t[:, None]
            return (2 * t - 1) / ((1 - t) ** 2 + t**2) * z

    said: list[str] = []
    flow = pg.wrap(Exact(), event_shape=(64,))
    observer = Observer(flow, every=1, notify=said.append)
    generator = torch.Generator().manual_seed(0)
    for step in range(1, 7):
        if step == 3:
            torch.save(observer.state_dict(), tmp_path / "observer.pt")
            observer = Observer(flow, every=1, notify=said.append)
            observer.load_state_dict(torch.load(tmp_path / "observer.pt", weights_only=True))
        assert observer(step, torch.randn(64, 64, generator=generator)) is None
    assert len(said) == 1
    assert "takes 256 rows or more, and 64" in said[0]
    assert not observer.has_seen
    with pytest.warns(UserWarning, match="max_rows=256 or None"):
        Observer(flow, every=1, max_rows=100)(1, torch.randn(300, 64, generator=generator))
    enough = Observer(flow, every=1, times=2)(1, torch.randn(300, 64, generator=generator))
    assert enough is not None
    assert enough.is_judged
    assert not enough.underfitted.any()


def test_labels_are_given_in_every_step_or_in_none() -> None:
    """Oracle: batches of one observation are judged together."""
    label = torch.zeros(128, dtype=torch.long)
    observer = Observer(pg.wrap(Stuck(), event_shape=(4,)), every=2)
    observer(1, batch(1), label)
    with pytest.raises(InvalidInputError, match="this batch has no label"):
        observer(2, batch(2))
    labelled = pg.wrap(Stuck(), event_shape=(4,), num_labels=2)
    said: list[str] = []
    observer = Observer(labelled, every=2, notify=said.append)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for step in range(1, 4):
            observer(step, batch(step))
    assert len(said) == 1
    assert "num_labels=2, and is judged without labels" in said[0]


def test_bad_input() -> None:
    """Oracle: the message names what is wrong."""
    flow = pg.wrap(Stuck(), event_shape=(4,))
    with pytest.raises(InvalidInputError, match="patience at least 2"):
        Observer(flow, patience=1)
    with pytest.raises(InvalidInputError, match="margin is the share"):
        Observer(flow, margin=-0.1)
    with pytest.raises(InvalidInputError, match="max_rows is at least 8"):
        Observer(flow, max_rows=0)
    with pytest.raises(InvalidInputError, match="nothing was observed yet"):
        Observer(flow).report()
    with pytest.raises(InvalidInputError, match="rows of shape"):
        Observer(flow, every=1)(1, torch.zeros(20, 3))
