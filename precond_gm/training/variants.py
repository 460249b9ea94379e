"""A variant: one choice of parts, given to ``wrap`` verbatim."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from precond_gm.errors import ConfigError
from precond_gm.registry import spec_of

__all__ = ["PARTS", "SETTINGS", "Variant", "split_variants"]

PARTS = (
    "preconditioner",
    "coupling",
    "path",
    "prediction",
    "loss_space",
    "divergence",
    "weight",
    "time_law",
)
"""Arguments of ``wrap`` that a variant's short form sets, in this order."""

SETTINGS = (*PARTS, "clamp")
"""Arguments of ``wrap`` that a variant's mapping may set."""


@dataclass(frozen=True)
class Variant:
    """One line of the comparison.

    Attributes:
        name: What reports and runs call it.
        parts: Arguments of ``wrap``; parts that are not named come from the recipe.
    """

    name: str
    parts: Mapping[str, Any]

    @classmethod
    def read(cls, given: Any) -> Variant:
        """Read a short form or a mapping.

        The short form is ``preconditioner[/coupling[/path[/prediction]]]``, each as on the command
        line: ``whiten``, ``whiten+zuko.nsf``, ``identity/ot/brownian-bridge:sigma=1``. A mapping
        has the arguments of ``wrap``, and may have a ``name``.

        Raises:
            ConfigError: Neither of the two, or an argument that ``wrap`` does not have.

        Example:
            >>> Variant.read("whiten/ot").parts
            {'preconditioner': 'whiten', 'coupling': 'ot'}
        """
        if isinstance(given, str) and given.strip():
            words = given.strip().split("/")
            if len(words) > len(PARTS) or not all(words):
                raise ConfigError(
                    f"the variant {given!r} is not understood. Write preconditioner"
                    f"[/coupling[/path[/prediction]]], for example whiten/ot."
                )
            return cls(given.strip(), dict(zip(PARTS, map(spec_of, words), strict=False)))
        if isinstance(given, Mapping):
            parts = {str(k): _part(v) for k, v in given.items() if k != "name"}
            for key in parts:
                if key not in SETTINGS:
                    near = difflib.get_close_matches(key, SETTINGS, n=1)
                    hint = f" Did you mean {near[0]!r}?" if near else ""
                    raise ConfigError(
                        f"a variant has no part {key!r}.{hint} It may set: {', '.join(SETTINGS)}."
                    )
            name = given.get("name") or "/".join(_short(value) for value in parts.values())
            return cls(str(name or "identity"), parts)
        raise ConfigError(
            f"a variant is a text such as 'whiten/ot' or a mapping of parts; got {given!r}."
        )

    def to_plain(self) -> dict[str, Any]:
        """Return the mapping form, for YAML."""
        return {"name": self.name, **{k: _plain(v) for k, v in self.parts.items()}}

    @property
    def slug(self) -> str:
        """The name as a file or metric name."""
        return "".join(c if c.isalnum() or c in "._-" else "-" for c in self.name)


def split_variants(text: str) -> list[str]:
    """Split ``A,B`` at the commas that are not between the options of one part.

    Example:
        >>> split_variants("identity,whiten:shared=true,floor=1e-3,zuko.nsf")
        ['identity', 'whiten:shared=true,floor=1e-3', 'zuko.nsf']
    """
    found: list[str] = []
    for piece in text.split(","):
        name, equals, _ = piece.partition("=")
        if found and equals and ":" not in name and ":" in found[-1]:
            found[-1] += "," + piece
        elif piece.strip():
            found.append(piece.strip())
    return found


def _part(value: Any) -> Any:
    """Turn YAML's ``{name: {options}}`` and lists into what the registries take."""
    if isinstance(value, Mapping) and len(value) == 1:
        ((name, options),) = value.items()
        return str(name), dict(options or {})
    if isinstance(value, Sequence) and not isinstance(value, str | tuple):
        return [_part(item) for item in value]
    return spec_of(value) if isinstance(value, str) else value


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return {value[0]: dict(value[1])}
    return [_plain(item) for item in value] if isinstance(value, list) else value


def _short(value: Any) -> str:
    if isinstance(value, list):
        return "+".join(map(_short, value))
    return str(value[0]) if isinstance(value, tuple) else str(value)
