"""A flow as an MLflow model from code: no pickle, and ``predict(labels)`` gives samples."""

from __future__ import annotations

import tempfile
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from precond_gm.errors import CheckpointError
from precond_gm.tracking.store import absolute

if TYPE_CHECKING:
    from precond_gm.flow import PreconditionedFlow
    from precond_gm.models.units import Units

__all__ = ["UNITS_FORMAT", "log_flow"]

UNITS_FORMAT = "precond_gm.units"

_CODE = Path(__file__).with_name("pyfunc.py")


def log_flow(
    flow: PreconditionedFlow, uri: str, run_id: str, units: Units | None, registered_name: str
) -> str:
    """Log a flow to a run and return the model's address, for ``mlflow.pyfunc.load_model``.

    The address is ``models:/...``; where the store is not MLflow's default, set the tracking
    address before loading.

    Args:
        flow: The flow; its network must be one of the package's.
        uri: Tracking store.
        run_id: Of the run.
        units: Back to the units of the file, or None.
        registered_name: Name in the registry; empty for none.

    Raises:
        UnknownNameError: The network is not one of the package's, so it could not be built again.
        CheckpointError: Nor could one of the other parts.
    """
    import mlflow
    import numpy as np
    from mlflow.models import ModelSignature
    from mlflow.types import ParamSchema, ParamSpec, Schema, TensorSpec

    from precond_gm import models
    from precond_gm.checkpoint import describe_parts, save, write_state

    models.REGISTRY.describe(flow.field.model)
    if absent := describe_parts(flow)[1]:
        why = "; ".join(f"{role} ({reason})" for role, reason in absent.items())
        raise CheckpointError(
            f"MLflow could not load this flow again: {why}. Register the part's class, or keep the "
            f"flow with pg.save and give the part to pg.load."
        )
    signature = ModelSignature(
        inputs=Schema([TensorSpec(np.dtype(np.int64), (-1,))]),
        outputs=Schema([TensorSpec(np.dtype(np.float32), (-1, *(flow.event_shape or ())))]),
        params=ParamSchema(
            [
                ParamSpec("steps", "long", 50),
                ParamSpec("seed", "long", 0),
                ParamSpec("solver", "string", ""),
            ]
        ),
    )
    before = mlflow.get_tracking_uri() if mlflow.is_tracking_uri_set() else None
    with tempfile.TemporaryDirectory() as folder:
        artifacts = {"flow": str(Path(folder) / "flow.pt")}
        save(flow, artifacts["flow"])
        if units is not None:
            artifacts["units"] = str(Path(folder) / "units.pt")
            state = {"format": UNITS_FORMAT, "version": 1, **units.to_dict()}
            write_state(state, artifacts["units"])
        mlflow.set_tracking_uri(absolute(uri))
        try:
            with (
                warnings.catch_warnings(),
                mlflow.start_run(run_id=run_id, nested=True, log_system_metrics=False),
            ):
                warnings.simplefilter("ignore")  # it asks for an example; the signature says all
                info = mlflow.pyfunc.log_model(
                    name="flow",
                    python_model=str(_CODE),
                    artifacts=artifacts,
                    signature=signature,
                    pip_requirements=[f"precond_gm=={version('precond_gm')}"],
                    registered_model_name=registered_name or None,
                )
        finally:
            mlflow.set_tracking_uri(before)  # None: it was not set
    return str(info.model_uri)
