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
        send: Writes a list of rows to the store; returns whether it could.
        spool: File that receives what could not be sent, one JSON list a line; None drops it.
    """

    def __init__(self, send: Callable[[list[Row]], bool], spool: Path | None) -> None:
        self._send = send
        self._spool = spool
        self._rows: list[Row] = []
        self._last = time.monotonic()

    def add(self, metrics: Mapping[str, float], step: int) -> None:
        """Keep metrics; send when a batch is full or some seconds have passed."""
        now = int(time.time() * 1000)
        self._rows += [(key, float(value), now, step) for key, value in metrics.items()]
        if len(self._rows) >= _BATCH or time.monotonic() - self._last > _SECONDS:
            self.flush()

    def flush(self) -> None:
        """Send everything that waits; what is not taken is written to the spool."""
        self._last = time.monotonic()
        rows, self._rows = self._rows, []
        for start in range(0, len(rows), _BATCH):
            batch = rows[start : start + _BATCH]
            if not self._send(batch):
                self.keep(batch)

    def keep(self, rows: list[Row]) -> None:
        """Write rows to the spool; a spool, even an empty one, says that the store lacks some."""
        if self._spool is not None:
            self._spool.parent.mkdir(parents=True, exist_ok=True)
            with self._spool.open("a", encoding="utf-8") as file:
                file.writelines(json.dumps(row) + "\n" for row in rows)


def read_spool(path: Path) -> list[Row]:
    """Read rows that a buffer kept; a line that a kill cut short is left out."""
    rows: list[Any] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            rows.append(tuple(json.loads(line)))
        except json.JSONDecodeError:
            break
    return rows
