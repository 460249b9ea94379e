"""Reports: one self-contained HTML page that says what the numbers allow, and no more."""

from precond_gm.report.render import draw, render, write_page, write_report
from precond_gm.report.section import Listing, Section, read_sections, write_section
from precond_gm.report.tables import MEASURES, Measure, Table, table_of
from precond_gm.report.verdict import verdict_of

__all__ = [
    "MEASURES",
    "Listing",
    "Measure",
    "Section",
    "Table",
    "draw",
    "read_sections",
    "render",
    "table_of",
    "verdict_of",
    "write_page",
    "write_report",
    "write_section",
]
