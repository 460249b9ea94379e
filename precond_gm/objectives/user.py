"""What a divergence and a weight of the user's own have in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

__all__ = ["UserFunction"]


class UserFunction(nn.Module):
    """A callable of the user's own as a part of an objective.

    Args:
        function: Function, ``functools.partial``, module or object with ``__call__``. A module is
            moved and saved with the flow.
    """

    def __init__(self, function: Callable[..., Tensor]) -> None:
        super().__init__()
        self.function = function

    @property
    def options(self) -> dict[str, Any]:
        """Constructor arguments."""
        return {"function": self.function}

    def extra_repr(self) -> str:
        """Name the function, unless it is a module and printed as one."""
        return "" if isinstance(self.function, nn.Module) else f"function={self.function!r}"
