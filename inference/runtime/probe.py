"""Run a package's graph once over tokens, and see its routers too. For looking, not completing.

The graph is a copy in memory with more outputs; the file and the engine's own stay as they are.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from inference.errors import InvalidModelError
from inference.package.external_data import check_external_data
from inference.package.manifest import MODEL_FILE, ModelManifest
from inference.package.routers import router_values, with_outputs
from inference.runtime.caches import create_caches
from inference.runtime.caches.layer_cache import Array
from inference.runtime.language_model import Logits
from inference.runtime.onnx import OnnxGraph


class Seen(NamedTuple):
    """`logits` has a row for each token from `first` on; `routers` rows for all, by layer."""

    logits: Logits
    routers: Sequence[Array]


class Probe:
    def __init__(self, folder: Path, manifest: ModelManifest) -> None:
        """Load the graph of a package whose files were verified. Raises InvalidModelError."""
        path = folder / MODEL_FILE
        check_external_data(path, manifest.files)
        model = path.read_bytes()
        self._architecture = manifest.architecture
        self._routers = router_values(model)
        try:
            self._graph = OnnxGraph(with_outputs(model, self._routers), folder)
        except Exception as error:  # onnxruntime's exceptions share no base but Exception
            raise InvalidModelError(f"onnxruntime cannot load {path}; export again") from error

    def read(self, token_ids: Sequence[int], first: int) -> Seen:
        """Read tokens from the beginning; return the logits from the one at `first` on."""
        num_tokens = len(token_ids)
        feeds: dict[str, Array] = {
            "input_ids": np.array([token_ids], np.int64),
            "logit_rows": np.arange(first, num_tokens, dtype=np.int64),
        }
        for part in create_caches(self._architecture, num_tokens):
            feeds |= part.inputs(num_tokens)
            part.prepare(0, num_tokens)
            feeds |= {f"past_{name}": array for name, array in part.past.items()}
        logits, *routers = self._graph.run(["logits", *self._routers], feeds)
        return Seen(logits, [router.reshape(num_tokens, -1) for router in routers])
