"""Images of a data set on disk."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from precond_gm.preconditioners import AbstractPreconditioner, Logit, Standardize, Whiten
from precond_gm.preconditioners.cache import cache_key, precondition_cached
from precond_gm.values import Transformed


def rows() -> Tensor:
    return torch.rand(50, 3, generator=torch.Generator().manual_seed(0))


def fitted(part: AbstractPreconditioner) -> AbstractPreconditioner:
    part.fit(rows(), torch.arange(50) % 2)
    return part


def test_read_back_without_running_the_map(tmp_path: Path) -> None:
    """Oracle: the map itself, and then a map that would fail if it ran."""
    part, label = fitted(Whiten()), torch.arange(50) % 2
    expected = part(rows(), label).value
    assert torch.equal(precondition_cached(part, rows(), label, folder=tmp_path), expected)

    def fails(x: Tensor, label: Tensor | None = None) -> Transformed:
        raise AssertionError("the map ran again")

    part.forward = fails  # type: ignore[method-assign]
    assert torch.equal(precondition_cached(part, rows(), label, folder=tmp_path), expected)
    assert [path.suffix for path in tmp_path.iterdir()] == [".pt"]


def test_key_follows_everything_that_matters() -> None:
    """Oracle: all keys differ: rows, labels, map, options that are no tensors."""
    label = torch.arange(50) % 2
    part = fitted(Whiten())
    keys = {
        cache_key(part, rows(), label),
        cache_key(part, rows() + 1, label),
        cache_key(part, rows(), 1 - label),
        cache_key(part, rows().double(), label),
        cache_key(fitted(Whiten(form="pca")), rows(), label),
        cache_key(fitted(Standardize()), rows(), label),
        cache_key(fitted(Logit(0, 1, eps=0.1)), rows(), label),
        cache_key(fitted(Logit(0, 1, eps=0.2)), rows(), label),
    }
    assert len(keys) == 8
    assert cache_key(part, rows(), label) == cache_key(fitted(Whiten()), rows(), label)


def test_truncated_file_is_computed_anew(tmp_path: Path) -> None:
    """Oracle: the image of the first run."""
    part = fitted(Logit(0, 1))
    expected = precondition_cached(part, rows(), folder=tmp_path)
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:100])
    assert torch.equal(precondition_cached(part, rows(), folder=tmp_path), expected)
