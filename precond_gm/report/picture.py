"""A figure that stands inside a page."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Picture", "embed"]


@dataclass(frozen=True)
class Picture:
    """A figure in the page.

    Attributes:
        name: File name without ending, for the copy among the artifacts.
        title: Heading.
        text: What is to be seen, and how to read it.
        draw: Makes the figure.
    """

    name: str
    title: str
    text: str
    draw: Callable[[], Figure]


def embed(figure: Figure, *, sharp: bool = True) -> str:
    """Return a data address: SVG for lines, PNG for pictures of many pixels."""
    buffer = io.BytesIO()
    if sharp:
        figure.savefig(buffer, format="svg", metadata={"Date": None})
        kind = "svg+xml"
    else:
        figure.savefig(buffer, format="png", dpi=170)
        kind = "png"
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}"
