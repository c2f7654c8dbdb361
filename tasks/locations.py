"""Where the tools' data lies: the one place that reads it from the environment."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

REPOSITORY: Final = Path(__file__).resolve().parents[1]


def data_directory() -> Path:
    """Return the directory of the price book's and the CRM's CSV files.

    ``SALESBOOST_DATA_DIR``, else ``examples/data`` of the repository.
    """
    return Path(os.environ.get("SALESBOOST_DATA_DIR") or REPOSITORY / "examples" / "data")


def home() -> Path:
    """Return the directory of what the local stack stores: ``SALESBOOST_HOME``, else ``var``."""
    return Path(os.environ.get("SALESBOOST_HOME") or REPOSITORY / "var")


def crm_url() -> str:
    """Return the CRM's SQLAlchemy URL: ``SALESBOOST_CRM_URL``, else an SQLite file in `home`."""
    return os.environ.get("SALESBOOST_CRM_URL") or f"sqlite:///{home().resolve() / 'crm.sqlite3'}"
