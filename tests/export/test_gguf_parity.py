"""Against llama.cpp: one GGUF file, read by both, and the same tokens written.

Needs xllamacpp: `make parity`.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file  # pyright: ignore[reportUnknownVariableType]

from export.original import open_original
from export.pipeline import export_checkpoint
from export.spec.decoder import DecoderSpec, RmsNorm
from export.spec.oracle import forward
from export.spec.routers import Router
from inference.cancellation import CancelToken
from inference.runtime.onnx import OnnxModel
from tests.support.exported import TOKEN_IDS, no_progress, tiny_options
from tests.support.gguf_files import write_gguf_file
from tests.support.gguf_models import GGUF_MODELS
from tests.support.tiny_checkpoints import TinyModel, write_tiny_checkpoint

Logits = np.ndarray[Any, np.dtype[np.floating[Any]]]

NUM_TOKENS = 32
CONTEXT_LENGTH = 128
BANNED = range(7)
"""All special tokens: llama.cpp ends at those that separate files too, and little is compared."""

pytestmark = pytest.mark.parity


def every_layer(spec: DecoderSpec, part: str, **fields: Any) -> DecoderSpec:
    """Change fields of one part of all layers that have them."""
    layers = [
        msgspec.structs.replace(layer, **{part: msgspec.structs.replace(old, **fields)})
        if set(fields) <= set((old := getattr(layer, part)).__struct_fields__)
        else layer
        for layer in spec.layers
    ]
    return msgspec.structs.replace(spec, layers=tuple(layers))


def with_rounded_ends(spec: DecoderSpec) -> DecoderSpec:
    rope: Any = spec.layers[0].attention.rope
    scaling = msgspec.structs.replace(rope.scaling, truncate=True)
    return every_layer(spec, "attention", rope=msgspec.structs.replace(rope, scaling=scaling))


def with_groups_by_their_best_two(spec: DecoderSpec) -> DecoderSpec:
    router: Any = spec.layers[-1].feed_forward.router
    groups = msgspec.structs.replace(router.groups, score="best_two")
    router = msgspec.structs.replace(router, groups=groups)
    return every_layer(spec, "feed_forward", router=router)


def with_other_norms_and_router(spec: DecoderSpec) -> DecoderSpec:
    router = Router(num_experts_per_tok=2, renormalize=True)
    spec = every_layer(spec, "feed_forward", router=router)
    norm = RmsNorm(epsilon=spec.norm.epsilon)
    layers = tuple(msgspec.structs.replace(layer, norm=norm) for layer in spec.layers)
    return msgspec.structs.replace(spec, layers=layers, norm=norm)


OTHERWISE: Final[Mapping[str, Callable[[DecoderSpec], DecoderSpec]]] = {
    # llama.cpp blends YaRN between whole pairs in all models; gpt-oss was trained between others.
    "gpt_oss-stretched": with_rounded_ends,
    # It scores groups of experts by their best two in all models; DeepSeek-V2 by the best one.
    "deepseek_v2-grouped": with_groups_by_their_best_two,
    # It has root mean squares for Phi-3.5-MoE's norms, and softmax for its SparseMixer.
    "phimoe": with_other_norms_and_router,
    "phimoe-long": with_other_norms_and_router,
}
"""What llama.cpp computes otherwise than the model that a file was made from, as transformers has
it and the package too. The file is compared with that mathematics, so that no more differs."""


def greedy_tokens(compute: Callable[[Sequence[int]], Logits], prompt: Sequence[int]) -> list[int]:
    """Write tokens by the logits that the new ones of a text give, the last ones' last."""
    written, unread = list[int](), list(prompt)
    for _ in range(NUM_TOKENS):
        logits = np.array(compute(unread)[-1])
        logits[list(BANNED)] = -np.inf
        unread = [int(logits.argmax())]
        written += unread
    return written


def check(path: Path, start_computing: Callable[[], Callable[[Sequence[int]], Logits]]) -> None:
    """Several texts are continued by the same tokens."""
    from tests.support.llama_cpp import LlamaCpp  # what it imports, `make test` lacks

    llama = LlamaCpp(path, context_length=CONTEXT_LENGTH, num_threads=1)
    for start in range(0, len(TOKEN_IDS), 6):
        prompt = TOKEN_IDS[start:]
        found = llama.greedy_tokens(prompt, NUM_TOKENS, banned=BANNED)
        assert found == greedy_tokens(start_computing(), prompt)


def of_the_graph(path: Path, package: Path) -> Callable[[], Callable[[Sequence[int]], Logits]]:
    options = tiny_options(precision="f32")
    manifest = export_checkpoint(str(path), package, options, progress=no_progress)
    model = OnnxModel.load(package, manifest)

    def start() -> Callable[[Sequence[int]], Logits]:
        cache = model.create_cache()
        return lambda new: model.forward(new, cache, num_logits=1, cancel=CancelToken())

    return start


def of_the_oracle(
    path: Path, change: Callable[[DecoderSpec], DecoderSpec]
) -> Callable[[], Callable[[Sequence[int]], Logits]]:
    spec, on_demand = open_original(str(path))
    changed, values = change(spec), dict(on_demand)

    def start() -> Callable[[Sequence[int]], Logits]:
        text: list[int] = []

        def compute(new: Sequence[int]) -> Logits:
            text.extend(new)
            return forward(changed, values, text)

        return compute

    return start


def without_biases_of_norms(checkpoint: Path) -> None:
    tensors = load_file(checkpoint / "model.safetensors")
    for name in tensors:
        if "norm" in name and name.endswith(".bias"):
            tensors[name] = np.zeros_like(tensors[name])
    save_file(tensors, checkpoint / "model.safetensors", metadata={"format": "pt"})


@pytest.mark.parametrize("model", GGUF_MODELS, ids=lambda model: model.name)
def test_llama_cpp_writes_the_same_tokens(model: TinyModel, tmp_path: Path) -> None:
    checkpoint = write_tiny_checkpoint(tmp_path / "checkpoint", model)
    change = OTHERWISE.get(model.name)
    if change is with_other_norms_and_router:
        without_biases_of_norms(checkpoint)  # root mean squares have none in a spec
    path = write_gguf_file(tmp_path / "model.gguf", checkpoint)
    if change is None:
        check(path, of_the_graph(path, tmp_path / "package"))
    else:
        check(path, of_the_oracle(path, change))
