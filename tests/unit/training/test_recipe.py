"""Recipes: what is read, what is refused, and that they survive being written."""

from __future__ import annotations

from pathlib import Path

import pytest

from precond_gm.errors import ConfigError
from precond_gm.training.reading import (
    find_recipe,
    overrides_of,
    recipe_names,
    recipe_of,
    save_recipe,
)
from precond_gm.training.variants import Variant, split_variants


@pytest.mark.parametrize("name", recipe_names())
def test_every_shipped_recipe_is_valid_and_survives_writing(name: str, tmp_path: Path) -> None:
    """Oracle: the record before writing. The list is not empty (next test)."""
    recipe = recipe_of(find_recipe(name))
    assert recipe.name == name
    save_recipe(recipe, tmp_path / "r.yaml")
    assert recipe_of(find_recipe(tmp_path / "r.yaml")) == recipe


def test_the_promised_recipes_are_there() -> None:
    """A test over an empty list would pass."""
    assert {"digits", "mnist", "mnist-latent", "fashion-mnist", "table", "mixture-bridge"} <= set(
        recipe_names()
    )


@pytest.mark.parametrize(
    ("pair", "message"),
    [
        ("lrr=1", "no key 'lrr'. Did you mean 'lr'"),
        ("max_step=3", "Did you mean 'max_steps'"),
        ("lr=fast", "lr is a number; got 'fast'"),
        ("max_steps=1.5", "max_steps is a whole number; got 1.5"),
        ("compile=3", "compile is true or false; got 3"),
        ("max_steps=0", "at least 1"),
        ("lr=-1", "at least 0"),
        ("schedule=linear", "one of 'cosine', 'constant'"),
        ("fractions=[0.5,0.5]", "three positive shares"),
        ("ema_decay=1", r"lies in \[0, 1\)"),
        ("accumulate=3", "does not divide"),
        ("variants=whiten,whiten", "each once"),
        ("variants=a/b/c/d/e/f/g/h/i", "not understood"),
        ("nonsense", "not of the form key=value"),
    ],
)
def test_wrong_overrides_are_refused(pair: str, message: str) -> None:
    """The key, what was got and what is allowed are in the message."""
    with pytest.raises(ConfigError, match=message):
        recipe_of(overrides_of([pair]))


def test_numbers_that_yaml_takes_for_text() -> None:
    """1e-4 has no point, so YAML 1.1 reads it as text."""
    assert recipe_of(overrides_of(["lr=1e-4"])).lr == 1e-4
    assert recipe_of({"lr": "1e-4"}).lr == 1e-4
    assert recipe_of({"lr": 1}).lr == 1.0


def test_variants_in_all_forms() -> None:
    """Short form, chain with options, and mapping give the arguments of wrap."""
    assert Variant.read("whiten+zuko.nsf/ot").parts == {
        "preconditioner": ["whiten", "zuko.nsf"],
        "coupling": "ot",
    }
    given = {"name": "mine", "preconditioner": {"whiten": {"shared": True}}, "path": "linear"}
    found = Variant.read(given)
    assert found.parts["preconditioner"] == ("whiten", {"shared": True})
    assert Variant.read(found.to_plain()) == found
    with pytest.raises(ConfigError, match="Did you mean 'coupling'"):
        Variant.read({"couplin": "ot"})


def test_commas_within_options_do_not_split() -> None:
    """Options of a part have commas of their own."""
    text = "identity,whiten:shared=true,floor=1e-3,zuko.nsf"
    assert split_variants(text) == ["identity", "whiten:shared=true,floor=1e-3", "zuko.nsf"]


def test_unknown_recipe_names_the_nearest() -> None:
    """A typing error is answered with the name that was meant."""
    with pytest.raises(ConfigError, match="Did you mean 'digits'"):
        find_recipe("digitz")
