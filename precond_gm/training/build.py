"""Build the flow of a variant: its network, wrapped by the parts that the recipe names."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from torch import nn

from precond_gm import models
from precond_gm.data import Prepared
from precond_gm.errors import ConfigError
from precond_gm.flow import PreconditionedFlow, wrap
from precond_gm.training.recipe import Recipe
from precond_gm.training.streams import seed_of
from precond_gm.training.variants import Variant

__all__ = ["build_flow", "network_size", "widened"]

_SMALLEST_IMAGE = 16  # below, a U-Net has nothing left after two halvings
_INIT = 1


def build_flow(recipe: Recipe, variant: Variant, data: Prepared, seed: int) -> PreconditionedFlow:
    """Return the flow of a variant, with the weights that belong to the seed.

    Every variant starts from the same weights for the same seed.

    Raises:
        PrecondError: An unknown part, or parts that exclude each other.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_of(seed, _INIT))
        network = _network(recipe, data)
    return wrap(
        network,
        **recipe.wrap_settings(variant),
        num_labels=data.num_labels,
        event_shape=data.event_shape,
    )


def network_size(recipe: Recipe, data: Prepared) -> int:
    """Return the number of parameters of the recipe's network, without allocating it."""
    with torch.device("meta"):
        return sum(p.numel() for p in _network(recipe, data).parameters())


def widened(recipe: Recipe, data: Prepared, extra: int) -> Recipe:
    """Return the recipe with its network wide enough to hold ``extra`` more parameters.

    Raises:
        ConfigError: The network has no ``width``.
    """
    if extra <= 0:
        return recipe
    goal = network_size(recipe, data) + extra
    width = _default_width(recipe, data)
    low, high = width, width
    while network_size(_with_width(recipe, high), data) < goal:
        low, high = high, 2 * high
    while low < high:
        middle = (low + high) // 2
        if network_size(_with_width(recipe, middle), data) < goal:
            low = middle + 1
        else:
            high = middle
    return _with_width(recipe, low)


def _network(recipe: Recipe, data: Prepared) -> nn.Module:
    return models.REGISTRY.create(
        _model_name(recipe, data.event_shape),
        event_shape=data.event_shape,
        num_labels=data.num_labels,
        **recipe.model_options,
    )


def _model_name(recipe: Recipe, event_shape: tuple[int, ...]) -> str:
    if recipe.model != "auto":
        return recipe.model
    is_image = len(event_shape) == 3 and min(event_shape[1:]) >= _SMALLEST_IMAGE
    return "unet" if is_image else "mlp"


def _default_width(recipe: Recipe, data: Prepared) -> int:
    width: Any = getattr(_network(recipe, data), "width", None)
    if not isinstance(width, int):
        raise ConfigError(
            f"match=parameters needs a network with an option 'width'; "
            f"{_model_name(recipe, data.event_shape)} has none. Use match=time."
        )
    return width


def _with_width(recipe: Recipe, width: int) -> Recipe:
    return dataclasses.replace(recipe, model_options={**recipe.model_options, "width": width})
