"""Images of a data set on disk, so that a slow map is run over it once."""

from __future__ import annotations

import hashlib
import os
from importlib.metadata import version
from pathlib import Path

import torch
from torch import Tensor

from precond_gm.numerics.rows import batches
from precond_gm.preconditioners.base import AbstractPreconditioner
from precond_gm.values import Batch

__all__ = ["cache_key", "precondition_cached"]


def precondition_cached(
    preconditioner: AbstractPreconditioner,
    x: Tensor,
    label: Tensor | None = None,
    *,
    folder: str | os.PathLike[str],
) -> Tensor:
    """Map rows to z on the map's device, or read their image from ``folder`` if it is there.

    The file is named by a key of the rows, the labels, the map (classes, options, fitted tensors)
    and the version of the package, so a stale image cannot be read. It holds one tensor and no
    code, and appears whole or not at all; a file that cannot be read is computed anew.

    Args:
        preconditioner: A fitted map.
        x: Rows, shape ``batch *event``.
        label: Label of each row, or None.
        folder: Where images are kept; made if it is not there.

    Example:
        >>> import tempfile, torch
        >>> from precond_gm.preconditioners import Whiten
        >>> part, x = Whiten(), torch.randn(100, 2)
        >>> _ = part.fit(x)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     first = precondition_cached(part, x, folder=folder)
        ...     second = precondition_cached(part, x, folder=folder)
        >>> torch.equal(first, second)
        True
    """
    path = Path(folder) / f"{cache_key(preconditioner, x, label)}.pt"
    found = _read(path)
    if found is not None:
        return found.to(x.device)
    device = next((v.device for v in preconditioner.state_dict().values()), x.device)
    with torch.no_grad():
        image = torch.cat([_mapped(preconditioner, part, device) for part in batches(x, label)])
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(f".{os.getpid()}.partial")
    torch.save(image, partial)
    partial.replace(path)
    return image.to(x.device)


def cache_key(
    preconditioner: AbstractPreconditioner, x: Tensor, label: Tensor | None = None
) -> str:
    """Return a key that changes with the rows, the labels, the map and the package's version."""
    digest = hashlib.sha256(version("precond_gm").encode())
    for name, module in preconditioner.named_modules():
        digest.update(f"{name}:{type(module).__module__}.{type(module).__qualname__}".encode())
        if isinstance(module, AbstractPreconditioner):
            plain = {
                key: value
                for key, value in module.options.items()
                if isinstance(value, (str, int, float, bool, tuple, type(None)))
            }
            digest.update(repr(sorted(plain.items())).encode())
    for name, tensor in sorted(preconditioner.state_dict().items()):
        _update(digest, name, tensor)
    _update(digest, "rows", x)
    if label is not None:
        _update(digest, "labels", label)
    return digest.hexdigest()


def _mapped(preconditioner: AbstractPreconditioner, part: Batch, device: torch.device) -> Tensor:
    label = None if part.label is None else part.label.to(device)
    return preconditioner(part.x.to(device), label).value.cpu()


def _update(digest: hashlib._Hash, name: str, tensor: Tensor) -> None:
    digest.update(f"{name}:{tensor.dtype}:{tuple(tensor.shape)}".encode())
    flat = tensor.detach().cpu().contiguous().reshape(-1)
    digest.update(flat.view(torch.uint8).numpy().data)


def _read(path: Path) -> Tensor | None:
    if not path.is_file():
        return None
    try:
        found = torch.load(path, weights_only=True)
    except Exception:
        return None  # truncated or foreign: computed anew
    return found if isinstance(found, Tensor) else None
