"""A part of a page that stands for itself: what follows first, then numbers, then figures."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from precond_gm.errors import CheckpointError
from precond_gm.training.results import write_text

__all__ = ["SECTION", "Listing", "Section", "read_sections", "write_section"]

SECTION = "section.json"  # in any folder below a job's, to be found when the report is written


@dataclass(frozen=True)
class Listing:
    """A table of texts.

    Attributes:
        title: Over it.
        head: Names of the columns.
        rows: Cells, row by row.
        notes: Below it.
    """

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()

    def text(self) -> str:
        """Lay the table out for a terminal."""
        lines = [self.head, *self.rows]
        widths = [max(len(line[i]) for line in lines) for i in range(len(self.head))]
        laid = [
            "  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True))
            for line in lines
        ]
        return "\n".join([self.title, *laid, *self.notes])


@dataclass(frozen=True)
class Section:
    """What one diagnostic has to say to a reader.

    Attributes:
        title: Heading.
        lead: Sentences; the first one is what to do.
        listings: Tables.
        figures: Captions and data addresses.
    """

    title: str
    lead: tuple[str, ...]
    listings: tuple[Listing, ...] = ()
    figures: tuple[tuple[str, str], ...] = ()

    def text(self) -> str:
        """Return title, sentences and tables for a terminal.

        Example:
            >>> print(Section("Steps", ("Take 8.",), (Listing("w2", ("n",), (("8",),)),)).text())
            Steps
            Take 8.
            <BLANKLINE>
            w2
            n
            8
        """
        head = "\n".join([self.title, *self.lead])
        return "\n\n".join([head, *(listing.text() for listing in self.listings)])


def write_section(section: Section, folder: Path) -> None:
    """Keep a section as JSON in a folder, where ``read_sections`` finds it."""
    write_text(folder / SECTION, json.dumps(asdict(section), indent=1) + "\n")


def read_sections(folder: Path) -> Sequence[Section]:
    """Return the sections that studies left in a job's folder or below it, by path.

    Raises:
        CheckpointError: One of them is damaged.
    """
    return [_read(path) for path in sorted(folder.rglob(SECTION))]


def _read(path: Path) -> Section:
    try:
        values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        listings = tuple(
            Listing(
                part["title"],
                tuple(part["head"]),
                tuple(map(tuple, part["rows"])),
                tuple(part["notes"]),
            )
            for part in values["listings"]
        )
        figures = tuple((caption, address) for caption, address in values["figures"])
        return Section(values["title"], tuple(values["lead"]), listings, figures)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(
            f"{path} is missing or damaged: {error}. Remove it, or run the study again."
        ) from error
