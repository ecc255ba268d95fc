"""Checkpoints keep every weight, in files of the size that was asked for."""

from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from training.corpus.batches import Position  # noqa: E402
from training.errors import TrainingError  # noqa: E402
from training.model.checkpoint import (  # noqa: E402
    Progress,
    load_checkpoint,
    load_compact,
    load_state,
    save_checkpoint,
    save_compact,
    save_packed,
    save_state,
)
from training.model.configuration import Shape  # noqa: E402
from training.model.decoder import Decoder, initialize  # noqa: E402
from training.model.packed import unpack  # noqa: E402
from training.model.quantization import Rounding  # noqa: E402

pytestmark = pytest.mark.parity

SHAPE = Shape(
    hidden_size=128, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1,
    num_experts=4, num_experts_per_tok=2, moe_intermediate_size=128, vocab_size=512,
)  # fmt: skip
PROGRESS = Progress(step=7, num_tokens=99, seconds=1.5, position=Position(3, 4))


def decoder(seed: int = 0) -> Decoder:
    model = Decoder(SHAPE)
    initialize(model, seed)
    return model


def check(folder: Path, *, tolerance: float, read: Decoder) -> None:
    for name, parameter in decoder().named_parameters():
        error = (read.get_parameter(name) - parameter).abs().max()
        assert error <= tolerance * parameter.abs().max().clamp(min=1e-9), name


@pytest.mark.parametrize("shard_bytes", [50_000_000, 400_000])
def test_a_checkpoint_keeps_what_bfloat16_keeps(tmp_path: Path, shard_bytes: int) -> None:
    save_checkpoint(decoder(), tmp_path, shard_bytes=shard_bytes)
    files = list(tmp_path.glob("*.safetensors"))
    assert max(file.stat().st_size for file in files) <= shard_bytes
    assert (len(files) > 1) == (shard_bytes < 1_000_000)
    check(tmp_path, tolerance=2**-8, read=load_checkpoint(tmp_path))


def test_a_packed_checkpoint_holds_every_bit_of_the_rounded_weights(tmp_path: Path) -> None:
    save_packed(decoder(), tmp_path / "packed")
    unpack(tmp_path / "packed", tmp_path / "unpacked")
    model = decoder()
    with Rounding(search_every=1).rounded_weights(dict(model.named_parameters())):
        for folder in ("packed", "unpacked"):
            read = load_checkpoint(tmp_path / folder)
            for name, parameter in model.named_parameters():
                assert torch.equal(read.get_parameter(name), parameter), name


def test_a_packed_checkpoint_is_an_eighth_of_float32(tmp_path: Path) -> None:
    save_packed(decoder(), tmp_path / "packed")
    unpack(tmp_path / "packed", tmp_path / "unpacked")
    sizes = [
        sum(path.stat().st_size for path in (tmp_path / folder).glob("*.safetensors"))
        for folder in ("packed", "unpacked")
    ]
    assert sizes[0] < sizes[1] / 6


def test_a_tensor_larger_than_a_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="a file may have 250000"):
        save_checkpoint(decoder(), tmp_path, shard_bytes=250_000)


def test_a_checkpoint_with_other_tensors_is_refused(tmp_path: Path) -> None:
    save_checkpoint(decoder(), tmp_path, shard_bytes=400_000)
    next(iter(sorted(tmp_path.glob("*.safetensors")))).unlink()
    with pytest.raises(TrainingError, match="lacks or adds"):
        load_checkpoint(tmp_path)


def test_a_state_keeps_every_bit(tmp_path: Path) -> None:
    held = {"momentum.norm": torch.arange(4.0)}
    save_state(tmp_path / "state.safetensors", decoder(), held, PROGRESS)
    read = decoder(seed=1)
    found, progress = load_state(tmp_path / "state.safetensors", read)
    check(tmp_path, tolerance=0, read=read)
    assert torch.equal(found["momentum.norm"], held["momentum.norm"])
    assert progress == PROGRESS


def test_compact_weights_are_half_as_large_and_near(tmp_path: Path) -> None:
    save_compact(decoder(), tmp_path, PROGRESS)
    read = decoder(seed=1)
    assert load_compact(tmp_path, read) == PROGRESS
    check(tmp_path, tolerance=1 / 250, read=read)
    size = sum(file.stat().st_size for file in tmp_path.glob("*.safetensors"))
    assert size < 1.1 * SHAPE.num_parameters
