"""``precond-gm list``: what is installed, ours and plugins', with the cause where one is broken."""

from __future__ import annotations

from importlib.metadata import entry_points

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
    time_law, model; and recipe, data.

    \b
    Example:
      precond-gm list
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
            click.echo(f"{indent}{name.ljust(width)}  {said}".rstrip())


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


def _entries(kind: str, names: bool) -> dict[str, str]:
    if kind == "recipe":
        from precond_gm.training.reading import recipe_names

        return dict.fromkeys(recipe_names(), "")
    if kind == "data":
        from precond_gm.data.bundled import BUNDLED

        return dict.fromkeys(BUNDLED, "")
    if names:
        points = entry_points(group=f"precond_gm.{KINDS[kind]}")
        return dict.fromkeys(sorted({point.name for point in points}), "")
    import precond_gm

    registry = getattr(precond_gm, KINDS[kind]).REGISTRY
    found = {}
    for entry in registry.entries():
        said = f"broken: {entry.error}" if entry.error else _first_line(registry.load(entry.name))
        found[entry.name] = said
    return found


def _first_line(part: object) -> str:
    return (part.__doc__ or "").strip().split("\n", maxsplit=1)[0]
