"""An MLflow run as a context manager, without MLflow's global state."""

from __future__ import annotations

import json
import math
import re
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from precond_gm.errors import TrackingError
from precond_gm.tracking.buffer import MetricBuffer, Row
from precond_gm.tracking.link import Link
from precond_gm.tracking.store import default_uri, unreachable
from precond_gm.values import AbstractReport

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from mlflow import MlflowClient

    from precond_gm.flow import PreconditionedFlow
    from precond_gm.models.units import Units

__all__ = ["MlflowTracker"]

_PARENT = "mlflow.parentRunId"
_BATCH = 1000
_LIMIT = 1e300  # SQLite turns infinity into 1.797e308, silently


class MlflowTracker:
    """One run of an experiment; ``child`` opens a nested one.

    The store must answer when the run starts. If it goes away later, training is not disturbed:
    metrics are kept in ``spool`` and a warning says so, once. A nested run that starts after that
    has no ``run_id``, and keeps everything in its spool.

    Args:
        experiment: Name of the experiment; made if it is not there.
        tracking_uri: Store; by default MLFLOW_TRACKING_URI, or ``sqlite:///mlflow.db``.
        run_name: Name of the run.
        run_id: A run to go on with, after a resume.
        spool: File for metrics that cannot be sent.
        tags: Of the run.
        advice: What a warning tells the user to do when the store has gone.

    Raises:
        TrackingError: The store cannot be reached, at the start.

    Example:
        >>> import os, tempfile
        >>> os.chdir(tempfile.mkdtemp())
        >>> with MlflowTracker("example") as tracker:
        ...     tracker.log_params({"width": 256})
        ...     tracker.log_metrics({"loss": 0.5}, step=1)
    """

    def __init__(
        self,
        experiment: str,
        *,
        tracking_uri: str | None = None,
        run_name: str | None = None,
        run_id: str | None = None,
        spool: Path | None = None,
        tags: Mapping[str, str] | None = None,
        advice: str = "",
        _parent: MlflowTracker | None = None,
    ) -> None:
        self.experiment = experiment
        self.tracking_uri = tracking_uri or default_uri()
        self.run_name = run_name
        self._asked_id = run_id
        self._tags = dict(tags or {})
        kept = "Metrics are not kept." if spool is None else f"Metrics are kept in {spool}."
        self._is_nested = _parent is not None
        self._link: Link = (
            Link(self.tracking_uri, advice or kept) if _parent is None else _parent._link
        )
        self._run_id: str | None = None
        self._buffer = MetricBuffer(self._sent, spool)

    @property
    def run_id(self) -> str:
        """Identifier of the run; known once the run was entered and the store took it."""
        if self._run_id is None:
            raise TrackingError("the run has not started: use the tracker in a with statement.")
        return self._run_id

    @property
    def is_known(self) -> bool:
        """Whether the store knows the run, so that it has a ``run_id``."""
        return self._run_id is not None

    @property
    def is_lost(self) -> bool:
        """Whether the store has gone away, so that it lacks something of the run."""
        return self._link.is_broken

    @property
    def client(self) -> MlflowClient:
        """The client of the store."""
        return self._link.client

    def __enter__(self) -> MlflowTracker:
        """Start the run, or go on with ``run_id`` where the store knows it."""
        if self._is_nested:
            self._link.attempt(self._start)
            return self
        try:
            self._start()
        except TrackingError:
            raise
        except Exception as error:
            raise TrackingError(unreachable(self.tracking_uri, error)) from error
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Send what waits and end the run as finished, failed or killed."""
        self._buffer.flush()
        status = "FINISHED" if kind is None else "FAILED"
        if kind is not None and issubclass(kind, KeyboardInterrupt):
            status = "KILLED"
        if not self._link.attempt(lambda: self.client.set_terminated(self.run_id, status)):
            self._buffer.keep([])

    def child(
        self, run_name: str, *, run_id: str | None = None, spool: Path | None = None
    ) -> MlflowTracker:
        """Return a tracker of a run that is nested in this one."""
        return MlflowTracker(
            self.experiment,
            tracking_uri=self.tracking_uri,
            run_name=run_name,
            run_id=run_id,
            spool=spool,
            tags={_PARENT: self.run_id},
            _parent=self,
        )

    def log_params(self, params: Mapping[str, Any]) -> None:
        """Log parameters, once; those of a resumed run are left as they are."""
        from mlflow.entities import Param

        def send() -> None:
            known = self.client.get_run(self.run_id).data.params
            rows = [Param(k, _short(v)) for k, v in params.items() if k not in known]
            for start in range(0, len(rows), 100):
                self.client.log_batch(self.run_id, params=rows[start : start + 100])

        self._link.attempt(send)

    def log_metrics(self, metrics: Mapping[str, float], step: int = 0) -> None:
        """Log numbers at a step; they are sent in batches."""
        self._buffer.add({metric_name(key): value for key, value in metrics.items()}, step)

    def log_report(self, report: AbstractReport, name: str | None = None, step: int = 0) -> None:
        """Log a report: its metrics, itself as JSON, and its picture.

        A series of the report has its own axis as MLflow's step, so that its charts show it.
        """
        title = name or type(report).__name__
        self.log_metrics(report.as_metrics(), step)
        for place, metrics in report.series().items():
            self.log_metrics(metrics, place)
        self.log_text(json.dumps(report.to_dict(), indent=1), f"reports/{title}.json")
        self.log_figure(report.plot(), f"reports/{title}.png")

    def log_figure(self, figure: Figure, artifact: str) -> None:
        """Log a matplotlib figure under its artifact path."""
        self._log_file(artifact, lambda path: figure.savefig(path, dpi=110))

    def log_text(self, text: str, artifact: str) -> None:
        """Log a text under its artifact path."""
        self._log_file(artifact, lambda path: path.write_text(text, encoding="utf-8"))

    def log_file(self, path: Path, folder: str = "") -> None:
        """Log a file that exists."""
        self._link.attempt(lambda: self.client.log_artifact(self.run_id, str(path), folder or None))

    def log_model(
        self, flow: PreconditionedFlow, *, units: Units | None = None, registered_name: str = ""
    ) -> str | None:
        """Log the flow as a model that ``mlflow.pyfunc.load_model`` opens; return its address."""
        from precond_gm.tracking.model import log_flow

        found: list[str] = []
        self._link.attempt(
            lambda: found.append(
                log_flow(flow, self.tracking_uri, self.run_id, units, registered_name)
            )
        )
        return found[0] if found else None

    def flush(self) -> None:
        """Send what waits."""
        self._buffer.flush()

    def send_rows(self, rows: Sequence[Row]) -> None:
        """Send rows that a spool kept, with the times they were measured at.

        Raises:
            TrackingError: The store does not take them; nothing is lost.
        """
        try:
            for start in range(0, len(rows), _BATCH):
                self._send(rows[start : start + _BATCH])
        except Exception as error:
            raise TrackingError(unreachable(self.tracking_uri, error)) from error

    def _start(self) -> None:
        self._run_id = self._continued() or self._created()

    def _continued(self) -> str | None:
        """Open the run that was asked for; None where the store does not know it."""
        from mlflow.exceptions import MlflowException

        if self._asked_id is None:
            return None
        try:
            self.client.update_run(self._asked_id, status="RUNNING")
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return None
            raise
        return self._asked_id

    def _created(self) -> str:
        found = self.client.get_experiment_by_name(self.experiment)
        if found is not None and found.lifecycle_stage == "deleted":
            self.client.restore_experiment(found.experiment_id)
        identity = (
            found.experiment_id
            if found is not None
            else self.client.create_experiment(self.experiment)
        )
        run = self.client.create_run(identity, tags=self._tags, run_name=self.run_name)
        return str(run.info.run_id)

    def _sent(self, rows: list[Row]) -> bool:
        return self._link.attempt(lambda: self._send(rows))

    def _send(self, rows: Sequence[Row]) -> None:
        from mlflow.entities import Metric

        metrics = [Metric(key, _finite(value), stamp, step) for key, value, stamp, step in rows]
        self.client.log_batch(self.run_id, metrics=metrics)

    def _log_file(self, artifact: str, write: Callable[[Path], Any]) -> None:
        folder, _, name = artifact.rpartition("/")
        with tempfile.TemporaryDirectory() as scratch:
            path = Path(scratch) / name
            write(path)
            self.log_file(path, folder)


def metric_name(name: str) -> str:
    """Return a name that MLflow accepts: letters, digits and ``_-./: ``, 250 characters at most.

    Example:
        >>> metric_name("w2 (T=10)")
        'w2 -T-10-'
    """
    return re.sub(r"[^\w\-./: ]", "-", name)[:250]


def _finite(value: float) -> float:
    return max(-_LIMIT, min(_LIMIT, value)) if not math.isnan(value) else value


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return text if len(text) <= 6000 else text[:5997] + "..."
