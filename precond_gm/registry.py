"""The one place that turns names into parts.

Every shipped part, ours or a plugin's, is an entry point; nothing is imported until it is asked
for, so names can be listed without loading a backend. ``register`` adds a class at run time.
"""

from __future__ import annotations

import dataclasses
import difflib
import inspect
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Generic, TypeVar, cast

from precond_gm.errors import InvalidTypeError, PluginError, UnknownNameError

__all__ = ["Entry", "Registry", "scalar", "spec_of"]

Part = TypeVar("Part")
Factory = Callable[..., Part]


@dataclass(frozen=True)
class Entry:
    """One line of ``precond-gm list``: where a name comes from, and why it is broken if it is.

    Attributes:
        name: Name in the registry.
        source: Distribution that offers it, or ``"run time"``.
        error: Cause when the entry cannot be loaded, else None.
    """

    name: str
    source: str
    error: str | None = None


class Registry(Generic[Part]):
    """Names of one kind of part.

    Args:
        group: Entry-point group, such as ``precond_gm.paths``.
        kind: Word for messages, such as ``path``.
        base: Abstract class of the parts.
        combine: Turns a list of parts into one part, where that makes sense (a chain).

    Example:
        >>> from precond_gm.paths import REGISTRY
        >>> REGISTRY.create("linear")
        LinearPath()
        >>> REGISTRY.resolve(("brownian-bridge", {"sigma": 1.0})).sigma
        1.0
    """

    def __init__(
        self,
        group: str,
        kind: str,
        base: type[Part],
        combine: Callable[[list[Part]], Part] | None = None,
    ) -> None:
        self.group = group
        self.kind = kind
        self.base = base
        self._combine = combine
        self._registered: dict[str, Factory[Part]] = {}
        self._found: tuple[EntryPoint, ...] | None = None

    def register(self, name: str) -> Callable[[Factory[Part]], Factory[Part]]:
        """Register a class or factory under ``name`` in this process (a decorator)."""

        def decorate(factory: Factory[Part]) -> Factory[Part]:
            if name in self.names():
                raise PluginError(
                    f"the {self.kind} name {name!r} is taken already ({self._source(name)}). "
                    f"Choose another name."
                )
            self._registered[name] = factory
            return factory

        return decorate

    def names(self) -> list[str]:
        """Return all names, sorted, from metadata alone: nothing is loaded."""
        return sorted({*self._registered, *(point.name for point in self._points())})

    def entries(self) -> list[Entry]:
        """Load every entry and say which are broken, and why."""
        return [Entry(name, self._source(name), self._broken(name)) for name in self.names()]

    def load(self, name: str) -> Factory[Part]:
        """Return the class behind ``name``.

        Raises:
            UnknownNameError: No such name; the nearest ones are listed.
            PluginError: The entry is broken, or two distributions offer the same name.
        """
        if name in self._registered:
            return self._registered[name]
        points = [point for point in self._points() if point.name == name]
        if not points:
            raise UnknownNameError(self._unknown(name))
        if len({point.value for point in points}) > 1:
            owners = " and ".join(sorted(_owner(point) for point in points))
            raise PluginError(
                f"the {self.kind} name {name!r} is offered twice, by {owners}. "
                f"Uninstall one of them, or register the class you want under another name."
            )
        try:
            return cast("Factory[Part]", points[0].load())
        except Exception as error:
            raise PluginError(
                f"the {self.kind} {name!r} of {_owner(points[0])} cannot be loaded: "
                f"{type(error).__name__}: {error}. Install what it needs, or leave it out."
            ) from error

    def create(self, name: str, /, **options: Any) -> Part:
        """Create the part ``name`` with ``options`` (each has a default).

        Raises:
            UnknownNameError: No such name.
            InvalidTypeError: An option that the part does not have.
        """
        factory = self.load(name)
        allowed = inspect.signature(factory).parameters
        open_ended = any(p.kind is p.VAR_KEYWORD for p in allowed.values())
        for option in options:
            if option not in allowed and not open_ended:
                near = difflib.get_close_matches(option, allowed, n=1)
                hint = f" Did you mean {near[0]!r}?" if near else ""
                raise InvalidTypeError(
                    f"the {self.kind} {name!r} has no option {option!r}. "
                    f"It takes: {', '.join(allowed) or 'no options'}.{hint}"
                )
        return factory(**options)

    def resolve(self, part: Any) -> Part:
        """Turn a name, ``(name, options)``, an instance, or a list of these into a part.

        Raises:
            UnknownNameError: No such name.
            InvalidTypeError: Neither of the four forms.
        """
        if isinstance(part, self.base):
            return part
        if isinstance(part, str):
            return self.create(part)
        if isinstance(part, tuple) and len(part) == 2 and isinstance(part[0], str):
            return self.create(part[0], **dict(part[1]))
        if isinstance(part, list) and self._combine is not None and part:
            return self._combine([self.resolve(item) for item in part])
        raise InvalidTypeError(
            f"a {self.kind} is a name, (name, options) or an instance of {self.base.__name__}"
            f"{', or a list of these' if self._combine else ''}; got {part!r}. "
            f"Names: {', '.join(self.names())}."
        )

    def name_of(self, part: Part) -> str:
        """Return the name under which the class of ``part`` is found.

        Raises:
            UnknownNameError: Its class is not in the registry.
        """
        cls = type(part)
        for name, factory in self._registered.items():
            if factory is cls:
                return name
        for point in self._points():
            if point.value == f"{cls.__module__}:{cls.__qualname__}" or (
                point.attr == cls.__qualname__ and cls.__module__.startswith(point.module)
            ):
                return point.name
        raise UnknownNameError(
            f"{cls.__name__} is not a registered {self.kind}. Register it with "
            f"@REGISTRY.register('a-name') or an entry point in the group {self.group!r}."
        )

    def describe(self, part: Part) -> Any:
        """Return ``(name, options)`` from which ``resolve`` makes the part again, unfitted.

        A part that was combined from a list is iterable, and gives a list again.

        Raises:
            UnknownNameError: Its class, or that of a part inside it, is not in the registry.
        """
        if self._combine is not None and isinstance(part, Iterable):
            return [self.describe(item) for item in part]
        if dataclasses.is_dataclass(part):
            options = {f.name: getattr(part, f.name) for f in dataclasses.fields(part) if f.init}
        else:
            options = dict(getattr(part, "options", {}))
        return self.name_of(part), {name: self._plain(value) for name, value in options.items()}

    def _plain(self, option: Any) -> Any:
        if isinstance(option, self.base):
            return self.describe(option)
        if isinstance(option, (list, tuple)):
            return type(option)(self._plain(item) for item in option)
        return option

    def _points(self) -> Sequence[EntryPoint]:
        if self._found is None:  # reading the metadata of every distribution takes milliseconds
            self._found = tuple(entry_points(group=self.group))
        return self._found

    def _source(self, name: str) -> str:
        if name in self._registered:
            return "run time"
        return ", ".join(sorted({_owner(p) for p in self._points() if p.name == name}))

    def _broken(self, name: str) -> str | None:
        try:
            self.load(name)
        except PluginError as error:
            return str(error)
        return None

    def _unknown(self, name: str) -> str:
        near = difflib.get_close_matches(name, self.names(), n=3)
        hint = f"Did you mean {' or '.join(map(repr, near))}? " if near else ""
        return f"no {self.kind} is called {name!r}. {hint}Names: {', '.join(self.names())}."


def _owner(point: EntryPoint) -> str:
    return point.dist.name if point.dist is not None else "an unnamed distribution"


def spec_of(text: str) -> Any:
    """Read a part from the command line: ``whiten``, ``whiten+zuko.nsf``, ``name:key=value``.

    Values are read as YAML scalars, so ``sigma=1.5`` is a number and ``shared=true`` a boolean.

    Example:
        >>> spec_of("whiten:shared=true+zuko.nsf")
        [('whiten', {'shared': True}), 'zuko.nsf']
    """

    def one(item: str) -> Any:
        name, _, options = item.partition(":")
        if not options:
            return name
        pairs = (pair.partition("=") for pair in options.split(","))
        return name, {key.strip(): scalar(value) for key, _, value in pairs}

    items = [one(item) for item in text.split("+")]
    return items if len(items) > 1 else items[0]


def scalar(text: str) -> Any:
    """Read a YAML scalar; ``1e-3``, which YAML takes for text, is read as the number it means.

    Example:
        >>> scalar("1e-3"), scalar("true"), scalar("ot")
        (0.001, True, 'ot')
    """
    import yaml

    value = yaml.safe_load(text)
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return value
    return value
