"""Print every number of the theory beside what the code gives, and keep the table as CSV.

Run: ``python benchmarks/studies/theory_numbers.py`` (writes benchmarks/results/theory_numbers.csv;
exit code 1 when a number does not agree to the digits printed).
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

from theory_rows import rows

RESULT = Path(__file__).resolve().parents[1] / "results" / "theory_numbers.csv"


def main() -> int:
    table = rows()
    width = max(len(row.name) for row in table)
    print(f"{'quantity':<{width}}  {'theory':>14}  {'code':>16}  agrees")
    lines = []
    for row in table:
        value = float(row.compute())
        agrees = row.agrees(value)
        print(
            f"{row.name:<{width}}  {row.expected:>14}  {value:>16.10g}  {'yes' if agrees else 'NO'}"
        )
        lines.append([row.name, row.expected, f"{value:.12g}", "yes" if agrees else "no"])
    RESULT.parent.mkdir(exist_ok=True)
    with RESULT.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["quantity", "theory", "code", "agrees"])
        writer.writerows(lines)
    wrong = sum(line[3] == "no" for line in lines)
    print(f"{len(lines) - wrong} of {len(lines)} agree", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
