"""A package whose files are what its manifest says, and no more: there is no model in it."""

from pathlib import Path

from inference.fim import FimTemplate
from inference.package.manifest import (
    MODEL_FILE,
    TOKENIZER_FILE,
    Architecture,
    ModelManifest,
    Parameters,
    Source,
    file_entry,
    write_manifest,
)
from tests.support.byte_tokenizer import SPECIAL_TOKENS, VOCAB_SIZE, byte_tokenizer

DATA_FILE = "model.onnx.data"

ARCHITECTURE = Architecture(
    model_type="test",
    vocab_size=VOCAB_SIZE,
    hidden_size=8,
    num_hidden_layers=1,
    num_attention_heads=1,
    num_key_value_heads=1,
    head_dim=8,
    num_experts=2,
    num_experts_per_tok=1,
)
FIM = FimTemplate(
    order="spm",
    prefix_token_id=SPECIAL_TOKENS["<|fim_prefix|>"],
    suffix_token_id=SPECIAL_TOKENS["<|fim_suffix|>"],
    middle_token_id=SPECIAL_TOKENS["<|fim_middle|>"],
)


def write_package(folder: Path) -> ModelManifest:
    """Write files that pass every check but onnxruntime's."""
    (folder / MODEL_FILE).write_bytes(b"graph" * 100)
    (folder / DATA_FILE).write_bytes(bytes(range(256)) * 4)
    byte_tokenizer().save(str(folder / TOKENIZER_FILE))
    return sign(folder)


def sign(folder: Path, architecture: Architecture = ARCHITECTURE) -> ModelManifest:
    """Write the manifest of the files as they are now."""
    names = (MODEL_FILE, DATA_FILE, TOKENIZER_FILE)
    manifest = ModelManifest(
        name="test model",
        source=Source(name="nowhere"),
        exporter_version="0",
        precision="int4",
        block_size=32,
        architecture=architecture,
        parameters=Parameters(total=1, active=1),
        context_length=128,
        eos_token_ids=(SPECIAL_TOKENS["<|endoftext|>"],),
        fim=FIM,
        files={name: file_entry(folder / name) for name in names},
    )
    write_manifest(manifest, folder)
    return manifest
