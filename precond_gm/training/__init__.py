"""Training: recipes, the loop, and the job that compares variants."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from precond_gm.training.job import Job, load_data
    from precond_gm.training.loop import Loop
    from precond_gm.training.reading import find_recipe, recipe_of
    from precond_gm.training.recipe import Recipe
    from precond_gm.training.results import Comparison, RunResult
    from precond_gm.training.variants import Variant

_NAMES = {  # loaded on use, so that recipes can be listed without torch
    "Comparison": "results",
    "Job": "job",
    "Loop": "loop",
    "Recipe": "recipe",
    "RunResult": "results",
    "Variant": "variants",
    "find_recipe": "reading",
    "load_data": "job",
    "recipe_of": "reading",
}

__all__ = [
    "Comparison",
    "Job",
    "Loop",
    "Recipe",
    "RunResult",
    "Variant",
    "find_recipe",
    "load_data",
    "recipe_of",
]


def __getattr__(name: str) -> Any:
    if name in _NAMES:
        return getattr(importlib.import_module(f"precond_gm.training.{_NAMES[name]}"), name)
    raise AttributeError(f"module 'precond_gm.training' has no attribute {name!r}")
