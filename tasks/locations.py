"""Where the tools' data lies, as the settings say."""

from __future__ import annotations

from pathlib import Path

from config.settings import ROOT, settings

REPOSITORY = ROOT


def data_directory() -> Path:
    """Return the directory of the price book's and the CRM's CSV files."""
    return settings().data_dir


def home() -> Path:
    """Return the directory of what the local stack stores."""
    return settings().home


def crm_url() -> str:
    """Return the CRM's SQLAlchemy URL."""
    return settings().crm_database
