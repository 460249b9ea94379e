"""Call anyone's network as a field ``(t, z, label)``: arguments go by name, never by place.

Networks of this field take ``(x, t, y)``, ``(t, x, y)``, keywords, or something else; a
guess by position would train without an error and learn nothing. So names decide, and where they
do not, the message shows what to write.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from precond_gm.errors import InvalidTypeError

__all__ = ["PRESETS", "AdaptedField", "Call", "CallForm", "adapt"]

NAMES: dict[str, tuple[str, ...]] = {
    "t": ("t", "time", "times", "timestep", "timesteps"),
    "x": ("x", "z", "xt", "x_t", "zt", "z_t", "sample", "hidden_states", "noised", "noised_images"),
    "label": ("label", "labels", "y", "class_labels", "class_label", "classes", "cls"),
}
ROLES = {name: role for role, names in NAMES.items() for name in names}


@dataclass(frozen=True)
class CallForm:
    """How a network is called.

    Attributes:
        positional: Roles (``t``, ``x``, ``label``) in the order of the positional arguments.
        keywords: Keyword argument for each remaining role.
        time_scale: Factor from our t in [0, 1] to the network's time.
        extra: Constant keyword arguments.
        join_time: Append t to the features, for networks that take one tensor.
    """

    positional: tuple[str, ...] = ()
    keywords: Mapping[str, str] | None = None
    time_scale: float = 1.0
    extra: Mapping[str, Any] | None = None
    join_time: bool = False

    @property
    def takes_label(self) -> bool:
        """Whether the network is told the label."""
        return "label" in self.positional or "label" in (self.keywords or {})

    def __call__(self, model: Any, t: Tensor, z: Tensor, label: Tensor | None) -> Any:
        """Call ``model`` in this form."""
        if self.join_time:
            return model(torch.cat([z, t[:, None].to(z.dtype)], dim=1))
        value = {"t": t * self.time_scale if self.time_scale != 1 else t, "x": z, "label": label}
        args = [value[role] for role in self.positional]
        if args and label is None and self.positional[-1] == "label":
            args.pop()  # an unconditional network may have no third argument
        named = {word: value[role] for role, word in (self.keywords or {}).items()}
        return model(*args, **{k: v for k, v in named.items() if v is not None}, **self.extra or {})


Call: TypeAlias = "str | CallForm | Callable[[Any, Tensor, Tensor, Tensor | None], Tensor]"

PRESETS: dict[str, CallForm] = {
    "torchcfm": CallForm(("t", "x", "label")),
    "torchcfm-mlp": CallForm(join_time=True),
    "flow_matching": CallForm(keywords={"x": "x", "t": "t", "label": "label"}),
    "sit": CallForm(("x", "t", "label")),
    "diffusers-unet2d": CallForm(("x", "t"), keywords={"label": "class_labels"}, time_scale=1000.0),
    "diffusers-dit": CallForm(
        ("x",), keywords={"t": "timestep", "label": "class_labels"}, time_scale=1000.0
    ),
}
"""Call forms of well-known code bases. Only the order and the names are converted; a network that
was trained with t = 1 as noise has to be trained anew, or given a callable that reverses t."""


class AdaptedField(nn.Module):
    """A network behind the signature ``(t, z, label)``; the network itself is ``.model``."""

    def __init__(
        self, model: Any, form: Callable[[Any, Tensor, Tensor, Tensor | None], Any]
    ) -> None:
        super().__init__()
        self.model = model
        self.form = form

    @property
    def takes_label(self) -> bool:
        """Whether the network is told the label (true for a callable, which we cannot inspect)."""
        return getattr(self.form, "takes_label", True)

    def forward(self, t: Tensor, z: Tensor, label: Tensor | None = None) -> Tensor:
        """Call the network and unwrap its output."""
        out = self.form(self.model, t, z, label)
        if isinstance(out, Tensor):
            return out
        if isinstance(out, tuple):
            return out[0]
        return out.sample


def adapt(model: Any, call: Call = "auto") -> AdaptedField:
    """Wrap a network so that it is called as ``(t, z, label)``.

    Args:
        model: A module or a callable.
        call: ``"auto"`` matches the argument names of ``forward``; a list of roles such as
            ``"x,t,label"`` gives the positional order; a preset (``torchcfm``, ``flow_matching``,
            ``sit``, ``diffusers-unet2d``, ``diffusers-dit``, ``torchcfm-mlp``); a ``CallForm``; or
            a function ``(model, t, z, label) -> tensor``.

    Raises:
        InvalidTypeError: The names are ambiguous, or ``call`` is none of these.

    Example:
        >>> import torch
        >>> net = torch.nn.Bilinear(2, 1, 2)
        >>> field = adapt(net, lambda model, t, z, label: model(z, t[:, None]))
        >>> field(torch.rand(3), torch.randn(3, 2)).shape
        torch.Size([3, 2])
    """
    if callable(call):
        return AdaptedField(model, call)
    if call == "auto":
        return AdaptedField(model, _by_name(model))
    if call in PRESETS:
        return AdaptedField(model, PRESETS[call])
    if isinstance(call, str):
        roles = tuple(ROLES.get(word.strip(), word.strip()) for word in call.split(","))
        if {"t", "x"} <= set(roles) <= {"t", "x", "label"} and len(set(roles)) == len(roles):
            return AdaptedField(model, CallForm(roles))
    raise InvalidTypeError(
        f"call={call!r} is not understood. Write the order of the arguments, such as "
        f"call='x,t,label' or call='t,x', a preset ({', '.join(PRESETS)}), or a function "
        f"(model, t, z, label) -> tensor."
    )


def _by_name(model: Any) -> CallForm:
    function = model.forward if isinstance(model, nn.Module) else model
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError) as error:
        raise InvalidTypeError(_ambiguous(model, "its signature cannot be read")) from error
    positional: list[str] = []
    keywords: dict[str, str] = {}
    for parameter in parameters:
        role = ROLES.get(parameter.name)
        taken = role in positional or role in keywords
        if role is None or taken:
            required = parameter.default is parameter.empty
            if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD) or not required:
                continue
            why = f"two arguments mean {role}" if taken else f"{parameter.name!r} is unknown"
            raise InvalidTypeError(_ambiguous(model, why))
        if parameter.kind is parameter.POSITIONAL_ONLY:
            positional.append(role)
        else:
            keywords[role] = parameter.name
    missing = {"t", "x"} - set(positional) - set(keywords)
    if missing:
        raise InvalidTypeError(
            _ambiguous(model, f"no argument means {' or '.join(sorted(missing))}")
        )
    return CallForm(tuple(positional), keywords)


def _ambiguous(model: Any, why: str) -> str:
    function = model.forward if isinstance(model, nn.Module) else model
    try:
        shown = str(inspect.signature(function))
    except (TypeError, ValueError):
        shown = "(...)"
    return (
        f"cannot tell how to call {type(model).__name__}{shown}: {why}. Names that are understood: "
        f"{'; '.join(f'{role}: ' + ', '.join(names) for role, names in NAMES.items())}. Say it "
        f"with call='x,t,label' (positional order), a preset ({', '.join(PRESETS)}), or "
        f"call=lambda model, t, z, label: model(...)."
    )
