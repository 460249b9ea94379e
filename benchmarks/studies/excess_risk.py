r"""The claim, exactly: does scaling lower the plateau where the optimum is known?

Gaussian and mixture targets with condition number 1e4 in rotated axes; identity, standardize and
whiten; learning rate tuned for each on a seed of its own; five seeds. Excess risks of different
coordinates have different units, so what is compared is the share of the exact field that is
still to be learned, over all directions and over the lowest quarter of them; and the number of
directions that ``underfit`` proves. Run, about four minutes on one core:

    python benchmarks/studies/excess_risk.py [--steps 1500] [--seeds 5]
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from table import Table
from torch import Tensor

import precond_gm as pg
from precond_gm.diagnostics import excess_risk, underfit

DIM, LOG_CONDITION, BATCH, TUNING_SEED = 8, 4, 256, 100
RATES = (3e-3, 1e-2)
VARIANTS = ("identity", "standardize", "whiten")


@dataclass(frozen=True)
class Mixture:
    """Equal mixture of Gaussians; one component is the Gaussian target."""

    means: Tensor
    covariances: Tensor

    def sample(self, rows: int, generator: torch.Generator) -> Tensor:
        roots = torch.linalg.cholesky(self.covariances)
        which = torch.randint(len(self.means), (rows,), generator=generator)
        noise = torch.randn(rows, DIM, generator=generator, dtype=torch.float64)
        return (self.means[which] + torch.einsum("nij,nj->ni", roots[which], noise)).float()

    def mapped(self, flow: pg.PreconditionedFlow) -> Mixture:
        """Return the law of z: the maps compared here are affine."""
        corners = torch.cat((torch.zeros(1, DIM), torch.eye(DIM)))
        image = flow.precondition(corners).double()
        matrix = (image[1:] - image[0]).T
        return Mixture(self.means @ matrix.T + image[0], matrix @ self.covariances @ matrix.T)

    def velocity(self, t: Tensor, z: Tensor, label: Tensor | None = None) -> Tensor:
        """Return the exact velocity of the linear path at one time: theory, section 1."""
        time = float(t[0])
        eye = torch.eye(DIM, dtype=torch.float64)
        sigma = time**2 * self.covariances + (1 - time) ** 2 * eye
        gap = z.double()[:, None] - time * self.means
        solved = torch.linalg.solve(sigma, gap[..., None])[..., 0]
        log = -0.5 * (gap * solved).sum(-1) - 0.5 * torch.logdet(sigma)
        share = log.softmax(-1)[..., None]
        z1 = self.means + time * torch.einsum("kij,nkj->nki", self.covariances, solved)
        return (share * (z1 - (1 - time) * solved)).sum(1)


def target(kind: str) -> Mixture:
    generator = torch.Generator().manual_seed(7)
    count = 1 if kind == "gaussian" else 3
    spectrum = torch.logspace(-LOG_CONDITION / 2, LOG_CONDITION / 2, DIM, dtype=torch.float64)
    bases = [
        torch.linalg.qr(torch.randn(DIM, DIM, generator=generator, dtype=torch.float64)).Q
        for _ in range(count)
    ]
    means = 10 * torch.randn(count, DIM, generator=generator, dtype=torch.float64)
    return Mixture(
        means * (count > 1), torch.stack([b @ torch.diag(spectrum) @ b.T for b in bases])
    )


def train(
    law: Mixture, variant: str, rate: float, steps: int, seed: int, look: Callable[..., None]
) -> None:
    """Train a small network with Adam and a cosine, and look at it on the way."""
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    flow = pg.wrap(pg.models.MLP(DIM, width=64, depth=2), preconditioner=variant)
    x = law.sample(20_000, generator)
    flow.fit_preconditioner(x, generator=generator)
    z = flow.precondition(x)
    optimiser = torch.optim.Adam(flow.parameters(), lr=rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for step in range(1, steps + 1):
        rows = z[torch.randint(len(z), (BATCH,), generator=generator)]
        optimiser.zero_grad()
        flow.loss(rows, preconditioned=True, generator=generator).total.backward()
        optimiser.step()
        schedule.step()
        if step in looks(steps):
            look(flow, step)


def looks(steps: int) -> set[int]:
    return {max(1, round(steps * share)) for share in (0.01, 0.03, 0.1, 0.3, 0.6, 1.0)}


def measure(law: Mixture, flow: pg.PreconditionedFlow) -> dict[str, float]:
    fresh = law.sample(4_000, torch.Generator().manual_seed(12345))
    report = excess_risk(flow, fresh, exact=law.mapped(flow).velocity, times=11)
    proved = underfit(flow, fresh, times=11)
    return report.as_metrics() | proved.as_metrics()


def tuned(law: Mixture, variant: str, steps: int) -> float:
    """Return the rate that leaves least to be learned on the tuning seed."""
    found = {}
    for rate in RATES:
        last: dict[str, float] = {}

        def keep(flow: pg.PreconditionedFlow, step: int, into: dict[str, float] = last) -> None:
            if step == steps:
                into.update(measure(law, flow))

        train(law, variant, rate, steps, TUNING_SEED, keep)
        found[rate] = last.get("excess/left", math.inf)
    return min(found, key=lambda rate: found[rate])


def main(steps: int, seeds: int) -> None:
    table = Table("excess_risk", steps)
    for kind in ("gaussian", "mixture"):
        law = target(kind)
        for variant in VARIANTS:
            case = f"{kind}/{variant}"
            if all(table.has(case, seed) for seed in range(seeds)):
                continue
            rate = tuned(law, variant, steps)
            for seed in range(seeds):
                if table.has(case, seed):
                    continue
                rows: list[tuple[str, float, float]] = [("rate", steps, rate)]

                def look(
                    flow: pg.PreconditionedFlow,
                    step: int,
                    law: Mixture = law,
                    rows: list[tuple[str, float, float]] = rows,
                ) -> None:
                    rows += [(name, step, value) for name, value in measure(law, flow).items()]

                train(law, variant, rate, steps, seed, look)
                table.add(case, seed, rows)
    figure(table, steps)


def figure(table: Table, steps: int) -> None:
    """Draw what is left to learn against steps, and print the last line of each case."""
    from precond_gm.plotting.style import colour, finish, new_figure

    figure, axes = new_figure(2, 2, (10, 7))
    for row, kind in enumerate(("gaussian", "mixture")):
        for column, metric in enumerate(("excess/left", "excess/left_low")):
            ax = axes[row, column]
            for index, variant in enumerate(VARIANTS):
                found = [r for r in table.rows if r["case"] == f"{kind}/{variant}"]
                found = [r for r in found if r["metric"] == metric]
                at = sorted({float(r["at"]) for r in found})
                middle = [_middle(found, step) for step in at]
                ax.fill_between(at, *_ends(found, at), color=colour(index), alpha=0.2)
                ax.plot(at, middle, ".-", color=colour(index), label=variant)
                print(f"{kind:<9} {variant:<12} {metric:<16} {middle[-1]:.3g}")
            ax.set_xscale("log")
            ax.set_yscale("log")
            where = "all directions" if column == 0 else "lowest quarter of the directions"
            finish(ax, f"{kind}: {where}", "step", "share still to be learned", legend=True)
    figure.savefig(Path(table.path).with_suffix(".png"))


def _middle(rows: list[dict[str, str]], step: float) -> float:
    return float(torch.tensor([float(r["value"]) for r in rows if float(r["at"]) == step]).median())


def _ends(rows: list[dict[str, str]], at: list[float]) -> tuple[list[float], list[float]]:
    values = [[float(r["value"]) for r in rows if float(r["at"]) == step] for step in at]
    return [min(v) for v in values], [max(v) for v in values]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=1_500)
    parser.add_argument("--seeds", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    main(options.steps, options.seeds)
