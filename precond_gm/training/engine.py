"""The engine: Accelerate, for one process or many, CPU or CUDA, float32 or bfloat16."""

from __future__ import annotations

from typing import Any

import torch

from precond_gm.errors import ConfigError
from precond_gm.training.recipe import Recipe

__all__ = ["agreed", "make_engine"]


def make_engine(recipe: Recipe) -> Any:
    """Return an Accelerator for this process; ``torchrun`` says how many there are.

    Raises:
        ConfigError: The batch cannot be shared equally over processes and parts.
    """
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState

    AcceleratorState._reset_state()  # the precision of an earlier job of this process
    precision = "bf16" if recipe.precision == "bfloat16" else "no"
    engine = Accelerator(cpu=not torch.cuda.is_available(), mixed_precision=precision)
    share = engine.num_processes * recipe.accumulate
    if recipe.batch_size % share:
        raise ConfigError(
            f"batch_size={recipe.batch_size} cannot be shared by {engine.num_processes} processes "
            f"in {recipe.accumulate} parts each. Choose a multiple of {share}."
        )
    return engine


def agreed(engine: Any, value: str) -> str:
    """Return the first process's value to all of them."""
    from accelerate.utils import broadcast_object_list

    return str(broadcast_object_list([value])[0]) if engine.num_processes > 1 else value
