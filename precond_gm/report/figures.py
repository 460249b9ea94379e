"""The figures of a report, as text that stands inside the page."""

from __future__ import annotations

from precond_gm.plotting.comparison import (
    plot_condition,
    plot_recovery,
    plot_spectra,
    plot_steps,
)
from precond_gm.plotting.features import plot_features
from precond_gm.plotting.samples import plot_rows
from precond_gm.plotting.training import plot_losses
from precond_gm.report.directions import direction_pictures
from precond_gm.report.picture import Picture
from precond_gm.report.tables import Table
from precond_gm.training.results import Comparison

__all__ = ["pictures_of"]


def pictures_of(comparison: Comparison, table: Table) -> list[Picture]:
    """Return the figures of a job, in the order of the page."""
    names = [name for name in table.variants if comparison.of(name)]
    first = {name: comparison.of(name)[0] for name in names}
    labels = list(comparison.data["label_names"])
    wide = first[names[0]].conditioning
    found = [
        Picture(
            "condition",
            "Condition number against t",
            "How unevenly the directions of z_t are scaled, from noise (t = 0) to data (t = 1). "
            "Gradient descent is slow in the small directions, and their errors hardly show in "
            "the loss. One is best. First seed.",
            lambda: plot_condition({n: first[n].conditioning for n in names}, labels),
        ),
        Picture(
            "recovery",
            "Variance recovered, direction by direction",
            "Each point is an eigen-direction of the real data. Below the line the model makes "
            "too little variance there, above it too much. Bars are intervals within a run; all "
            "seeds are drawn. The dotted curve is what the same solver steps would make of a "
            "Gaussian with the exact field: where points lie on it, the solver is the cause and "
            "not the training.",
            lambda: plot_recovery({n: [r.recovery for r in comparison.of(n)] for n in names}),
        ),
        *direction_pictures(comparison, names),
        Picture(
            "samples",
            "Samples beside real rows",
            "Real rows are from the test part"
            + (", as the autoencoder shows them" if comparison.recipe.get("latent") else "")
            + ". Samples: first seed, "
            f"{max(comparison.recipe['sample_steps'])} solver steps"
            + (", one column per label." if labels and comparison.real.ndim == 4 else "."),
            lambda: plot_rows(
                {"real": (comparison.real, comparison.real_label)}
                | {n: (first[n].samples, first[n].sample_label) for n in names},
                labels,
                comparison.data.get("features", {}).get("names", ()),
            ),
        ),
        Picture(
            "steps",
            "Distance by solver steps",
            "Sliced W2 to held-out rows, mean over seeds with 95 % interval. The dashed line is "
            "what real rows themselves reach at this sample size: nothing below it is real.",
            lambda: plot_steps(*_distances(table)),
        ),
        Picture(
            "losses",
            "Losses",
            "Each variant is trained in its own coordinates, so the heights of different panels "
            "must not be compared.",
            lambda: plot_losses(
                {n: [r.train_loss for r in comparison.of(n)] for n in names},
                {n: [r.validation_loss for r in comparison.of(n)] for n in names},
            ),
        ),
    ]
    if len(wide["spectrum"]) > 1:
        found.insert(
            1,
            Picture(
                "spectra",
                "Spectra before and after",
                "Eigenvalues of the covariance of all training rows in the coordinates that the "
                "network is trained in. Flat is good.",
                lambda: plot_spectra({n: first[n].conditioning["spectrum"] for n in names}),
            ),
        )
    features = comparison.data.get("features")
    if features:
        found.insert(
            -2,
            Picture(
                "features",
                "Columns, in their own units",
                "How the values of each column are spread: real rows shaded, samples as lines; "
                "first seed, and the first columns where there are many.",
                lambda: plot_features(
                    {"real": comparison.real} | {n: first[n].samples for n in names}, features
                ),
            ),
        )
    return found


def _distances(
    table: Table,
) -> tuple[dict[str, dict[int, tuple[float, float, float]]], float | None]:
    found: dict[str, dict[int, tuple[float, float, float]]] = {name: {} for name in table.variants}
    floor = None
    for row in table.rows:
        if not row.measure.key.startswith("quality/w2_"):
            continue
        floor = row.floor
        steps = int(row.measure.key.rpartition("_")[2])
        for name, cell in zip(table.variants, row.cells, strict=True):
            if cell.value is not None:
                value = cell.value
                low = value.mean if value.low is None else value.low
                high = value.mean if value.high is None else value.high
                found[name][steps] = (value.mean, low, high)
    return found, floor
