"""What flows between a model and its predictor, and which inputs a graph has to have."""

from collections.abc import Collection, Mapping

import msgspec
import numpy as np
import numpy.typing as npt

from inference.package.manifest import Architecture
from inference.runtime.caches import create_caches
from inference.runtime.language_model import MAX_RUN_TOKENS

Hidden = npt.NDArray[np.float32]
"""Hidden states: [num_tokens, hidden_size], or [1, MAX_RUN_TOKENS, hidden_size] of a buffer."""


class Flows(msgspec.Struct, frozen=True):
    """Buffers of a graph's hidden states by the names of its inputs and outputs."""

    inputs: Mapping[str, Hidden]
    outputs: Mapping[str, Hidden]

    @classmethod
    def of(cls, input_names: Collection[str], architecture: Architecture) -> "Flows":
        """Return what a graph has of them; a model whose predictor is not used gives none."""
        reads = "given" in input_names
        shape = (1, MAX_RUN_TOKENS, architecture.hidden_size)
        return cls(
            inputs={"given": np.zeros(shape, np.float32)} if reads else {},
            outputs=(
                {"hidden": np.zeros(shape, np.float32)}
                if reads or architecture.predictor is not None
                else {}
            ),
        )


def expected_inputs(architecture: Architecture, flows: Flows) -> set[str]:
    """Return the names of the inputs of a graph with such caches."""
    expected = {"input_ids", "logit_rows", *flows.inputs}
    for part in create_caches(architecture, capacity=1):
        expected |= {*part.inputs(1), *(f"past_{name}" for name in part.past)}
    return expected
