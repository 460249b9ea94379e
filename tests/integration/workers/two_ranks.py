"""One of two ranks: trains one step through DDP and prints whether both ranks agree."""

import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

import precond_gm as pg


def main() -> None:
    dist.init_process_group("gloo")
    rank = dist.get_rank()
    torch.manual_seed(0)
    flow = pg.wrap(pg.models.MLP(2, width=8), preconditioner="whiten")
    flow.fit_preconditioner(torch.randn(64, 2, generator=torch.Generator().manual_seed(0)))
    ddp = DistributedDataParallel(flow)
    mine = torch.Generator().manual_seed(rank)  # each rank has data and noise of its own
    x = torch.randn(32, 2, generator=mine)
    flow.loss(x, field=ddp, generator=mine).total.backward()
    gradient = torch.cat([p.grad.flatten() for p in flow.field.parameters()])
    everyone = [torch.empty_like(gradient) for _ in range(2)]
    dist.all_gather(everyone, gradient)
    flow.zero_grad()
    flow.loss(x, generator=torch.Generator().manual_seed(rank)).total.backward()
    alone = torch.cat([p.grad.flatten() for p in flow.field.parameters()])
    others = [torch.empty_like(alone) for _ in range(2)]
    dist.all_gather(others, alone)
    if rank == 0:
        print("equal:", torch.equal(*everyone), "unsynchronised differ:", not torch.equal(*others))
    dist.destroy_process_group()


main()
