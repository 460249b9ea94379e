"""What a user may say about how a source is to be read."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["ReadOptions"]


@dataclass(frozen=True)
class ReadOptions:
    """Options of the readers; each reader uses those that mean something to it.

    Attributes:
        label: ``auto``, ``none``, the name or number (negative counts from the right) of a
            column, ``file`` (one class per file of a folder), a key of an ``.npz``, or a ``.npy``
            or ``.txt`` file with one label per row, by path or lying beside the data.
        image_size: Side of the square that images are cropped and resized to; None keeps sizes,
            which must then be equal.
        colour: True for three channels, False for grey; None takes what the first image has.
        subset: IDX folders: ``train``, ``t10k`` or ``both`` (then t10k is the test part).
    """

    label: str = "auto"
    image_size: int | None = None
    colour: bool | None = None
    subset: str = "both"
