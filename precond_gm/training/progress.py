"""What a job says while it runs, on stderr: bars on a terminal, one line per stage elsewhere."""

from __future__ import annotations

import contextlib
import math
import sys
from collections.abc import Callable, Iterator

__all__ = ["Progress", "Silent"]

Update = Callable[[int, float], None]


class Silent:
    """Say nothing: for tests, for other processes than the first, and for callers of the API."""

    def say(self, text: str) -> None:
        """Take a line."""

    @contextlib.contextmanager
    def bar(self, title: str, total: int, done: int = 0) -> Iterator[Update]:
        """Give a function that is told the step and the loss."""
        yield lambda step, loss: None


class Progress(Silent):
    """Bars and lines on stderr."""

    def say(self, text: str) -> None:
        """Print a line above the bar."""
        from tqdm import tqdm

        tqdm.write(text, file=sys.stderr)

    @contextlib.contextmanager
    def bar(self, title: str, total: int, done: int = 0) -> Iterator[Update]:
        """Show steps, rate and the last logged loss; nothing where stderr is not a terminal."""
        from tqdm import tqdm

        with tqdm(
            total=total,
            initial=done,
            desc=title,
            unit="step",
            leave=False,
            disable=None,
            mininterval=0.2,
            file=sys.stderr,
        ) as shown:

            def update(step: int, loss: float) -> None:
                if not math.isnan(loss) and not shown.disable:
                    shown.set_postfix_str(f"loss {loss:.4g}", refresh=False)
                shown.update(step - shown.n)

            yield update
