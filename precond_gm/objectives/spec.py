"""Objectives as text, for command lines and tables."""

from __future__ import annotations

import difflib
from typing import Any

from precond_gm.errors import ConfigError, UnknownNameError
from precond_gm.registry import scalar, spec_of
from precond_gm.values import TargetKind

__all__ = ["PRESETS", "settings_of"]

PLACES = ("prediction", "loss_space", "divergence", "weight", "time_law", "clamp")

PRESETS = {
    "aligned": "",  # the path's own default
    "jit": "x1/velocity///jit/0.05",  # 2511.13720
    "edm": "x1///edm/edm",  # 2206.00364, table 1
    "min-snr": "x1///min-snr",  # 2303.09556
    "epsilon": "x1///inverse-remaining:eps=0.01",  # 2511.16599, example 4.15
    "rectified-logit-normal": "velocity////logit-normal",  # 2403.03206
    "even-times": "////uniform:sampling=low-discrepancy",  # 2107.00630, appendix I.1
}
"""Published combinations by name; each is the text that it stands for."""


def settings_of(text: str) -> dict[str, Any]:
    """Read an objective as settings of ``compose``.

    The text is a preset, or ``prediction/loss_space/divergence/weight/time_law/clamp``. Later
    places may be left out, and a place may be empty: both mean the default.

    Args:
        text: One objective, such as ``jit``, ``x1/velocity`` or ``x1//squared//beta:a=2,b=2``.

    Raises:
        ConfigError: More than six places, or a clamp that is no number.
        UnknownNameError: A single word that is neither a preset nor a prediction.

    Example:
        >>> settings_of("x1//bce:low=-1")
        {'prediction': 'x1', 'divergence': ('bce', {'low': -1})}
        >>> settings_of("jit")
        {'prediction': 'x1', 'loss_space': 'velocity', 'time_law': 'jit', 'clamp': 0.05}
    """
    places = PRESETS.get(text, text).split("/")
    if len(places) > len(PLACES):
        raise ConfigError(
            f"an objective is {'/'.join(PLACES)}, the later ones optional; got {text!r}."
        )
    given = {name: place for name, place in zip(PLACES, places, strict=False) if place}
    settings = {name: spec_of(place) for name, place in given.items()}
    if given == {"prediction": text}:
        _check_word(text)
    if "clamp" in given:
        settings["clamp"] = scalar(given["clamp"])
        if not isinstance(settings["clamp"], float | int):
            raise ConfigError(f"the clamp, last place of {text!r}, is a number such as 0.05.")
    return settings


def _check_word(word: str) -> None:
    """Refuse a single word that is neither a preset nor a prediction."""
    kinds = [kind.value for kind in TargetKind]
    if word in kinds:
        return
    near = difflib.get_close_matches(word, [*kinds, *PRESETS], n=2)
    hint = f"Did you mean {' or '.join(map(repr, near))}? " if near else ""
    raise UnknownNameError(
        f"no objective is called {word!r}. {hint}Presets: {', '.join(PRESETS)}; or write "
        f"{'/'.join(PLACES)}, with a prediction among {', '.join(kinds)}."
    )
