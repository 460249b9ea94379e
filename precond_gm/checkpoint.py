"""Save a flow and load it again, without ever running code from the file.

The file holds the base network, the preconditioner, the coupling and a description apart, so that
a checkpoint of the bare network can be exchanged freely. It is written to a temporary name first
and moved into place, so a full disk or a kill leaves the old file as it was.
"""

from __future__ import annotations

import contextlib
import enum
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from precond_gm import couplings, models, paths, preconditioners
from precond_gm.errors import CheckpointError, UnknownNameError
from precond_gm.flow import PreconditionedFlow, wrap
from precond_gm.flow.state import stripped
from precond_gm.objectives import divergences, time_laws, weights
from precond_gm.registry import Registry

__all__ = ["describe_parts", "load", "read_state", "save", "write_state"]

FORMAT = "precond_gm.flow"
VERSION = 1
PLAIN = (type(None), bool, int, float, complex, str, bytes, torch.dtype, torch.device, torch.Size)
REGISTRIES: dict[str, Registry[Any]] = {
    "preconditioner": preconditioners.REGISTRY,
    "coupling": couplings.REGISTRY,
    "path": paths.REGISTRY,
    "divergence": divergences.REGISTRY,
    "weight": weights.REGISTRY,
    "time_law": time_laws.REGISTRY,
}


def save(flow: PreconditionedFlow, path: str | os.PathLike[str]) -> None:
    """Save a flow atomically.

    Args:
        flow: The flow. A part whose class is not registered, or with an option that is a function,
            is saved without its description and must be given to ``load`` again.
        path: File to write; an existing one is replaced only by a complete one.

    Raises:
        CheckpointError: The file cannot be written; what was there is kept.

    Example:
        >>> import tempfile, pathlib, precond_gm as pg
        >>> flow = pg.wrap(pg.models.MLP(2, width=8), event_shape=(2,))
        >>> file = pathlib.Path(tempfile.mkdtemp()) / "flow.pt"
        >>> pg.save(flow, file)
        >>> type(pg.load(file)).__name__
        'PreconditionedFlow'
    """
    objective, (described, absent) = flow.objective, describe_parts(flow)
    write_state(
        {
            "format": FORMAT,
            "version": VERSION,
            "base": stripped(flow.field.model.state_dict()),
            "preconditioner": flow.preconditioner.state_dict(),
            "coupling": flow.coupling.state_dict(),
            "objective": flow.objective.state_dict(),
            "meta": {
                "parts": described,
                "absent": absent,
                "model": _described(models.REGISTRY, flow.field.model)[0],
                "prediction": objective.prediction.value,
                "loss_space": objective.loss_space.value,
                "clamp": float(objective.clamp),
                "num_labels": flow.num_labels,
                "event_shape": _plain(flow.event_shape),
                "label_frequency": flow.label_frequency,
                "fitted_shape": flow.preconditioner.event_shape,
                "fitted_labels": flow.preconditioner.num_labels,
            },
        },
        path,
        verify=True,
    )


def describe_parts(flow: PreconditionedFlow) -> tuple[dict[str, Any], dict[str, str]]:
    """Return what makes each part of a flow again, and why where nothing can, both by role."""
    parts = {
        "preconditioner": flow.preconditioner,
        "coupling": flow.coupling,
        "path": flow.path,
        "divergence": flow.objective.divergence,
        "weight": flow.objective.weight,
        "time_law": flow.objective.time_law,
    }
    found = {role: _described(REGISTRIES[role], part) for role, part in parts.items()}
    described = {role: description for role, (description, _) in found.items()}
    return described, {role: reason for role, (_, reason) in found.items() if reason}


