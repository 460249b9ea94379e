"""Latent training: an autoencoder is trained first, and the flow lives in its code."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import torch
from torch import nn

from precond_gm.checkpoint import read_state, write_state
from precond_gm.data import Prepared
from precond_gm.models.autoencoder import Autoencoder
from precond_gm.training.recipe import Recipe
from precond_gm.training.streams import BatchOrder, seed_of
from precond_gm.values import Batch

__all__ = ["AUTOENCODER", "encoded"]

AUTOENCODER = "autoencoder.pt"
FORMAT = "precond_gm.autoencoder"
_STEPS, _ROWS, _RATE = 4000, 128, 1e-3
_STREAM = 6  # of the split's seed: the code is part of the data, the same for all runs


def encoded(
    data: Prepared, recipe: Recipe, folder: Path, device: torch.device
) -> tuple[Prepared, Autoencoder]:
    """Train the autoencoder on training rows, unless the folder has it, and encode all parts.

    Returns:
        The codes in place of the rows, and the autoencoder that turns them back.
    """
    model = Autoencoder(data.event_shape, recipe.latent).to(device)
    path = folder / AUTOENCODER
    if path.exists():
        model.load_state_dict(read_state(path, FORMAT)["state"])
        model.requires_grad_(False)
    else:
        _train(model, data, recipe)
        model.requires_grad_(False)
        write_state(
            {
                "format": FORMAT,
                "version": 1,
                "state": model.state_dict(),
                "error": _error(model, data.validation),
            },
            path,
        )
    error = read_state(path, FORMAT)["error"]
    note = (
        f"rows are codes of {recipe.latent} features; reconstruction loses {error:.1%} of variance"
    )
    coded = dataclasses.replace(
        data,
        train=_coded(model, data.train),
        validation=_coded(model, data.validation),
        test=_coded(model, data.test),
        notes=(*data.notes, note),
    )
    return coded, model.cpu()


def _train(model: Autoencoder, data: Prepared, recipe: Recipe) -> None:
    seed = seed_of(recipe.split_seed, _STREAM)
    device = next(model.parameters()).device
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for layer in model.modules():
            if isinstance(layer, nn.Linear):  # the default law, from a generator of our own
                bound = 1 / math.sqrt(layer.in_features)
                for parameter in (layer.weight, layer.bias):
                    draw = torch.rand(parameter.shape, generator=generator)
                    parameter.copy_(bound * (2 * draw - 1))
    order = BatchOrder(data.train.x.shape[0], _ROWS, seed)
    optimiser = torch.optim.AdamW(model.parameters(), lr=_RATE, fused=True)
    for step in range(_STEPS):
        x = order.batch(data.train, step).x.to(device)
        loss = (model.decode(model.encode(x)) - x).square().mean()
        loss.backward()  # type: ignore[no-untyped-call]
        for group in optimiser.param_groups:
            group["lr"] = _RATE * 0.5 * (1 + math.cos(math.pi * step / _STEPS))
        optimiser.step()
        optimiser.zero_grad()
    codes = _coded(model, data.train).x
    model.scale.copy_(codes.std())


@torch.no_grad()
def _coded(model: Autoencoder, part: Batch) -> Batch:
    device = next(model.parameters()).device
    codes = [model.encode(rows.to(device)).cpu() for rows in torch.split(part.x, 8192)]
    return Batch(torch.cat(codes), part.label)


@torch.no_grad()
def _error(model: Autoencoder, part: Batch) -> float:
    """Return the share of held-out variance that reconstruction loses."""
    x = part.x.to(next(model.parameters()).device)
    lost = (model.decode(model.encode(x)) - x).square().mean()
    return float(lost / (x - x.mean(0)).square().mean())
