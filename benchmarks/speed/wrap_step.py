"""A training step through ``wrap`` against the loop written by hand, with the same network.

Run: python benchmarks/speed/wrap_step.py
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from harness import line, paired, save
from torch import Tensor

import precond_gm as pg

DIM, WIDTH, BATCH = 64, 256, 256


def stepper(loss: Callable[[], Tensor], network: torch.nn.Module) -> Callable[[], None]:
    """Make one training step of a loss."""
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-4)

    def step() -> None:
        optimiser.zero_grad(set_to_none=True)
        loss().backward()
        optimiser.step()

    return step


def by_hand(x: Tensor) -> Callable[[], None]:
    """Write the linear path and the squared loss out."""
    network = pg.models.MLP(DIM, width=WIDTH)
    generator = torch.Generator().manual_seed(0)

    def loss() -> Tensor:
        noise = torch.randn(x.shape, generator=generator)
        t = torch.rand(x.shape[0], generator=generator)
        z_t = (1 - t[:, None]) * noise + t[:, None] * x
        return (network(t, z_t) - (x - noise)).square().sum(1).mean()

    return stepper(loss, network)


def wrapped(x: Tensor, preconditioner: str, *, preconditioned: bool) -> Callable[[], None]:
    """Train the same network through the flow."""
    flow = pg.wrap(pg.models.MLP(DIM, width=WIDTH), preconditioner=preconditioner)
    flow.fit_preconditioner(torch.randn(2000, DIM, generator=torch.Generator().manual_seed(1)))
    rows = flow.precondition(x) if preconditioned else x
    generator = torch.Generator().manual_seed(0)

    def loss() -> Tensor:
        return flow.loss(rows, preconditioned=preconditioned, generator=generator).total

    return stepper(loss, flow.field)


def main() -> None:
    """Measure both lines, print and save them."""
    torch.manual_seed(0)
    x = torch.randn(BATCH, DIM)
    cases = {
        "identity, data in x": ("identity", False),
        "identity, data preconditioned": ("identity", True),
        "whiten, data preconditioned": ("whiten", True),
    }
    results = {}
    for name, (preconditioner, ready) in cases.items():
        step = wrapped(x, preconditioner, preconditioned=ready)
        results[name] = paired(step, by_hand(x), blocks=200)
        print(line(name, results[name]))
    save("wrap_step", {"width": WIDTH, "batch": BATCH, "dim": DIM, "results": results})


if __name__ == "__main__":
    main()
