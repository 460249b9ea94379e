"""The loop against one written by hand with the same network, and against the network alone.

Run: ``python benchmarks/speed/integrate.py`` (writes benchmarks/results/integrate.json). The loop
keeps counts, checks shapes and remembers where values stop being finite; a hand-written one does
none of this. "network" compares one sampling run with as many bare evaluations of the network.
"compiled" compares ``flow.sample`` with ``torch.compile(flow.field)`` as its field with the plain
one, after compilation; on a GPU also with CUDA graphs. ``--compiled`` measures that alone.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import torch
from harness import line, paired, save, steady_allocator
from torch import Tensor, nn

import precond_gm as pg
from precond_gm.solvers import EulerMaruyama, Heun, grids, integrate

STEPS = 50
SIZES = {"small": (256, 2, 128), "medium": (512, 16, 256), "large": (1024, 64, 256)}


class Network(nn.Module):
    """A plain MLP of (t, z)."""

    def __init__(self, dim: int, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(dim + 1, width),
            nn.SiLU(),
            nn.Linear(width, width),
            nn.SiLU(),
            nn.Linear(width, width),
            nn.SiLU(),
            nn.Linear(width, dim),
        )

    def forward(self, t: Tensor, z: Tensor, label: Tensor | None = None) -> Tensor:
        return self.layers(torch.cat([t[:, None], z], dim=1))


def euler_maruyama_by_hand(net: Network, times: Tensor, z: Tensor, sigma: float) -> Tensor:
    for k in range(len(times) - 1):
        t, h = times[k], times[k + 1] - times[k]
        drift = net(t.expand(z.shape[0]), z)
        z = z + h * drift + sigma * h.sqrt() * torch.randn_like(z)
    return z


def heun_by_hand(net: Network, times: Tensor, z: Tensor) -> Tensor:
    for k in range(len(times) - 1):
        t, t_next = times[k], times[k + 1]
        h = t_next - t
        first = net(t.expand(z.shape[0]), z)
        second = net(t_next.expand(z.shape[0]), z + h * first)
        z = z + 0.5 * h * (first + second)
    return z


def network_alone(net: Network, z: Tensor, evaluations: int) -> None:
    t = z.new_full((), 0.5).expand(z.shape[0])
    for _ in range(evaluations):
        net(t, z)


@torch.no_grad()
def measure(size: str, blocks: int) -> dict[str, Any]:
    """Compare at one size."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    batch, dim, width = SIZES[size]
    torch.manual_seed(0)
    net = Network(dim, width).to(device)
    z = torch.randn(batch, dim, device=device)
    grid = grids.uniform(STEPS)
    times = grid.to(z)
    pairs = {
        "euler-maruyama, by hand": (
            lambda: integrate(net, EulerMaruyama(), grid, z, diffusion=1.4),
            lambda: euler_maruyama_by_hand(net, times, z, 1.4),
        ),
        "heun, by hand": (
            lambda: integrate(net, Heun(), grid, z),
            lambda: heun_by_hand(net, times, z),
        ),
        "euler-maruyama, network": (
            lambda: integrate(net, EulerMaruyama(), grid, z, diffusion=1.4),
            lambda: network_alone(net, z, STEPS),
        ),
    }
    record = {}
    for name, (ours, other) in pairs.items():
        result = paired(ours, other, blocks)
        print(line(f"{size} ({batch}x{dim}, width {width}): {name}", result), flush=True)
        record[f"{size}, {name}"] = {"batch": batch, "dim": dim, "width": width, **result}
    return record


def measure_compiled(size: str, blocks: int) -> dict[str, Any]:
    """Compare sampling with a compiled field and with the plain one, both warm."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    batch, dim, width = SIZES[size]
    torch.manual_seed(0)
    flow = pg.wrap(Network(dim, width), event_shape=(dim,)).to(device)
    modes = {"compiled": "default"} | (
        {"cuda graphs": "reduce-overhead"} if device != "cpu" else {}
    )
    record = {}
    for name, mode in modes.items():
        field = torch.compile(flow.field, mode=mode)
        start = time.perf_counter()
        first = flow.sample(batch, steps=2, field=field, generator=seeded(device)).x
        seconds = time.perf_counter() - start
        gap = (first - flow.sample(batch, steps=2, generator=seeded(device)).x).abs().max()
        result = paired(
            lambda field=field: flow.sample(batch, steps=STEPS, field=field),
            lambda: flow.sample(batch, steps=STEPS),
            blocks,
        )
        print(line(f"{size} ({batch}x{dim}, width {width}): {name}, plain", result), flush=True)
        print(f"  first call {seconds:.1f} s, largest difference {float(gap):.1e}", flush=True)
        record[f"{size}, {name}, plain"] = {
            **{"batch": batch, "dim": dim, "width": width, **result},
            "first_call_seconds": seconds,
            "largest_difference": float(gap),
        }
    return record


def seeded(device: str) -> torch.Generator:
    return torch.Generator(device).manual_seed(0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--blocks", type=int, default=60)
    parser.add_argument("--no-save", action="store_true")
    parser.add_argument("--compiled", action="store_true", help="that row alone; nothing is saved")
    options = parser.parse_args()
    steady_allocator()
    if options.compiled:
        measure_compiled("small", options.blocks)
        return
    record: dict[str, Any] = {"steps": STEPS}
    for size in SIZES:
        record |= measure(size, options.blocks)
    record |= measure_compiled("small", options.blocks)
    if not options.no_save:
        save("integrate", record)


if __name__ == "__main__":
    main()
