"""The example company's CSV files: rows of strings, UTF-8, lines ended by a line feed."""

import csv
from collections.abc import Sequence
from pathlib import Path

EXAMPLES = Path(__file__).resolve().parents[1]

Row = dict[str, str]


def read_table(path: Path) -> list[Row]:
    """Return the rows of a CSV file whose first line names the columns."""
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def write_table(path: Path, rows: Sequence[Row]) -> None:
    """Write the rows, at least one; the first names the columns."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
