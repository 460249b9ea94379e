"""Figures and last lines of the excess-risk study."""

from __future__ import annotations

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
            ax.set_ylim(1e-3, 2)
            finish(ax, f"{kind}, {variant}: share to learn", "step", "")
    axes[0, -1].legend(title="direction,\nascending", fontsize=7, loc="lower left")
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
