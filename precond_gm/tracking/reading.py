"""Read back what was tracked: the runs of a job, their artifacts and models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from precond_gm.errors import TrackingError
from precond_gm.tracking.store import absolute, connect, default_uri

if TYPE_CHECKING:
    from mlflow import MlflowClient

__all__ = ["JobRuns", "TrackedRun", "download", "download_model", "find_job"]

_KIND, _PARENT = "precond_gm.kind", "mlflow.parentRunId"


@dataclass(frozen=True)
class TrackedRun:
    """One variant with one seed, as MLflow has it.

    Attributes:
        run_id: Of the run.
        variant: Name of the variant.
        seed: Of the run.
        metrics: Last value of every metric.
    """

    run_id: str
    variant: str
    seed: int
    metrics: Mapping[str, float]


@dataclass(frozen=True)
class JobRuns:
    """A job: the parent run and its finished children.

    Attributes:
        experiment: Name of the experiment.
        run_id, run_name: Of the parent.
        runs: In the order they were started.
        others: Names of other jobs of the experiment, newest first.
        uri: Of the store.
    """

    experiment: str
    run_id: str
    run_name: str
    runs: tuple[TrackedRun, ...]
    others: tuple[str, ...]
    uri: str


def find_job(name: str, tracking_uri: str | None = None) -> JobRuns:
    """Return a job by experiment (the newest), run name, or id of the parent or of a child.

    Raises:
        TrackingError: Nothing of that name; what there is is listed.
    """
    uri = tracking_uri or default_uri()
    client = connect(uri)
    experiment = client.get_experiment_by_name(name)
    if experiment is not None:
        parents = _parents(client, [experiment.experiment_id])
        if not parents:
            raise TrackingError(f"the experiment {name!r} has no job of 'precond-gm train' in it.")
        return _job(client, parents[0], parents, uri)
    experiments = [e.experiment_id for e in client.search_experiments()]
    parents = _parents(client, experiments)
    parent = next((p for p in parents if name in (p.info.run_id, p.info.run_name)), None)
    if parent is None:
        parent = _parent_of(client, name, parents)
    if parent is None:
        names = sorted({e.name for e in client.search_experiments()} - {"Default"})
        raise TrackingError(
            f"the store {uri} has no experiment, job or run {name!r}. Experiments: "
            f"{', '.join(names) or 'none'}."
        )
    same = [p for p in parents if p.info.experiment_id == parent.info.experiment_id]
    return _job(client, parent, same, uri)


def download(run_id: str, artifact: str, folder: Path, uri: str) -> Path:
    """Download an artifact of a run and return its path.

    Raises:
        TrackingError: The run has no such artifact.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        return Path(connect(uri).download_artifacts(run_id, artifact, str(folder)))
    except Exception as error:
        raise TrackingError(
            f"the run {run_id} has no artifact {artifact}: {error}. Has the job finished?"
        ) from error


def download_model(run_id: str, tracking_uri: str | None = None) -> Path:
    """Download the flow that a run logged; the folder holds ``flow.pt`` and ``units.pt``.

    Raises:
        TrackingError: No such run, or it has logged no flow.
    """
    uri = tracking_uri or default_uri()
    client = connect(uri)
    import mlflow
    from mlflow.exceptions import MlflowException

    try:
        run: Any = client.get_run(run_id)
    except MlflowException as error:
        raise TrackingError(f"the store {uri} has no run {run_id!r}.") from error
    models = run.outputs.model_outputs if run.outputs is not None else []
    if not models:
        raise TrackingError(
            f"the run {run_id} ({run.info.run_name}) has logged no flow. Give a run of one "
            f"variant and seed, after it has finished."
        )
    address = f"models:/{models[-1].model_id}"
    local = mlflow.artifacts.download_artifacts(address, tracking_uri=absolute(uri))
    return Path(local) / "artifacts"


def _parents(client: MlflowClient, experiments: list[str]) -> list[Any]:
    found = client.search_runs(
        experiments, f"tags.`{_KIND}` = 'comparison'", order_by=["attributes.start_time DESC"]
    )
    return list(found)


def _parent_of(client: MlflowClient, run_id: str, parents: list[Any]) -> Any:
    from mlflow.exceptions import MlflowException

    try:
        identity = client.get_run(run_id).data.tags.get(_PARENT)
    except MlflowException:
        return None
    return next((p for p in parents if p.info.run_id == identity), None)


def _job(client: MlflowClient, parent: Any, parents: list[Any], uri: str) -> JobRuns:
    children = client.search_runs(
        [parent.info.experiment_id],
        f"tags.`{_PARENT}` = '{parent.info.run_id}' and attributes.status = 'FINISHED'",
        order_by=["attributes.start_time ASC"],
    )
    runs = tuple(
        TrackedRun(
            run.info.run_id,
            run.data.params["variant"],
            int(run.data.params["seed"]),
            dict(run.data.metrics),
        )
        for run in children
        if "variant" in run.data.params
    )
    if not runs:
        raise TrackingError(
            f"the job {parent.info.run_name} ({parent.info.run_id}) has no finished run yet."
        )
    others = tuple(p.info.run_name for p in parents if p.info.run_id != parent.info.run_id)
    experiment = client.get_experiment(parent.info.experiment_id).name
    return JobRuns(experiment, parent.info.run_id, parent.info.run_name, runs, others, uri)
