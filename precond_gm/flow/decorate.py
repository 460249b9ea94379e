"""Decorate a class in place, so that calling it gives a flow.

The class stays the same object: ``super(Net, self).__init__()``, zero-argument ``super()`` and
pickling by reference keep working, which they would not for a re-made class or a subclass.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar, cast

from torch import nn

from precond_gm.errors import InvalidTypeError

__all__ = ["decorate_class", "unwrapped"]

Module = TypeVar("Module", bound=nn.Module)


def decorate_class(cls: type[Module], build: Callable[[Module], nn.Module]) -> type[Module]:
    """Make ``cls(...)`` build the bare network, run its ``__init__`` and return ``build(network)``.

    Only calls of ``cls`` itself do so: a subclass is plain until it is decorated.
    """
    initialise = cls.__init__

    @functools.wraps(initialise)  # keeps the signature for help() and inspect
    def __new__(klass: type[Module], *args: Any, **kwargs: Any) -> Any:
        bare = _bare(klass)
        if klass is not cls:
            return bare  # Python runs __init__ of the subclass on it
        initialise(bare, *args, **kwargs)
        return build(bare)

    def __reduce_ex__(self: Module, protocol: Any) -> Any:
        state = object.__getstate__(self)
        return _bare, (type(self),), state  # copies must not pass through __new__

    cls.__new__ = __new__  # type: ignore[method-assign, assignment]
    cls.__reduce_ex__ = __reduce_ex__  # type: ignore[method-assign, assignment]
    cls._precond_gm_decorated = cls  # type: ignore[attr-defined]
    return cls


def unwrapped(cls: type[Module]) -> Callable[..., Module]:
    """Return a constructor of the bare network of a decorated class.

    Raises:
        InvalidTypeError: The class is not decorated itself.

    Example:
        >>> import torch, precond_gm as pg
        >>> @pg.wrap(event_shape=(2,))
        ... class Net(torch.nn.Module):
        ...     def __init__(self, width=8):
        ...         super().__init__()
        ...         self.layer = torch.nn.Linear(2, 2)
        ...     def forward(self, x, t):
        ...         return self.layer(x)
        >>> type(Net()).__name__, type(pg.unwrapped(Net)()).__name__
        ('PreconditionedFlow', 'Net')
    """
    if cls.__dict__.get("_precond_gm_decorated") is not cls:
        raise InvalidTypeError(f"{cls!r} is not decorated with precond_gm.wrap; call it directly.")

    @functools.wraps(cls.__init__)
    def construct(*args: Any, **kwargs: Any) -> Module:
        bare = _bare(cls)
        cls.__init__(bare, *args, **kwargs)
        return bare

    return cast("Callable[..., Module]", construct)


def _bare(cls: type[Module]) -> Module:
    """Return an instance without running ``__init__``."""
    return object.__new__(cls)
