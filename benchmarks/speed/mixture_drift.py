"""Exact drift of a Gaussian mixture against the same formula written plainly in torch.

Run: ``python benchmarks/speed/mixture_drift.py`` (1e6 points, 10 components, d = 64; writes
benchmarks/results/mixture_drift.json). Also measures what the blocks promise: peak memory.
"""

from __future__ import annotations

import argparse
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch
from harness import line, paired, save
from torch import Tensor

from precond_gm.closed_form import GaussianMixtureBridge

TIME = 0.6


def problem(dim: int, components: int, dtype: torch.dtype) -> GaussianMixtureBridge:
    draw = torch.Generator().manual_seed(0)
    root = torch.randn(components, dim, dim, generator=draw) / math.sqrt(dim)
    covariances = root @ root.mT + 0.1 * torch.eye(dim)
    means = 2 * torch.randn(components, dim, generator=draw)
    return GaussianMixtureBridge(torch.ones(components), means, covariances)


def plain(bridge: GaussianMixtureBridge, t: float, x: Tensor) -> Tensor:
    """E[z1 | x] = sum_k r_k [m_k + t S_k C_k^-1 (x - t m_k)], then (E[z1 | x] - x) / (1 - t)."""
    identity = torch.eye(x.shape[1], dtype=x.dtype, device=x.device)
    weights, means = bridge.weights.to(x.dtype), bridge.means.to(x.dtype)
    covariances = bridge.covariances.to(x.dtype)
    logs, posterior = [], []
    for weight, mean, covariance in zip(weights, means, covariances, strict=True):
        path = t**2 * covariance + (1 - t**2) * identity
        inverse = torch.linalg.inv(path)
        gap = x - t * mean
        solved = gap @ inverse
        logs.append(weight.log() - 0.5 * torch.logdet(path) - 0.5 * (gap * solved).sum(1))
        posterior.append(mean + t * solved @ covariance)
    share = torch.stack(logs, 1).softmax(1)
    mean1 = sum(share[:, k : k + 1] * each for k, each in enumerate(posterior))
    return (mean1 - x) / (1 - t)


def peak(kind: str, rows: int, dim: int, components: int, dtype: str) -> float:
    """Return the growth of the peak memory of a fresh process, in MiB, for one evaluation."""
    code = (
        "import sys; sys.argv = ['x']; import mixture_drift as m;"
        f"m.report_peak({kind!r}, {rows}, {dim}, {components}, {dtype!r})"
    )
    here = Path(__file__).parent
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=here
    )
    return float(run.stdout)


def report_peak(kind: str, rows: int, dim: int, components: int, dtype: str) -> None:
    bridge = problem(dim, components, getattr(torch, dtype))
    x = torch.randn(rows, dim, dtype=getattr(torch, dtype))
    call = bridge.drift if kind == "package" else lambda t, z: plain(bridge, t, z)
    call(TIME, x[:1000])
    before = memory("VmRSS")
    call(TIME, x)
    print(memory("VmHWM") - before)


def memory(field: str) -> float:
    """Return a memory figure of this process in MiB (Linux; ru_maxrss would hold the parent's)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(float(text.split()[1]) for text in lines if text.startswith(field)) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--dim", type=int, default=64)
    parser.add_argument("--components", type=int, default=10)
    parser.add_argument("--blocks", type=int, default=40)
    parser.add_argument("--no-save", action="store_true")
    options = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    record: dict[str, Any] = {
        "rows": options.rows, "dim": options.dim, "components": options.components
    }  # fmt: skip
    for dtype in (torch.float64, torch.float32):
        name = str(dtype).removeprefix("torch.")
        bridge = problem(options.dim, options.components, dtype)
        x = torch.randn(options.rows, options.dim, dtype=dtype, device=device)
        gap = (bridge.drift(TIME, x[:10_000]) - plain(bridge, TIME, x[:10_000])).abs().max()
        result = paired(
            lambda b=bridge, z=x: b.drift(TIME, z),
            lambda b=bridge, z=x: plain(b, TIME, z),
            options.blocks,
            warmup=1,
        )
        print(line(f"mixture drift, {name}", result), f"  largest gap {float(gap):.1e}")
        record[name] = {**result, "largest_gap": float(gap)}
        if device == "cpu":
            for kind in ("package", "plain"):
                size = (options.rows, options.dim, options.components, name)
                record[name][f"{kind}_peak_mib"] = peak(kind, *size)
            output = options.rows * options.dim * x.element_size() / 2**20
            record[name]["output_mib"] = output
            print(
                f"  peak memory {record[name]['package_peak_mib']:.0f} MiB against "
                f"{record[name]['plain_peak_mib']:.0f} MiB (the result alone: {output:.0f} MiB)"
            )
    if not options.no_save:
        save("mixture_drift", record)


if __name__ == "__main__":
    main()
