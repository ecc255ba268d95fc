"""Tensors that hold several matrices and were rounded by GPTQ or AWQ: each part is taken over.

As checkpoints of Phi-3, StarCoderBase and Ling are that people have.
"""

from pathlib import Path

import numpy as np
import pytest

from export.original import open_original
from export.pipeline import export_checkpoint
from export.spec.decoder import slots
from tests.support.exported import no_progress, tiny_options
from tests.support.golden import ALL_MODELS
from tests.support.grouped_checkpoints import Stored, write_grouped_checkpoint

LAYERS = 2

CASES = {
    "phi3": (("qkv_proj.weight", "gate_up_proj.weight", "_proj.weight"), 7 * LAYERS),
    "gpt_bigcode": (("c_attn.weight", "c_proj.weight", "c_fc.weight"), 6 * LAYERS),
    "internlm2": (("wqkv.weight", "wo.weight", "w1.weight", "w2.weight", "w3.weight"), 7 * LAYERS),
    "bailing_moe": (("query_key_value.weight", "dense.weight", "_proj.weight"), 10 * LAYERS),
}
"""What is stored in four bits, and how many matrices of ours that is; an expert's are stacked."""


@pytest.mark.parametrize("layout", ["gptq", "awq"])
@pytest.mark.parametrize("name", CASES)
def test_each_part_is_taken_over(name: str, layout: str, tmp_path: Path) -> None:
    model = next(model for model in ALL_MODELS if model.name == name)
    names, num_matrices = CASES[name]
    source = tmp_path / "source"
    values = write_grouped_checkpoint(source, Stored(layout, names=names), model)
    options = tiny_options(block_size=None, precision="int4")
    manifest = export_checkpoint(str(source), tmp_path / "package", options, progress=no_progress)
    assert manifest.quality["stored"] == {
        "as": layout,
        "taken_over": num_matrices,
        "rounded_again": 0,
    }
    spec, found = open_original(str(source))
    for tensor in (tensor for tensor in values if tensor.endswith(names[0])):
        layer = tensor.split(".")[2]
        parts = [found[f"layers.{layer}.attention.{part}"] for part in ("query", "key", "value")]
        whole = np.sort(np.concatenate(parts), axis=0)
        np.testing.assert_array_equal(whole, np.sort(values[tensor], axis=0))
    assert set(found) == set(slots(spec))
