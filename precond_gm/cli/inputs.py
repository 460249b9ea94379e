"""What several commands read: data, and flows from a folder, a file, or MLflow."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from precond_gm.errors import ConfigError, DataError, InvalidInputError, TrackingError

if TYPE_CHECKING:
    from precond_gm.data import Prepared
    from precond_gm.flow import PreconditionedFlow
    from precond_gm.models.units import Units
    from precond_gm.registry import Registry
    from precond_gm.training.recipe import Recipe

__all__ = ["Source", "data_of_run", "find_flow", "made", "variant_parts"]

Part = TypeVar("Part")


@dataclass(frozen=True)
class Source:
    """Data as a command was told of them.

    Attributes:
        path: File, folder, or a bundled set's name.
        label: Label column, key or file.
        image_size: Side that images get.
        scale: How the rows are scaled.
        dequantise: Whether integers get uniform noise; None where they do by default.
    """

    path: str
    label: str = "auto"
    image_size: int | None = None
    scale: str = "auto"
    dequantise: bool | None = None

    def read(self) -> Prepared:
        """Read, split and scale the data as ``train`` would."""
        from precond_gm.data import ReadOptions, ScaleKind, prepare, read

        raw = read(self.path, ReadOptions(label=self.label, image_size=self.image_size))
        return prepare(raw, dequantise=self.dequantise, scale=ScaleKind(self.scale))


def variant_parts(text: str) -> dict[str, Any]:
    """Read ``preconditioner[/coupling[/path]]``."""
    from precond_gm.training.variants import Variant

    return dict(Variant.read(text).parts)


def made(registry: Registry[Part], part: Any) -> Part:
    """Make a part that the command line asked for: what is wrong with it is a wrong argument.

    Raises:
        ConfigError: Its options do not hold.
    """
    try:
        return registry.resolve(part)
    except InvalidInputError as error:
        raise ConfigError(str(error)) from error


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


def data_of_run(run: str, data: str | None, tracking_uri: str | None) -> tuple[Prepared, Recipe]:
    """Read the data that a run was trained on, split and scaled as they were then.

    Args:
        run: Folder of a run, its ``flow.pt``, or an MLflow run.
        data: Where the data are now, if not where the recipe says.
        tracking_uri: MLflow store.

    Raises:
        DataError: The recipe of the run, or its data, cannot be found.
    """
    import dataclasses

    import torch

    from precond_gm.training.job import load_data
    from precond_gm.training.latent import encoded
    from precond_gm.training.reading import find_recipe, recipe_of

    folder = _job_folder(run, tracking_uri)
    recipe = recipe_of(find_recipe(folder / "recipe.yaml"))
    if data is not None:
        recipe = dataclasses.replace(recipe, data=data)
    prepared = load_data(recipe)
    if not recipe.latent:
        return prepared, recipe
    if not (folder / "autoencoder.pt").exists():
        raise DataError(f"{run} is latent: give the run's folder, which holds its autoencoder.")
    return encoded(prepared, recipe, folder, torch.device("cpu"))[0], recipe


def _job_folder(run: str, tracking_uri: str | None) -> Path:
    """Return the folder that holds the recipe of a run: its job's, or a fresh one."""
    import tempfile

    path = Path(run)
    if path.exists():
        found = next((p for p in path.resolve().parents if (p / "recipe.yaml").exists()), None)
        if found is None:
            raise DataError(
                f"there is no recipe.yaml above {run}: its data are not known. Give the folder of "
                f"a run inside its job's folder."
            )
        return found
    from precond_gm.tracking.reading import download, find_job

    try:
        job = find_job(run, tracking_uri)
        return download(job.run_id, "recipe.yaml", Path(tempfile.mkdtemp()), job.uri).parent
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
