"""A recipe: everything that decides a training job, in one flat and frozen record.

Recipes are YAML files; ``key=value`` on the command line overrides them. The resolved recipe is
saved with the job, so a job can be repeated from its own folder.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal

from precond_gm.training.variants import Variant

__all__ = ["Recipe"]


@dataclass(frozen=True)
class Recipe:
    """Settings of a training job.

    Attributes:
        name: Name of the job and of its MLflow experiment.
        data: File, folder, or name of a bundled set.
        label: Which column, key or file holds the classes; ``auto`` or ``none``.
        image_size: Side of the square that images are resized to.
        colour: Three channels (True), grey (False), or as the images are.
        subset: Of an IDX folder: ``train``, ``t10k`` or ``both``.
        dequantise: Add uniform noise to integers; None does it for integer data.
        scale: ``auto``, ``unit``, ``features``, ``global`` or ``none``.
        fractions: Shares of train, validation and test.
        split_seed: Seed of the split and of dequantisation; the same for all variants and seeds.
        stream: Keep the rows in memory-mapped files, for data larger than memory.
        variants: What is compared.
        seeds: Number of repetitions of each variant, numbered from 0.
        coupling, path, prediction, loss_space, divergence, weight, time_law, clamp: Arguments of
            ``wrap`` for variants that do not set them.
        ot_batch: Rows that are paired with noise at once, ahead of time, over all processes; a
            multiple of ``batch_size``. 0 pairs each batch within its own step.
        workers: Loader processes that pair the next batches while a step runs; 0 pairs in this one.
        gather: Whether pairs are made over the rows of all processes, not of each.
        fit_steps: Bound on the optimiser steps that fit a preconditioner.
        model: Name of a network; ``auto`` is ``unet`` for images of 16 pixels and more, else
            ``mlp``.
        model_options: Options of the network.
        max_steps: Optimiser steps of every run.
        batch_size: Rows of one step, over all processes.
        lr: Largest learning rate.
        warmup_steps: Steps over which the rate rises linearly.
        schedule: ``cosine`` (falls to zero at the last step) or ``constant``.
        weight_decay: Of AdamW.
        clip: Largest norm of the gradient; 0 for none.
        ema_decay: Of the exponential moving average of the weights that is evaluated.
        accumulate: Parts that each batch is computed in.
        precision: ``float32`` or ``bfloat16`` (mixed; CUDA).
        compile: Whether the network is compiled.
        validate_every: Steps between validations; 0 for none.
        patience: Validations without improvement before a run ends early; 0 never ends early.
        checkpoint_every: Steps between checkpoints.
        log_every: Steps between logged losses.
        observe_every: Steps between looks at what is under-fitted, direction by direction (of rows
            of at most 1,024 features); 0 for none.
        match: ``none``; ``parameters`` or ``time`` gives every variant the parameters, or the
            wall time, of the most expensive preconditioner.
        num_samples: Rows generated for the evaluation.
        sample_steps: Numbers of solver steps at which samples are judged.
        latent: Features of an autoencoder that is trained first, and whose code the flow is
            trained in; 0 for none.
        register: Name in the model registry; empty for none.
    """

    name: str = "digits"
    data: str = "digits"
    label: str = "auto"
    image_size: int | None = None
    colour: bool | None = None
    subset: Literal["train", "t10k", "both"] = "both"
    dequantise: bool | None = None
    scale: Literal["auto", "none", "unit", "global", "features"] = "auto"
    fractions: tuple[float, ...] = (0.7, 0.1, 0.2)
    split_seed: int = 0
    stream: bool = False
    variants: tuple[Variant, ...] = (
        Variant("identity", {"preconditioner": "identity"}),
        Variant("whiten", {"preconditioner": "whiten"}),
    )
    seeds: int = 2
    coupling: Any = "independent"
    path: Any = "linear"
    prediction: str | None = None
    loss_space: str | None = None
    divergence: Any = "squared"
    weight: Any = "constant"
    time_law: Any = "uniform"
    clamp: float = 0.0
    ot_batch: int = 0
    workers: int = 0
    gather: bool = False
    fit_steps: int | None = None
    model: str = "auto"
    model_options: dict[str, Any] = dataclasses.field(default_factory=dict)
    max_steps: int = 2000
    batch_size: int = 256
    lr: float = 1e-3
    warmup_steps: int = 100
    schedule: Literal["cosine", "constant"] = "cosine"
    weight_decay: float = 0.0
    clip: float = 1.0
    ema_decay: float = 0.995
    accumulate: int = 1
    precision: Literal["float32", "bfloat16"] = "float32"
    compile: bool = False
    validate_every: int = 250
    patience: int = 0
    checkpoint_every: int = 500
    log_every: int = 50
    observe_every: int = 500
    match: Literal["none", "parameters", "time"] = "none"
    num_samples: int = 2000
    sample_steps: tuple[int, ...] = (5, 10, 50)
    latent: int = 0
    register: str = ""

    @property
    def pairs_ahead(self) -> bool:
        """Whether noise and data are paired ahead of time."""
        return self.ot_batch > 0 or self.workers > 0

    def wrap_settings(self, variant: Variant) -> dict[str, Any]:
        """Return the arguments of ``wrap`` for a variant: its own parts over the recipe's."""
        shared = (
            "coupling",
            "path",
            "prediction",
            "loss_space",
            "divergence",
            "weight",
            "time_law",
            "clamp",
        )
        return {**{key: getattr(self, key) for key in shared}, **variant.parts}

    def to_params(self) -> dict[str, Any]:
        """Return the settings that all runs of a job share, for MLflow."""
        return {key: value for key, value in self.to_plain().items() if key != "variants"}

    def to_plain(self) -> dict[str, Any]:
        """Return values that YAML can hold and ``recipe_of`` reads back to the same recipe."""
        plain = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        plain["variants"] = [variant.to_plain() for variant in self.variants]
        return {k: list(v) if isinstance(v, tuple) else v for k, v in plain.items()}
