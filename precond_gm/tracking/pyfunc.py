"""The code of a logged model: MLflow runs this file when the model is loaded."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel

from precond_gm.checkpoint import load, read_state
from precond_gm.models.units import Units


class FlowModel(PythonModel):  # type: ignore[misc]
    """Samples for labels; the input says which, and how many."""

    def load_context(self, context: Any) -> None:
        """Load flow and units; both files hold tensors and plain values only."""
        self.flow = load(context.artifacts["flow"])
        self.units: Units | None = None
        if "units" in context.artifacts:
            state = read_state(context.artifacts["units"], "precond_gm.units")
            self.units = Units.from_dict(state)

    # Without annotations, since MLflow would make a schema of them in place of the signature.
    def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def]
        """Return one sample per label, in the units of the data.

        A flow without labels returns as many samples as the input has rows.
        """
        settings: dict[str, Any] = params or {}
        label = torch.as_tensor(np.asarray(model_input).reshape(-1).astype(np.int64))
        generator = torch.Generator().manual_seed(int(settings.get("seed", 0)))
        wanted: Any = label if self.flow.num_labels is not None else int(label.numel())
        samples = self.flow.sample(
            wanted,
            steps=int(settings.get("steps", 50)),
            solver=settings.get("solver") or None,
            generator=generator,
        )
        x = samples.x if self.units is None else self.units.undo(samples.x)
        return x.numpy()


set_model(FlowModel())
