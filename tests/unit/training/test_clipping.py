"""Clipping the gradient, against PyTorch's own."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from precond_gm.training.clipping import clip_gradient


@pytest.mark.parametrize("largest", [0.1, 1e6])
def test_it_clips_as_pytorch_does(largest: float) -> None:
    """Above and below the limit, with a parameter that has no gradient. Oracle: equality."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    net.register_parameter("unused", nn.Parameter(torch.ones(2)))
    net(torch.randn(5, 3)).square().sum().backward()
    other = copy.deepcopy(net)
    for mine, theirs in zip(net.parameters(), other.parameters(), strict=True):
        theirs.grad = None if mine.grad is None else mine.grad.clone()
    found = clip_gradient(net.parameters(), largest)
    expected = nn.utils.clip_grad_norm_(other.parameters(), largest)
    assert torch.equal(found, expected)
    for mine, theirs in zip(net.parameters(), other.parameters(), strict=True):
        assert (mine.grad is None) == (theirs.grad is None)
        if mine.grad is not None and theirs.grad is not None:
            assert torch.equal(mine.grad, theirs.grad)
