"""Metrics wait in memory and are sent in batches; when the store is gone they wait in a file."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

__all__ = ["MetricBuffer", "read_spool"]

_BATCH = 1000  # a server's documented limit for one call
_SECONDS = 10.0

Row = tuple[str, float, int, int]
"""Key, value, milliseconds since 1970, step."""


class MetricBuffer:
    """Collect metrics and hand them to ``send`` in batches.

    Args:
        send: Writes a list of rows to the store; raises when it cannot.
        spool: File that receives what could not be sent, one JSON list a line; None drops it.
        on_failure: Called once, with the error, when sending fails first.
    """

    def __init__(
        self,
        send: Callable[[list[Row]], None],
        spool: Path | None,
        on_failure: Callable[[Exception], None],
    ) -> None:
        self._send = send
        self._spool = spool
        self._on_failure = on_failure
        self._rows: list[Row] = []
        self._last = time.monotonic()
        self.is_broken = False

    def add(self, metrics: Mapping[str, float], step: int) -> None:
        """Keep metrics; send when a batch is full or some seconds have passed."""
        now = int(time.time() * 1000)
        self._rows += [(key, float(value), now, step) for key, value in metrics.items()]
        if len(self._rows) >= _BATCH or time.monotonic() - self._last > _SECONDS:
            self.flush()

    def flush(self) -> None:
        """Send everything that waits; after a failure, write it to the spool instead."""
        self._last = time.monotonic()
        rows, self._rows = self._rows, []
        while rows:
            batch, rows = rows[:_BATCH], rows[_BATCH:]
            if not self.is_broken:
                try:
                    self._send(batch)
                    continue
                except Exception as error:  # training goes on whatever the store does
                    self.is_broken = True
                    self._on_failure(error)
            self._keep(batch)

    def _keep(self, batch: list[Row]) -> None:
        if self._spool is not None:
            self._spool.parent.mkdir(parents=True, exist_ok=True)
            with self._spool.open("a", encoding="utf-8") as file:
                file.writelines(json.dumps(row) + "\n" for row in batch)


def read_spool(path: Path) -> list[Row]:
    """Read rows that a buffer kept; a line that a kill cut short is left out."""
    rows: list[Any] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            rows.append(tuple(json.loads(line)))
        except json.JSONDecodeError:
            break
    return rows
