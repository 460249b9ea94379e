"""Put a preconditioner, a coupling, a path and an objective round any network."""

from __future__ import annotations

import copy
import functools
import inspect
from typing import Any, TypeVar

from torch import nn

from precond_gm import couplings, paths, preconditioners
from precond_gm.errors import InvalidInputError, InvalidTypeError
from precond_gm.flow.decorate import decorate_class
from precond_gm.flow.preconditioned import PreconditionedFlow
from precond_gm.models.adapt import Call, adapt
from precond_gm.objectives import compose

__all__ = ["wrap"]

Part = TypeVar("Part")


def wrap(
    model: Any = None,
    /,
    *,
    preconditioner: Any = "identity",
    coupling: Any = "independent",
    path: Any = "linear",
    prediction: Any = None,
    loss_space: Any = None,
    divergence: Any = "squared",
    weight: Any = "constant",
    time_law: Any = "uniform",
    clamp: float = 0.0,
    num_labels: int | None = None,
    event_shape: tuple[int, ...] | int | None = None,
    call: Call = "auto",
    strict: bool = False,
) -> Any:
    r"""Wrap a network, a class of networks, or a factory of networks into a flow.

    A network instance gives a ``PreconditionedFlow``. A class, used as a decorator, stays the same
    object, and calling it gives a flow; ``unwrapped(Net)`` gives the bare network. A plain function
    is always a factory. A trained network cannot be preconditioned afterwards: it learns in z.

    Args:
        model: Network, class, or factory; None returns a decorator.
        preconditioner: Reversible map x -> z: a name, ``(name, options)``, an instance, or a list
            of these, applied in order.
        coupling: Joint law of noise and data given the label.
        path: Law of z_t given the pair.
        prediction: What the network estimates; None is aligned and bounded on the path (velocity
            on ODE paths, x1 on the bridge).
        loss_space: Where the loss compares; None is the space of the prediction.
        divergence: Bregman divergence, target first.
        weight: Weight w(t) > 0.
        time_law: Law of t, positive almost everywhere.
        clamp: Largest factor between prediction and loss space is ``1 / clamp``; 0 for no bound.
        num_labels: Number of classes; labels are 0 .. num_labels - 1.
        event_shape: Shape of a row, where it is needed before data are seen.
        call: How the network is called; see ``precond_gm.models.adapt``.
        strict: Refuse singular combinations instead of warning.

    Raises:
        UnknownNameError: A part that does not exist.
        IncompatiblePartsError: Parts that exclude each other, or a singular cell under ``strict``.
        InvalidTypeError: The arguments of the network cannot be told apart.

    References:
        arXiv 2603.02337 (preconditioning), 2602.10420 (alignment of prediction and loss).

    Example:
        >>> import torch, precond_gm as pg
        >>> net = pg.models.MLP(2, width=16)
        >>> flow = pg.wrap(net, preconditioner="whiten")
        >>> x = torch.randn(64, 2, generator=torch.Generator().manual_seed(0)) * 3
        >>> report = flow.fit_preconditioner(x)
        >>> flow.loss(x).total.backward()
        >>> flow.sample(4, steps=5).x.shape
        torch.Size([4, 2])
    """
    shape = (event_shape,) if isinstance(event_shape, int) else event_shape
    _check_num_labels(num_labels)

    def build(network: Any, *, own: bool = False) -> PreconditionedFlow:
        """Build a flow; parts given as instances are copied unless they serve this one only."""
        field = adapt(network, call)
        if num_labels is not None and not field.takes_label:
            raise InvalidTypeError(
                f"num_labels={num_labels}, but {type(network).__name__} takes no label, so it "
                f"could not tell the classes apart. Give its forward an argument label, y or "
                f"class_labels, or wrap without num_labels."
            )

        def take(part: Part) -> Part:
            return part if own else copy.deepcopy(part)

        pairing = couplings.REGISTRY.resolve(take(coupling))
        way = paths.REGISTRY.resolve(take(path))
        return PreconditionedFlow(
            field,
            preconditioner=preconditioners.REGISTRY.resolve(take(preconditioner)),
            coupling=pairing,
            path=way,
            objective=compose(
                way,
                prediction=prediction,
                loss_space=loss_space,
                divergence=take(divergence),
                weight=take(weight),
                time_law=take(time_law),
                gaussian_source=pairing.is_independent,
                clamp=clamp,
                strict=strict,
            ),
            num_labels=num_labels,
            event_shape=shape,
        )

    def decorate(target: Any) -> Any:
        if inspect.isclass(target):
            if not issubclass(target, nn.Module):
                raise InvalidTypeError(
                    f"wrap takes a subclass of torch.nn.Module; {target.__name__} is none."
                )
            return decorate_class(target, build)
        if isinstance(target, nn.Module):
            return build(target, own=True)
        if inspect.isfunction(target) or isinstance(target, functools.partial):

            @functools.wraps(target)
            def factory(*args: Any, **kwargs: Any) -> PreconditionedFlow:
                return build(target(*args, **kwargs))

            return factory
        raise InvalidTypeError(
            f"wrap takes a network (nn.Module), a class of networks, or a function that makes "
            f"one; got {type(target).__name__}."
        )

    return decorate if model is None else decorate(model)


def _check_num_labels(num_labels: Any) -> None:
    if num_labels is not None and (not isinstance(num_labels, int) or num_labels < 1):
        raise InvalidInputError(f"num_labels is a positive integer or None; got {num_labels!r}.")
