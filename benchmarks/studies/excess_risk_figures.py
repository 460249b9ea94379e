"""Figures, last lines and conclusions of the excess-risk study."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from table import Table

METRICS = {
    "left": "share to learn, all directions",
    "left_low": "share to learn, lowest quarter",
    "variance_low": "|ln variance ratio| of samples, lowest quarter",
}


def draw(table: Table, kinds: Sequence[str], variants: Sequence[str], out: Path) -> None:
    """Draw what is left over steps: means with 95 % intervals, then one curve per direction."""
    from precond_gm.plotting.style import colour, finish, new_figure

    out.mkdir(parents=True, exist_ok=True)
    figure, axes = new_figure(len(kinds), len(METRICS), (14, 7))
    for row, kind in enumerate(kinds):
        for column, (metric, title) in enumerate(METRICS.items()):
            ax = axes[row, column]
            for index, variant in enumerate(variants):
                at, (middle, low, high) = table.band(f"{kind}/{variant}", metric)
                ax.fill_between(at, low, high, color=colour(index), alpha=0.2)
                ax.plot(at, middle, ".-", color=colour(index), label=variant)
            ax.axvline(table.steps / 2, color="grey", linestyle=":", linewidth=1)
            ax.set_xscale("log")
            ax.set_yscale("log")
            finish(ax, f"{kind}: {title}", "step (dotted: the rate starts to fall)", "")
            ax.legend()
    figure.savefig(out / "excess_risk.png")
    figure, axes = new_figure(len(kinds), len(variants), (14, 7))
    for row, kind in enumerate(kinds):
        for column, variant in enumerate(variants):
            ax = axes[row, column]
            names = sorted({r["metric"] for r in table.rows if r["metric"].startswith("left/")})
            for index, name in enumerate(names):
                at, (middle, _, _) = table.band(f"{kind}/{variant}", name)
                shade = 0.15 + 0.8 * index / max(1, len(names) - 1)
                ax.plot(at, middle, ".-", color=(1 - shade, 0.2, shade), label=f"{index + 1}")
            ax.axvline(table.steps / 2, color="grey", linestyle=":", linewidth=1)
            ax.set_xscale("log")
            ax.set_yscale("log")
            ax.set_ylim(2e-4, 2)
            finish(ax, f"{kind}, {variant}: share to learn", "step", "")
    axes[0, 0].legend(title="direction, ascending", fontsize=6, title_fontsize=7, ncols=2)
    figure.savefig(out / "excess_risk_directions.png")


def print_last(table: Table, kinds: Sequence[str], variants: Sequence[str]) -> None:
    """Print the ends, mean and 95 % half width over seeds, and how flat the constant rate was."""
    metrics = (*METRICS, "variance", "directions", "cells")
    print(f"{'':<22}{'rate':>7}{'plateau':>9}", *(f"{metric:>18}" for metric in metrics))
    for kind in kinds:
        for variant in variants:
            case = f"{kind}/{variant}"
            at, values = table.series(case, "left_low")
            mean = dict(zip(at, (value for value, _ in values), strict=True))
            # 1 where the second quarter of the training brought nothing more.
            flat = mean[table.steps / 2] / mean[table.steps / 4]
            ends = [table.series(case, metric)[1][-1] for metric in metrics]
            rate = table.series(case, "rate")[1][0][0]
            cells = (f"{middle:.3g} +- {half:.2g}" for middle, half in ends)
            print(f"{case:<22}{rate:>7.2g}{flat:>9.2f}", *(f"{cell:>18}" for cell in cells))


def conclude(table: Table) -> None:
    """Print what holds and what does not, with its numbers, and keep it beside the table."""

    def at(case: str, metric: str, step: float) -> str:
        steps, values = table.series(case, metric)
        mean, half = values[steps.index(step)]
        return f"{mean:.2g} +- {half:.1g}"

    def three(kind: str, metric: str, step: float) -> str:
        names = ("identity", "standardize", "whiten")
        return ", ".join(f"{name} {at(f'{kind}/{name}', metric, step)}" for name in names)

    def span(variant: str) -> str:
        names = sorted({r["metric"] for r in table.rows if r["metric"].startswith("left/")})
        steps, _ = table.series(f"gaussian/{variant}", names[0])
        place = steps.index(half)
        shares = [table.series(f"gaussian/{variant}", n)[1][place][0] for n in names]
        return f"{min(shares):.2g} to {max(shares):.2g}"

    half, end = table.steps / 2, float(table.steps)
    conclusions = [
        f"Holds, Gaussian: on the plateau of a constant rate (step {half:.0f}) scaling leaves less "
        f"of the exact field: {three('gaussian', 'left', half)}. Shares of the directions lie "
        f"between {span('identity')} with identity and {span('whiten')} with whiten: whitening "
        f"makes all directions alike.",
        f"Holds, Gaussian: |ln variance ratio| of samples in the lowest quarter, on the plateau "
        f"{three('gaussian', 'variance_low', half)}; at the end "
        f"{three('gaussian', 'variance_low', end)}. Directions proved under-fitted at the end: "
        f"{three('gaussian', 'directions', end)}.",
        f"Does not hold, Gaussian: once the rate has fallen to zero, identity has caught up in the "
        f"lowest quarter: {three('gaussian', 'left_low', end)}. Adam rescales too; what stays is "
        f"the plateau before, and the samples.",
        f"Does not hold, Gaussian: standardize, which cannot turn rotated axes, leaves the least "
        f"of its own field, {three('gaussian', 'left', end)}, and yet the worst samples and the "
        f"most proved directions.",
        f"Does not hold, mixture: {three('mixture', 'left', end)} of the field is left. The pooled "
        f"covariance is that of the means, so whitening it does not undo the conditioning within "
        f"components, which sets the tail. Samples gain little in the lowest quarter of each: "
        f"{three('mixture', 'variance_low', end)}.",
    ]
    target = table.path.with_suffix(".json")
    target.write_text(json.dumps({"conclusions": conclusions}, indent=1) + "\n")
    print("\n".join(conclusions))
