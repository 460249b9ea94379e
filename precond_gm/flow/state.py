"""State dicts as other tools write them."""

from __future__ import annotations

from typing import Any

__all__ = ["stripped"]

PREFIXES = ("module.", "_orig_mod.")


def stripped(state: dict[str, Any]) -> dict[str, Any]:
    """Strip the key prefixes that DDP, EMA and compile add, however they are nested.

    Example:
        >>> stripped({"module._orig_mod.weight": 1, "n_averaged": 3})
        {'weight': 1}
    """

    def bare(key: str) -> str:
        while key.startswith(PREFIXES):
            key = key.split(".", 1)[1]
        return key

    return {bare(key): value for key, value in state.items() if key != "n_averaged"}
