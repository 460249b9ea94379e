"""Objectives as text."""

from __future__ import annotations

import warnings

import pytest

from precond_gm.errors import ConfigError, ObjectiveWarning, UnknownNameError
from precond_gm.objectives import compose
from precond_gm.objectives.spec import PRESETS, settings_of
from precond_gm.paths import LinearPath


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_defined_on_the_line(name: str) -> None:
    """Oracle: it composes, and no preset has an unbounded effective weight but EDM's own."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ObjectiveWarning)
        compose(LinearPath(), strict=name != "edm", **settings_of(name))


def test_places_may_be_empty_and_left_out() -> None:
    """Oracle: the settings written out."""
    assert settings_of("x1/velocity////0.05") == {
        "prediction": "x1",
        "loss_space": "velocity",
        "clamp": 0.05,
    }
    assert settings_of("aligned") == {}
    assert settings_of("////beta:a=2,b=3") == {"time_law": ("beta", {"a": 2, "b": 3})}


def test_unknown_words_are_refused_with_the_nearest() -> None:
    """Oracle: the message names presets and predictions alike."""
    with pytest.raises(UnknownNameError, match="Did you mean 'epsilon'"):
        settings_of("epsilom")
    with pytest.raises(ConfigError, match="later ones optional"):
        settings_of("x1//////")
    with pytest.raises(ConfigError, match="is a number"):
        settings_of("x1/velocity////small")
