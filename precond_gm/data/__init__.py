"""Data: files and bundled sets in, a fixed split of scaled rows out."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from precond_gm.data.options import ReadOptions
    from precond_gm.data.preparation import Prepared, prepare
    from precond_gm.data.reading import read
    from precond_gm.data.records import RawData
    from precond_gm.data.scaling import ScaleKind

_NAMES = {  # loaded on use, so that the names of the bundled sets can be listed without torch
    "Prepared": "preparation",
    "RawData": "records",
    "ReadOptions": "options",
    "ScaleKind": "scaling",
    "prepare": "preparation",
    "read": "reading",
}

__all__ = ["Prepared", "RawData", "ReadOptions", "ScaleKind", "prepare", "read"]


def __getattr__(name: str) -> Any:
    if name in _NAMES:
        return getattr(importlib.import_module(f"precond_gm.data.{_NAMES[name]}"), name)
    raise AttributeError(f"module 'precond_gm.data' has no attribute {name!r}")
