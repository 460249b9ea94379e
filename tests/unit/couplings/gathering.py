"""Two processes pair over gloo and write what they got; started by test_ahead.py."""

from __future__ import annotations

import sys

import torch
import torch.distributed as dist

from precond_gm.couplings import REGISTRY, Gathered, PairsAhead


def rows(n: int, seed: int) -> torch.Tensor:
    return torch.randn(n, 3, generator=torch.Generator().manual_seed(seed))


def main(rank: int, world_size: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=world_size
    )
    z0, z1, label = rows(16, 0), rows(16, 1), torch.arange(16) % 3
    mine = slice(rank * 8, (rank + 1) * 8)
    online = Gathered("ot").pair(z0[mine], z1[mine], label[mine])
    ahead = PairsAhead(
        rows(64, 2),
        torch.arange(64) % 3,
        REGISTRY.create("ot"),
        batch_size=8,
        seed=5,
        rank=rank,
        world_size=world_size,
        gather=True,
    )
    pairs = [(batch.z0, batch.z1, batch.label) for batch in ahead]
    torch.save({"online": (online.z0, online.z1), "ahead": pairs}, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


if __name__ == "__main__":
    main(int(sys.argv[1]), 2, sys.argv[2])
