"""The link to a store that may go away: tried until it fails, then left alone."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from precond_gm.errors import PrecondError, TrackingError
from precond_gm.tracking.store import cause, connect

if TYPE_CHECKING:
    from mlflow import MlflowClient

__all__ = ["Link"]


class Link:
    """What a run and those nested in it share: one client, and whether the store still answers.

    Args:
        uri: Tracking store.
        advice: What the user can do when the store has gone: said once, with the cause.

    Attributes:
        is_broken: Whether an action has failed; from then on none is tried.
    """

    def __init__(self, uri: str, advice: str) -> None:
        self.uri = uri
        self.advice = advice
        self.is_broken = False
        self._client: MlflowClient | None = None

    @property
    def client(self) -> MlflowClient:
        """The client of the store.

        Raises:
            TrackingError: The store does not answer.
        """
        if self._client is None:
            self._client = connect(self.uri)
        return self._client

    def attempt(self, action: Callable[[], Any]) -> bool:
        """Do something to the store and return whether it was done; a dead store is no error."""
        if self.is_broken:
            return False
        try:
            action()
        except Exception as error:  # training goes on whatever the store does
            if isinstance(error, PrecondError) and not isinstance(error, TrackingError):
                raise  # what was to be stored is wrong, not the store
            self.is_broken = True
            warnings.warn(
                f"the tracking store {self.uri} has gone away: {cause(error)}. Training goes on "
                f"without it. {self.advice}",
                UserWarning,
                stacklevel=2,
            )
        return not self.is_broken
