"""The learning rate as a function of the step alone."""

from __future__ import annotations

import math

from precond_gm.training.recipe import Recipe

__all__ = ["learning_rate"]


def learning_rate(recipe: Recipe, step: int, steps: int) -> float:
    """Return the rate of a step: linear warm-up, then constant or a half cosine down to zero.

    Args:
        recipe: Peak rate, warm-up and kind.
        step: From 0.
        steps: Steps of the whole run.

    Example:
        >>> recipe = Recipe(lr=1.0, warmup_steps=10, schedule="cosine")
        >>> [round(learning_rate(recipe, step, 110), 3) for step in (0, 9, 60, 110)]
        [0.1, 1.0, 0.5, 0.0]
    """
    if step < recipe.warmup_steps:
        return recipe.lr * (step + 1) / recipe.warmup_steps
    if recipe.schedule == "constant":
        return recipe.lr
    done = (step - recipe.warmup_steps) / max(1, steps - recipe.warmup_steps)
    return recipe.lr * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))
