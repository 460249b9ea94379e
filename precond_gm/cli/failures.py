"""Errors become one message on stderr and an exit code: 2 for an argument, 3 for an input."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from typing import Any

import click

from precond_gm import errors

__all__ = ["reported"]

WRONG_ARGUMENT, BROKEN_INPUT = 2, 3
_ARGUMENT = (
    errors.ConfigError,
    errors.UnknownNameError,
    errors.IncompatiblePartsError,
    errors.InvalidTypeError,
)


@contextlib.contextmanager
def reported() -> Iterator[None]:
    """Turn what the package raises on purpose, and what the system refuses, into exit codes."""
    with warnings.catch_warnings():
        warnings.showwarning = _shown
        try:
            yield
        except _ARGUMENT as error:
            _leave(error, WRONG_ARGUMENT)
        except errors.PrecondError as error:
            _leave(error, BROKEN_INPUT)
        except PermissionError as error:
            _leave(f"no permission for {error.filename}: choose another folder.", BROKEN_INPUT)
        except OSError as error:
            _leave(f"{error.filename or 'the system'}: {error.strerror or error}.", BROKEN_INPUT)


def _leave(error: object, code: int) -> None:
    click.echo(f"error: {error}", err=True)
    raise SystemExit(code)


def _shown(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: Any = None,
    line: str | None = None,
) -> None:
    """Print our own warnings as a line; those of libraries are for developers, not for users."""
    if issubclass(category, UserWarning) and "precond_gm" in filename:
        click.echo(f"warning: {message}", err=True)
