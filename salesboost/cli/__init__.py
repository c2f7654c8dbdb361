"""``salesboost``: calls tools, looks at jobs and runs the stack from a terminal. The only package that needs `typer`.

Results go to stdout, everything else to stderr. The exit codes are `salesboost.cli.exits.Exit`.
"""

from __future__ import annotations

import sys

from salesboost.cli.exits import Exit


def main() -> int:
    """Run the command line and return its exit code."""
    try:
        import rich as _rich
        import typer as _typer
    except ImportError as exc:
        sys.stderr.write(f"error: the command line needs {exc.name}: pip install 'salesboost[cli]'\n")
        return Exit.MISSING
    del _rich, _typer
    from salesboost.cli.app import run

    return run(sys.argv[1:])
