"""What a coupling that ignores labels does to conditional samples.

Three couplings, one network, one budget: plain transport between the whole batch and its noise,
transport within labels (``ot``), and transport with a label cost. A label whose noise was chosen
for it in training starts sampling from noise that it never saw.

The judge of a label is the nearest of 8,000 rows that no network was trained on; the row ``data``
of the table puts training rows in the place of samples, which shows the judge's own mistakes.

    python benchmarks/studies/label_skew.py --data 8gaussians --steps 1500 --seeds 3
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from cells import interval
from scipy.optimize import linear_sum_assignment
from torch import Tensor

import precond_gm as pg
from precond_gm.diagnostics.coupling import coupling as measure
from precond_gm.models import MLP
from precond_gm.plotting.style import GREY, colour, finish, new_figure

RESULTS = Path(__file__).resolve().parents[1] / "results"
COUPLINGS: dict[str, Any] = {
    "independent": "independent",
    "plain ot": ("ot", {"within_label": False}),
    "ot": "ot",
    "label-cost": "label-cost",
}
PER_LABEL = 128


def gaussians(n: int, seed: int, *, held_out: bool = False) -> tuple[Tensor, Tensor]:
    """Return eight Gaussians on a circle; the label is the Gaussian."""
    draw = torch.Generator().manual_seed(seed + 1000 * held_out)
    label = torch.randint(8, (n,), generator=draw)
    angle = label * math.pi / 4
    centre = 2 * torch.stack([angle.cos(), angle.sin()], 1)
    return centre + 0.2 * torch.randn(n, 2, generator=draw), label


def digits(n: int, seed: int, *, held_out: bool = False) -> tuple[Tensor, Tensor]:
    """Return scikit-learn's digits, dequantised, about unit variance; every other is held out."""
    from sklearn.datasets import load_digits

    draw = torch.Generator().manual_seed(seed + 1000 * held_out)
    source = load_digits()
    image, target = source.data[int(held_out) :: 2], source.target[int(held_out) :: 2]
    pick = torch.randint(len(image), (n,), generator=draw)
    x = torch.from_numpy(image).float()[pick] + torch.rand(n, 64, generator=draw)
    return (x - 5) / 4, torch.from_numpy(target).long()[pick]


def run(data: Any, coupling: Any, seed: int, steps: int, evals: int) -> dict[str, float]:
    """Train one network, sample every label, and judge the samples."""
    x, label = data(8000, seed)
    num_labels, dim = int(label.max()) + 1, x.shape[1]
    torch.manual_seed(seed)
    flow = pg.wrap(
        MLP(dim, num_labels=num_labels, width=128, depth=3),
        coupling=coupling,
        num_labels=num_labels,
        event_shape=(dim,),
    )
    flow.fit_preconditioner(x, label)
    optimiser = torch.optim.Adam(flow.parameters(), lr=2e-3)
    draw = torch.Generator().manual_seed(seed)
    for step in range(steps):
        rows = torch.randint(len(x), (256,), generator=draw)
        loss = flow.loss(x[rows], label[rows], generator=draw).total
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        for group in optimiser.param_groups:
            group["lr"] = 2e-3 * (1 - step / steps)
    asked = torch.arange(num_labels).repeat_interleave(PER_LABEL)
    with torch.no_grad():
        made = flow.sample(asked, steps=evals, solver="euler", generator=draw).x
    return judge(made, asked, data, seed) | batch_measures(x, label, coupling, seed)


def batch_measures(x: Tensor, label: Tensor, coupling: Any, seed: int) -> dict[str, float]:
    """Measure what the coupling does to one batch."""
    noise = torch.randn(256, x.shape[1], generator=torch.Generator().manual_seed(seed))
    report = measure(noise, x[:256], label[:256], coupling)
    return {"worst_skew": report.worst_skew, "cost_saved": report.saving}


def floor(data: Any, seed: int) -> dict[str, float]:
    """Judge training rows as if they were samples."""
    x, label = data(8000, seed)
    rows = torch.cat([torch.nonzero(label == name)[:PER_LABEL, 0] for name in label.unique()])
    return judge(x[rows], label[rows], data, seed)


def judge(made: Tensor, asked: Tensor, data: Any, seed: int) -> dict[str, float]:
    """Judge samples, ``PER_LABEL`` of each label, by rows that were held out."""
    fresh, fresh_label = data(8000, seed, held_out=True)
    return {
        "label_accuracy": accuracy(made, asked, fresh, fresh_label),
        "w2_within_label": within_label_w2(made, asked, fresh, fresh_label),
    }


def accuracy(made: Tensor, asked: Tensor, data: Tensor, label: Tensor) -> float:
    """Return the share of samples whose nearest data row has the label that was asked for."""
    nearest = torch.cdist(made, data).argmin(1)
    return float((label[nearest] == asked).double().mean())


def within_label_w2(made: Tensor, asked: Tensor, data: Tensor, label: Tensor) -> float:
    """Return the root mean over labels of the squared W2 between samples and fresh data."""
    total = []
    for name in asked.unique():
        one, two = made[asked == name], data[label == name][:PER_LABEL]
        cost = (torch.cdist(one, two) ** 2).numpy()
        total.append(cost[linear_sum_assignment(cost)].mean())
    return float(np.sqrt(np.mean(total)))


def plot(table: dict[str, Any], title: str) -> Any:
    """Draw label accuracy and W2 with their intervals; the data's own are dotted."""
    names = [name for name in table if name != "data"]
    figure, axes = new_figure(1, 2, (8.6, 2.9))
    titles = {"label_accuracy": "Label accuracy", "w2_within_label": "W2 within labels"}
    for ax, (key, text) in zip(axes[0], titles.items(), strict=True):
        for index, name in enumerate(names):
            mean, half = table[name][key]
            ax.errorbar(mean, index, xerr=half, fmt="o", capsize=4, color=colour(index))
        ax.axvline(table["data"][key][0], color=GREY, linestyle=":")
        ax.set_yticks(range(len(names)), names)
        ax.set_ylim(len(names) - 0.5, -0.5)
        finish(ax, f"{text}, {title} (dotted: data)", "", "")
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", choices=["8gaussians", "digits"], default="8gaussians")
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--evals", type=int, default=4, help="Euler steps of the sampler")
    args = parser.parse_args()
    torch.set_num_threads(1)
    data = {"8gaussians": gaussians, "digits": digits}[args.data]
    table: dict[str, Any] = {}
    for name, part in {"data": None, **COUPLINGS}.items():
        runs = [
            floor(data, seed) if part is None else run(data, part, seed, args.steps, args.evals)
            for seed in range(args.seeds)
        ]
        table[name] = {key: interval([one[key] for one in runs]) for key in runs[0]}
        shown = "  ".join(f"{key} {m:.4f} +- {h:.4f}" for key, (m, h) in table[name].items())
        print(f"{name:<12} {shown}", file=sys.stderr, flush=True)
    RESULTS.mkdir(exist_ok=True)
    record = {"settings": vars(args), "mean and half width of the 95 % interval": table}
    (RESULTS / f"label_skew_{args.data}.json").write_text(json.dumps(record, indent=2) + "\n")
    plot(table, args.data).savefig(RESULTS / f"label_skew_{args.data}.png")


if __name__ == "__main__":
    main()
