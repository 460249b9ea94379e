"""Names become parts in one place, and what is wrong with a name is said."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

from precond_gm.errors import InvalidTypeError, PluginError, UnknownNameError
from precond_gm.paths import REGISTRY, LinearPath
from precond_gm.paths.base import AbstractPath
from precond_gm.registry import Registry, spec_of


@pytest.fixture
def registry() -> Registry[Any]:
    return Registry("precond_gm.paths", "path", AbstractPath)


def test_four_forms_of_a_part(registry: Registry[Any]) -> None:
    """A name, (name, options), an instance. Oracle: types and fields."""
    assert registry.resolve("linear") == LinearPath()
    assert registry.resolve(("brownian-bridge", {"sigma": 0.5})).sigma == 0.5
    part = LinearPath()
    assert registry.resolve(part) is part
    with pytest.raises(InvalidTypeError, match="a path is a name"):
        registry.resolve(3)


def test_unknown_name_and_option_show_the_nearest(registry: Registry[Any]) -> None:
    """The message lists what is allowed."""
    with pytest.raises(UnknownNameError, match="Did you mean 'linear'"):
        registry.create("liner")
    with pytest.raises(InvalidTypeError, match="Did you mean 'sigma'"):
        registry.create("brownian-bridge", sigm=1.0)


def test_registration_at_run_time(registry: Registry[Any]) -> None:
    """A registered class is found, and a taken name is refused."""

    @registry.register("mine")
    class Mine(LinearPath):
        """A path of the user's."""

    assert "mine" in registry.names()
    assert isinstance(registry.create("mine"), Mine)
    assert registry.name_of(Mine()) == "mine"
    with pytest.raises(PluginError, match="taken already"):
        registry.register("linear")(Mine)


def test_broken_entry_is_listed_with_its_cause_and_breaks_nothing(
    registry: Registry[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A plugin that cannot be imported shows as broken; the others work."""
    points = (
        *registry._points(),
        EntryPoint("broken", "no_such_module:Thing", registry.group),
        EntryPoint("twice", "a:B", registry.group),
        EntryPoint("twice", "c:D", registry.group),
    )
    monkeypatch.setattr(registry, "_found", points)
    entries = {entry.name: entry for entry in registry.entries()}
    assert "no_such_module" in str(entries["broken"].error)
    assert "offered twice" in str(entries["twice"].error)
    assert entries["linear"].error is None
    with pytest.raises(PluginError, match="cannot be loaded"):
        registry.create("broken")


@pytest.mark.parametrize("name", REGISTRY.names())
def test_describe_and_resolve_are_inverse(name: str) -> None:
    """Oracle: equality of frozen dataclasses."""
    part = REGISTRY.create(name)
    assert REGISTRY.resolve(REGISTRY.describe(part)) == part


def test_spec_of_reads_chains_and_options() -> None:
    """Oracle: the values written out."""
    assert spec_of("whiten") == "whiten"
    assert spec_of("whiten:shared=true,floor=0.001+zuko.nsf") == [
        ("whiten", {"shared": True, "floor": 0.001}),
        "zuko.nsf",
    ]


def test_entry_points_of_the_project_are_the_installed_ones() -> None:
    """An edited entry point is invisible until the next installation. Oracle: pyproject.toml."""
    import tomllib
    from importlib.metadata import entry_points

    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
    for group, declared in project["project"]["entry-points"].items():
        installed = {
            point.name: point.value
            for point in entry_points(group=group)
            if point.dist is not None and point.dist.name in ("precond_gm", "precond-gm")
        }
        assert installed == declared, f"{group}: install the project again"
