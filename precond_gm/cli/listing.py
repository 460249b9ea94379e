"""``precond-gm list``: what is installed, ours and plugins', with the cause where one is broken."""

from __future__ import annotations

import inspect
import re
from importlib.metadata import entry_points
from typing import Any

import click

from precond_gm.cli.options import as_json, emit

__all__ = ["list_"]

KINDS = {
    "preconditioner": "preconditioners",
    "coupling": "couplings",
    "path": "paths",
    "solver": "solvers",
    "divergence": "divergences",
    "weight": "weights",
    "time_law": "time_laws",
    "model": "models",
}


@click.command("list")
@click.argument("kind", required=False, metavar="[KIND]")
@click.option("--names", is_flag=True, help="Names alone, from metadata: nothing is loaded.")
@as_json
def list_(kind: str | None, names: bool, as_json: bool) -> None:
    """List parts that can be named: preconditioner, coupling, path, solver, divergence, weight,
    time_law, model; and recipe, data. One kind alone is listed with where each part comes from,
    its options and, of a preconditioner, its inverse, cost and effect.

    \b
    Example:
      precond-gm list
      precond-gm list preconditioners
      precond-gm list coupling --names
    """
    kinds = [_kind(kind)] if kind else [*KINDS, "recipe", "data"]
    found = {word: _entries(word, names) for word in kinds}
    if as_json:
        emit(found)
        return
    for word, entries in found.items():
        if len(found) > 1:
            click.echo(f"{word}:")
        indent = "  " if len(found) > 1 else ""
        width = max((len(name) for name in entries), default=0)
        for name, said in entries.items():
            click.echo(f"{indent}{name.ljust(width)}  {said.get('summary', '')}".rstrip())
            for key in said if kind else ():
                if key != "summary" and said[key]:
                    click.echo(f"{' ' * width}    {key}: {said[key]}")


def _kind(word: str) -> str:
    """Accept the plural as well.

    Raises:
        UnknownNameError: No such kind; the nearest is shown.
    """
    import difflib

    from precond_gm.errors import UnknownNameError

    kinds = [*KINDS, "recipe", "data"]
    plain = word.replace("-", "_")
    for kind in kinds:
        if plain in (kind, f"{kind}s"):
            return kind
    near = difflib.get_close_matches(plain, kinds, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise UnknownNameError(f"there is no kind {word!r}.{hint} Kinds: {', '.join(kinds)}.")


def _entries(kind: str, names: bool) -> dict[str, dict[str, str]]:
    if kind == "recipe":
        from precond_gm.training.reading import recipe_names

        return {name: {} for name in recipe_names()}
    if kind == "data":
        from precond_gm.data.bundled import BUNDLED

        return {name: {} for name in BUNDLED}
    if names:
        points = entry_points(group=f"precond_gm.{KINDS[kind]}")
        return {name: {} for name in sorted({point.name for point in points})}
    import precond_gm

    registry = getattr(precond_gm, KINDS[kind]).REGISTRY
    return {
        entry.name: {"summary": f"broken: {entry.error}"}
        if entry.error
        else _described(registry.load(entry.name), entry.source)
        for entry in registry.entries()
    }


def _described(part: Any, source: str) -> dict[str, str]:
    """Read what a class says about itself: first line, inverse, cost and effect, and options."""
    text = " ".join(inspect.cleandoc(part.__doc__ or "").split())
    options = inspect.signature(part).parameters.values()
    inverse = ""
    if hasattr(part, "inverse_kind"):
        reach = f"to {part.tolerance:g}" if part.tolerance else "exact"
        inverse = f"{part.inverse_kind.value}, {reach} in float32"
    return {
        "summary": (part.__doc__ or "").strip().split("\n", maxsplit=1)[0],
        "source": f"{source}, {part.__module__.partition('.')[0]}",
        "inverse": inverse,
        "cost": _sentence(text, "Cost"),
        "conditioning": _sentence(text, "Conditioning"),
        "options": ", ".join(
            one.name if one.default is one.empty else f"{one.name}={_shown(one.default)}"
            for one in options
        ),
    }


def _sentence(text: str, word: str) -> str:
    """Return what a docstring says after ``Word:``, up to the full stop."""
    found = re.search(rf"\b{word}: (.+?)\.(?= |$)", text)
    return found.group(1).replace("``", "") if found else ""


def _shown(default: object) -> str:
    """Write a default as it would be given on the command line."""
    return str(default).lower() if isinstance(default, bool) else str(default)
