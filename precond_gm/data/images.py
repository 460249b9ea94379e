"""A folder of images, flat or with one folder per class."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from precond_gm.data.labels import encode_labels
from precond_gm.data.options import ReadOptions
from precond_gm.data.records import RawData
from precond_gm.errors import DataError

__all__ = ["IMAGE_SUFFIXES", "is_image_folder", "read_images"]

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".gif")


def is_image_folder(folder: Path) -> bool:
    """Whether there is an image in the folder or one level below."""
    return any(True for _ in _images(folder))


def read_images(folder: Path, options: ReadOptions) -> RawData:
    """Read, crop to the central square and resize; the folders are the classes, if there are any.

    Raises:
        DataError: An image cannot be read, or sizes differ and no ``image_size`` is given.
    """
    paths = sorted(_images(folder))
    colour = options.colour
    rows: list[NDArray[Any]] = []
    for path in paths:
        image, is_grey = _read(path, options.image_size, colour)
        colour = (not is_grey) if colour is None else colour
        if rows and image.shape != rows[0].shape:
            raise DataError(
                f"{path} has shape {image.shape[1:]}, the images before it {rows[0].shape[1:]}. "
                f"Give a common size, for example image_size=32."
            )
        rows.append(image)
    x = np.stack(rows)
    parents = np.array([path.parent.name for path in paths])
    in_classes = all(path.parent != folder for path in paths)
    if options.label == "none" or not in_classes:
        return RawData(folder.resolve().name, x, value_range=(0.0, 255.0))
    label, names = encode_labels(parents, len(x), str(folder))
    return RawData(folder.resolve().name, x, label, names, (0.0, 255.0))


def _images(folder: Path) -> list[Path]:
    inside = [*folder.iterdir(), *(f for d in folder.iterdir() if d.is_dir() for f in d.iterdir())]
    return [path for path in inside if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file()]


def _read(path: Path, size: int | None, colour: bool | None) -> tuple[NDArray[Any], bool]:
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with Image.open(path) as opened:
            opened.load()
            is_grey = opened.mode in ("1", "L", "LA", "I", "I;16")
            wants_colour = (not is_grey) if colour is None else colour
            image = opened.convert("RGB" if wants_colour else "L")
    except (UnidentifiedImageError, OSError, SyntaxError) as error:
        raise DataError(
            f"{path} is not a readable image: {error}. Remove or replace it."
        ) from error
    if size is not None:
        image = ImageOps.fit(image, (size, size), Image.Resampling.LANCZOS)
    pixels = np.asarray(image)
    return (pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)), is_grey
