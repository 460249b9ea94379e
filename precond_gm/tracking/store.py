"""The tracking store: where it is, that it can be reached, and that it is set up only once."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlparse

from precond_gm.errors import TrackingError

if TYPE_CHECKING:
    from mlflow import MlflowClient

__all__ = ["DEFAULT_URI", "absolute", "cause", "connect", "default_uri", "unreachable"]

DEFAULT_URI = "sqlite:///mlflow.db"
_TIMEOUT_SECONDS = 5.0
_CALM = {  # stdout is for results; a server that died would hold up each call for four minutes
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
}


def default_uri() -> str:
    """Return MLFLOW_TRACKING_URI, or a SQLite file in the current folder."""
    return os.environ.get("MLFLOW_TRACKING_URI") or DEFAULT_URI


def absolute(uri: str) -> str:
    """Return the address with the path of a SQLite file written out.

    MLflow keeps one store for each address in a process, so ``sqlite:///mlflow.db`` would go on
    meaning the file of the folder where it was first used.

    Example:
        >>> absolute("sqlite:////data/mlflow.db"), absolute("http://localhost:5000")
        ('sqlite:////data/mlflow.db', 'http://localhost:5000')
    """
    prefix, path = "sqlite:///", uri.removeprefix("sqlite:///")
    return f"{prefix}{Path(path).absolute()}" if path not in (uri, "", ":memory:") else uri


def connect(uri: str) -> MlflowClient:
    """Return a client of a store that answers and whose tables exist.

    A fresh SQLite store that several processes open at once ends in half-made tables, so the
    first contact is made under a lock of our own.

    Raises:
        TrackingError: The server does not answer, or the store cannot be opened.
    """
    if urlparse(uri).scheme in ("http", "https"):
        _knock(uri)
    for name, value in _CALM.items():
        os.environ.setdefault(name, value)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.WARNING)
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    try:
        with _alone(uri):
            client = MlflowClient(tracking_uri=absolute(uri))
            client.search_experiments(max_results=1)
    except (MlflowException, OSError) as error:
        raise TrackingError(unreachable(uri, error)) from error
    return client


def unreachable(uri: str, error: Exception | str) -> str:
    """Return the message for a store that cannot be used."""
    first = cause(error)
    remedy = "Start the server, correct --tracking-uri"
    if "database is locked" in first:
        remedy = "Another program writes to it: wait for it, correct --tracking-uri"
    return (
        f"the tracking store {uri} cannot be used: {first}. {remedy}, or leave it out "
        f"to write to {DEFAULT_URI}."
    )


def cause(error: Exception | str) -> str:
    """Return the first line of an error, or its kind where it says nothing."""
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")


def _knock(uri: str) -> None:
    """Ask the server whether it is there: MLflow's own client would retry for minutes."""
    import urllib.error
    import urllib.request

    try:
        with urllib.request.urlopen(f"{uri.rstrip('/')}/health", timeout=_TIMEOUT_SECONDS):
            pass
    except urllib.error.HTTPError:
        return  # something answers; what it says is the client's business
    except (OSError, ValueError) as error:
        raise TrackingError(unreachable(uri, error)) from error


@contextlib.contextmanager
def _alone(uri: str) -> Iterator[None]:
    """Hold a lock file while tables may be made; only SQLite stores need it."""
    if not uri.startswith("sqlite"):
        yield
        return
    try:
        import fcntl
    except ImportError:  # not a POSIX system: no lock, as before
        yield
        return
    key = hashlib.sha256(absolute(uri).encode()).hexdigest()[:16]
    with (Path(tempfile.gettempdir()) / f"precond_gm-{key}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(lock, fcntl.LOCK_UN)
