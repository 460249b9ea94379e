"""An MLflow run as a context manager, without MLflow's global state."""

from __future__ import annotations

import json
import math
import re
import tempfile
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from precond_gm.errors import TrackingError
from precond_gm.tracking.buffer import MetricBuffer, Row
from precond_gm.tracking.store import connect, default_uri, unreachable
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
    metrics are kept in ``spool`` and a warning says how to send them.

    Args:
        experiment: Name of the experiment; made if it is not there.
        tracking_uri: Store; by default MLFLOW_TRACKING_URI, or ``sqlite:///mlflow.db``.
        run_name: Name of the run.
        run_id: A run to go on with, after a resume.
        spool: File for metrics that cannot be sent.
        tags: Of the run.

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
        _client: MlflowClient | None = None,
    ) -> None:
        self.experiment = experiment
        self.tracking_uri = tracking_uri or default_uri()
        self.run_name = run_name
        self._asked_id = run_id
        self._tags = dict(tags or {})
        self._spool = spool
        self._client = _client
        self._run_id: str | None = None
        self._buffer = MetricBuffer(self._send, spool, self._lost)

    @property
    def run_id(self) -> str:
        """Identifier of the run; known once the run was entered."""
        if self._run_id is None:
            raise TrackingError("the run has not started: use the tracker in a with statement.")
        return self._run_id

    @property
    def client(self) -> MlflowClient:
        """The client of the store."""
        if self._client is None:
            self._client = connect(self.tracking_uri)
        return self._client

    def __enter__(self) -> MlflowTracker:
        """Start the run, or go on with ``run_id``."""
        try:
            self._run_id = self._continued() or self._created()
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
        self._try(lambda: self.client.set_terminated(self.run_id, status))

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
            _client=self.client,
        )

    def log_params(self, params: Mapping[str, Any]) -> None:
        """Log parameters, once; those of a resumed run are left as they are."""
        from mlflow.entities import Param

        def send() -> None:
            known = self.client.get_run(self.run_id).data.params
            rows = [Param(k, _short(v)) for k, v in params.items() if k not in known]
            for start in range(0, len(rows), 100):
                self.client.log_batch(self.run_id, params=rows[start : start + 100])

        self._try(send)

    def log_metrics(self, metrics: Mapping[str, float], step: int = 0) -> None:
        """Log numbers at a step; they are sent in batches."""
        self._buffer.add({metric_name(key): value for key, value in metrics.items()}, step)

    def log_report(self, report: AbstractReport, name: str | None = None, step: int = 0) -> None:
        """Log a report: its metrics, itself as JSON, and its picture."""
        title = name or type(report).__name__
        self.log_metrics(report.as_metrics(), step)
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
        self._try(lambda: self.client.log_artifact(self.run_id, str(path), folder or None))

    def log_model(
        self, flow: PreconditionedFlow, *, units: Units | None = None, registered_name: str = ""
    ) -> str | None:
        """Log the flow as a model that ``mlflow.pyfunc.load_model`` opens; return its address."""
        from precond_gm.tracking.model import log_flow

        found: list[str] = []
        self._try(
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
                self._send(list(rows[start : start + _BATCH]))
        except Exception as error:
            raise TrackingError(unreachable(self.tracking_uri, error)) from error

    def _continued(self) -> str | None:
        if self._asked_id is None:
            return None
        run = self.client.get_run(self._asked_id)
        self.client.update_run(run.info.run_id, status="RUNNING")
        return str(run.info.run_id)

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

    def _send(self, rows: list[Row]) -> None:
        from mlflow.entities import Metric

        metrics = [Metric(key, _finite(value), stamp, step) for key, value, stamp, step in rows]
        self.client.log_batch(self.run_id, metrics=metrics)

    def _log_file(self, artifact: str, write: Callable[[Path], Any]) -> None:
        folder, _, name = artifact.rpartition("/")
        with tempfile.TemporaryDirectory() as scratch:
            path = Path(scratch) / name
            write(path)
            self.log_file(path, folder)

    def _try(self, action: Callable[[], Any]) -> None:
        """Do something to the store; a store that has gone away must not end the training."""
        if self._buffer.is_broken:
            return
        try:
            action()
        except Exception as error:
            self._buffer.is_broken = True
            self._lost(error)

    def _lost(self, error: Exception) -> None:
        kept = f" Metrics are kept in {self._spool}." if self._spool else ""
        warnings.warn(
            f"{unreachable(self.tracking_uri, error)}{kept} Training goes on; everything is in "
            f"the job's folder as well, and 'precond-gm report FOLDER --send' logs it later.",
            UserWarning,
            stacklevel=2,
        )


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
