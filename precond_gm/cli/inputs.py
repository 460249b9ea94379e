"""What several commands read: data, and flows from a folder, a file, or MLflow."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from precond_gm.errors import DataError, TrackingError

if TYPE_CHECKING:
    from precond_gm.data import Prepared
    from precond_gm.flow import PreconditionedFlow
    from precond_gm.models.units import Units

__all__ = ["find_flow", "read_data", "variant_parts"]


def read_data(data: str, label: str, image_size: int | None) -> Prepared:
    """Read, split and scale data as ``train`` would."""
    from precond_gm.data import ReadOptions, prepare, read

    return prepare(read(data, ReadOptions(label=label, image_size=image_size)))


def variant_parts(text: str) -> dict[str, Any]:
    """Read ``preconditioner[/coupling[/path]]``."""
    from precond_gm.training.variants import Variant

    return dict(Variant.read(text).parts)


def find_flow(run: str, tracking_uri: str | None) -> tuple[PreconditionedFlow, Units | None]:
    """Load a flow and its units from a run's folder, a ``flow.pt``, or an MLflow run.

    Raises:
        DataError: Neither; or a folder of a job, in which one run has to be chosen.
    """
    path = Path(run)
    if path.is_dir():
        path = path / "flow.pt"
        if not path.exists():
            inside = sorted(str(p.parent) for p in Path(run).glob("**/flow.pt"))
            hint = f" Choose one of: {', '.join(inside)}." if inside else ""
            raise DataError(f"{run} holds no trained flow.{hint}")
    if path.suffix == ".pt" or path.exists():
        return _loaded(path)
    from precond_gm.tracking.reading import download_model

    try:
        return _loaded(download_model(run, tracking_uri) / "flow.pt")
    except TrackingError as error:
        raise DataError(f"{run!r} is neither a folder nor an MLflow run: {error}") from error


def _loaded(path: Path) -> tuple[PreconditionedFlow, Units | None]:
    from precond_gm.checkpoint import load, read_state
    from precond_gm.models.units import Units

    beside = path.with_name("units.pt")
    units = None
    if beside.exists():
        units = Units.from_dict(read_state(beside, "precond_gm.units"))
    return load(path), units