def load(
    file: str | os.PathLike[str], /, model: nn.Module | None = None, **parts: Any
) -> PreconditionedFlow:
    """Load a flow.

    Args:
        file: File that ``save`` wrote.
        model: The bare network, built as for training; not needed for networks of this package.
        parts: Arguments of ``wrap`` for parts that could not be described, or to override them.

    Raises:
        CheckpointError: The file is missing, truncated, foreign, does not fit the network, or
            lacks a part that is not given either.
    """
    state = read_state(file, FORMAT)
    meta = state["meta"]
    if model is None:
        if meta["model"] is None:
            raise CheckpointError(
                f"{file} holds a network that does not ship with the package. Build it "
                f"and pass it: pg.load(file, model)."
            )
        model = models.REGISTRY.resolve(meta["model"])
    described = {role: spec for role, spec in meta["parts"].items() if spec is not None}
    missing = sorted(set(REGISTRIES) - set(described) - set(parts))
    if missing:
        reasons = meta.get("absent", {})
        why = "; ".join(
            f"{role} ({reasons.get(role, 'its class is not registered')})" for role in missing
        )
        again = ", ".join(f"{role}=..." for role in missing)
        raise CheckpointError(
            f"{file} does not hold these parts: {why}. Give them as for training: "
            f"pg.load(file, {'' if meta['model'] else 'model, '}{again})."
        )
    settings = {
        **described,
        "prediction": meta["prediction"],
        "loss_space": meta["loss_space"],
        "clamp": meta.get("clamp", 0.0),
        "num_labels": meta["num_labels"],
        "event_shape": meta["event_shape"],
        **parts,
    }
    flow = wrap(model, **settings)
    try:
        flow.load_base(state["base"])
        if meta["fitted_shape"] is not None:
            flow.preconditioner.build(tuple(meta["fitted_shape"]), meta["fitted_labels"])
        flow.preconditioner.load_state_dict(state["preconditioner"])
        flow.coupling.load_state_dict(state["coupling"])
        flow.objective.load_state_dict(state["objective"])
    except (RuntimeError, KeyError) as error:
        raise CheckpointError(f"{file} does not fit the parts given: {error}") from error
    flow.preconditioner.requires_grad_(False).eval()
    flow.label_frequency = meta["label_frequency"]
    return flow


def write_state(
    state: dict[str, Any], path: str | os.PathLike[str], *, verify: bool = False
) -> None:
    """Write plain values and tensors atomically: a temporary file, synced, then moved into place.

    Args:
        state: What is written.
        path: File to write.
        verify: Whether to look through the file for objects that ``read_state`` would refuse, for
            states that hold what a user made. It takes a quarter of the time of writing.

    Raises:
        CheckpointError: The file cannot be written, or holds functions or objects that only code
            can make; what was there is kept.
    """
    target = Path(path)
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        unsafe = torch.serialization.get_unsafe_globals_in_checkpoint
        if verify and (found := unsafe(temporary)):
            raise pickle.PicklingError(f"it holds {', '.join(sorted(found))}")
        os.replace(temporary, target)
    except (OSError, RuntimeError, pickle.PicklingError, AttributeError, TypeError) as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        if not isinstance(error, (OSError, RuntimeError)):
            raise CheckpointError(
                f"cannot write {target}: {error}. A checkpoint holds tensors and plain values "
                f"only, since loading never runs code. What was there before is kept; leave "
                f"functions and objects out, and give them again after loading."
            ) from error
        # A short write inside torch's archive comes out as a RuntimeError about positions.
        cause = error if isinstance(error, OSError) else "the disk did not take all of it"
        raise CheckpointError(
            f"cannot write {target}: {cause}. What was there before is kept; free some space or "
            f"choose another folder."
        ) from error


def read_state(path: str | os.PathLike[str], expected: str) -> dict[str, Any]:
    """Read a file of ``write_state``; only tensors and plain values are accepted.

    Raises:
        CheckpointError: Missing, truncated, foreign, or written by a newer version.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise CheckpointError(f"there is no checkpoint {path}.") from error
    except (OSError, RuntimeError, EOFError, ValueError, pickle.UnpicklingError) as error:
        raise CheckpointError(
            f"{path} is truncated or not a checkpoint of precond_gm. Restore it from a copy, or "
            f"remove it to begin again without it. ({str(error).splitlines()[0][:120]})"
        ) from error
    if not isinstance(state, dict) or state.get("format") != expected:
        raise CheckpointError(
            f"{path} is not a {expected} file. A bare network's weights are loaded with "
            f"flow.load_base(state_dict)."
        )
    if state["version"] > VERSION:
        raise CheckpointError(
            f"{path} has version {state['version']}, this package reads up to {VERSION}. "
            f"Install a newer precond_gm."
        )
    return state


def _described(registry: Registry[Any], part: Any) -> tuple[Any, str]:
    """Return what makes the part again, or None, and why there is no such description."""
    try:
        spec = registry.describe(part)
    except UnknownNameError:
        return None, f"{type(part).__name__} is not registered"
    try:
        return _plain(spec), ""
    except TypeError as error:
        return None, f"{type(part).__name__} has {error}"


def _plain(value: Any, name: str = "") -> Any:
    """Return an option as a file may hold it.

    Raises:
        TypeError: It is or holds a function or another object; says which option.
    """
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, enum.Enum):
        return _plain(value.value, name)
    if type(value) in PLAIN or isinstance(value, Tensor):
        return value
    if type(value) in (list, tuple):
        return type(value)(_plain(item, name) for item in value)
    if type(value) is dict:
        return {key: _plain(item, str(key)) for key, item in value.items()}
    kind = "a function" if callable(value) else f"an object of type {type(value).__name__}"
    raise TypeError(f"the option {name!r}, {kind}, which no checkpoint holds")
