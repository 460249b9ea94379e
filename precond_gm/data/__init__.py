"""Data: files and bundled sets in, a fixed split of scaled rows out."""

from precond_gm.data.options import ReadOptions
from precond_gm.data.prepare import Prepared, prepare
from precond_gm.data.reading import read
from precond_gm.data.records import RawData
from precond_gm.data.scaling import ScaleKind

__all__ = ["Prepared", "RawData", "ReadOptions", "ScaleKind", "prepare", "read"]
