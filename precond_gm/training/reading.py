"""Read recipes: YAML, names of shipped files, and ``key=value``; every value is checked by type."""

from __future__ import annotations

import difflib
import types
import typing
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from precond_gm.errors import ConfigError
from precond_gm.registry import scalar
from precond_gm.training.recipe import Recipe
from precond_gm.training.variants import Variant, split_variants

__all__ = ["find_recipe", "overrides_of", "recipe_names", "recipe_of", "save_recipe"]

# In the wheel they lie beside this file; in a checkout, under mlflow/ at its root.
_FOLDERS = (Path(__file__).parent / "recipes", Path(__file__).parents[2] / "mlflow" / "recipes")
_POSITIVE = ("seeds", "max_steps", "batch_size", "log_every", "checkpoint_every", "num_samples")
_FROM_ZERO = (
    "lr",
    "warmup_steps",
    "clip",
    "patience",
    "validate_every",
    "latent",
    "weight_decay",
    "observe_every",
    "ot_batch",
    "workers",
)


def recipe_names() -> list[str]:
    """Return the names of the recipes that ship with the package."""
    return sorted({path.stem for folder in _FOLDERS for path in folder.glob("*.yaml")})


def find_recipe(name: str | Path) -> dict[str, Any]:
    """Return the values of a shipped recipe by name, or of a YAML file by path.

    Raises:
        ConfigError: No such recipe (the nearest name is shown), or not a YAML mapping.
    """
    candidates = [Path(name), *(folder / f"{name}.yaml" for folder in _FOLDERS)]
    path = next((p for p in candidates if p.suffix in (".yaml", ".yml") and p.is_file()), None)
    if path is None:
        near = difflib.get_close_matches(str(name), recipe_names(), n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise ConfigError(
            f"there is no recipe {str(name)!r}.{hint} Shipped are: {', '.join(recipe_names())}; "
            f"a path to a .yaml file works too."
        )
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid YAML: {error}") from error
    if not isinstance(values, dict):
        raise ConfigError(f"{path} holds {type(values).__name__}; a recipe is 'key: value' lines.")
    return values


def overrides_of(pairs: Iterable[str]) -> dict[str, Any]:
    """Read ``key=value`` words; values are YAML, so ``lr=1e-4`` is a number and ``null`` is None.

    Example:
        >>> overrides_of(["lr=1e-4", "variants=identity,whiten/ot"])
        {'lr': 0.0001, 'variants': ['identity', 'whiten/ot']}
    """
    values: dict[str, Any] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals or not key:
            raise ConfigError(f"{pair!r} is not of the form key=value, for example lr=3e-4.")
        values[key] = split_variants(text) if key == "variants" else scalar(text)
    return values


def recipe_of(values: Mapping[str, Any]) -> Recipe:
    """Check every key and value, and return the recipe.

    Raises:
        ConfigError: An unknown key (the nearest is shown), a wrong type, or a value out of range.
    """
    hints = typing.get_type_hints(Recipe)
    checked: dict[str, Any] = {}
    for key, value in values.items():
        if key not in hints:
            near = difflib.get_close_matches(key, hints, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise ConfigError(f"a recipe has no key {key!r}.{hint} Keys: {', '.join(hints)}.")
        if key == "variants":
            given = split_variants(value) if isinstance(value, str) else value
            checked[key] = tuple(Variant.read(item) for item in given)
        else:
            checked[key] = _typed(key, hints[key], value)
    recipe = Recipe(**checked)
    _check_ranges(recipe)
    return recipe


def save_recipe(recipe: Recipe, path: Path) -> None:
    """Write a recipe that ``find_recipe`` and ``recipe_of`` read back to the same record.

    Raises:
        CheckpointError: It cannot be written; what was there is kept.
    """
    from precond_gm.training.results import write_text  # here: listing recipes needs no numpy

    write_text(path, yaml.safe_dump(recipe.to_plain(), sort_keys=False))


def _typed(key: str, hint: Any, value: Any) -> Any:
    if hint is Any:
        return value
    if typing.get_origin(hint) is typing.Literal:
        if value in typing.get_args(hint):
            return value
        allowed = ", ".join(map(repr, typing.get_args(hint)))
        raise ConfigError(f"{key} is one of {allowed}; got {value!r}.")
    if isinstance(hint, types.UnionType):
        inner = next(arg for arg in typing.get_args(hint) if arg is not types.NoneType)
        return None if value is None else _typed(key, inner, value)
    origin = typing.get_origin(hint) or hint
    if origin is tuple:
        items = [value] if isinstance(value, int | float) else value
        if isinstance(items, str):
            items = [scalar(word) for word in items.split(",")]
        return tuple(_typed(key, typing.get_args(hint)[0], item) for item in items or ())
    if origin is float and isinstance(value, int | str) and not isinstance(value, bool):
        value = scalar(str(value))
        value = float(value) if isinstance(value, int) else value
    if origin is int and isinstance(value, float) and value.is_integer():
        value = int(value)
    if origin is str and isinstance(value, int | float) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, origin) or (origin is int and isinstance(value, bool)):
        raise ConfigError(f"{key} is {_named(origin)}; got {value!r} ({type(value).__name__}).")
    return value


def _named(kind: Any) -> str:
    words = {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}
    return words.get(kind, "a mapping")


def _check_ranges(recipe: Recipe) -> None:
    for key in _POSITIVE:
        if getattr(recipe, key) < 1:
            raise ConfigError(f"{key} is at least 1; got {getattr(recipe, key)}.")
    for key in _FROM_ZERO:
        if getattr(recipe, key) < 0:
            raise ConfigError(f"{key} is at least 0; got {getattr(recipe, key)}.")
    if not 0 <= recipe.ema_decay < 1:
        raise ConfigError(f"ema_decay lies in [0, 1); got {recipe.ema_decay}.")
    parts = recipe.fractions
    if len(parts) != 3 or min(parts) <= 0 or abs(sum(parts) - 1) > 1e-6:
        raise ConfigError(
            f"fractions are three positive shares (train, validation, test) that sum to 1; got "
            f"{list(parts)}."
        )
    if recipe.batch_size % recipe.accumulate:
        raise ConfigError(
            f"accumulate={recipe.accumulate} does not divide batch_size={recipe.batch_size}."
        )
    if recipe.ot_batch % recipe.batch_size:
        raise ConfigError(
            f"ot_batch={recipe.ot_batch} is not a multiple of batch_size={recipe.batch_size}."
        )
    names = [variant.name for variant in recipe.variants]
    if not names or len(set(names)) != len(names):
        raise ConfigError(f"variants are one or more, each once; got {', '.join(names) or 'none'}.")
