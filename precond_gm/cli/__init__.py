"""The command line. Importing it loads click alone; each command loads what it needs."""

from precond_gm.cli.main import main

__all__ = ["main"]
