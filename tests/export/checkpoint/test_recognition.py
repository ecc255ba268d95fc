"""recognition: what is no checkpoint is told by what it is."""

from collections.abc import Callable
from pathlib import Path

import gguf
import pytest

from export.errors import ExportError
from export.options import ExportOptions
from export.original import open_original, read_original
from tests.support.gguf_files import finished
from tests.support.local_stores import fetched_repository
from tests.support.tiny_checkpoints import write_json, write_tiny_checkpoint


def check(source: Path, because: str) -> None:
    """An export of it ends before it begins, with these words."""
    with pytest.raises(ExportError, match=because):
        open_original(str(source))


def holding(*names: str) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        for name in names:
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_bytes(b"")

    return write


def adapter(folder: Path) -> None:
    write_json(folder / "adapter_config.json", {"base_model_name_or_path": "owner/base", "r": 8})
    holding("adapter_model.safetensors")(folder)


def adapter_of_nobody(folder: Path) -> None:
    (folder / "adapter_config.json").write_text("[", "utf-8")


def shards(folder: Path) -> None:
    write_tiny_checkpoint(folder, num_shards=2)
    (folder / "model.safetensors.index.json").unlink()


def without_weights(*names: str) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        write_tiny_checkpoint(folder)
        (folder / "model.safetensors").unlink()
        holding(*names)(folder)

    return write


FOLDERS: dict[str, tuple[Callable[[Path], None], str]] = {
    "an adapter": (adapter, r"is an adapter \(LoRA\) for owner/base, not a model; merge it"),
    "an adapter of nobody": (adapter_of_nobody, r"is an adapter \(LoRA\), not a model; merge it"),
    "our own": (holding("manifest.json", "model.onnx", "config.json"), "is a package of Inkling"),
    "ONNX": (holding("model.onnx"), "is an ONNX model of another program"),
    "ONNX within": (holding("onnx/model_q4.onnx"), "is an ONNX model of another program"),
    "ONNX with a config": (without_weights("decoder.onnx"), "is an ONNX model of another program"),
    "GGUF files": (
        holding(*(f"{name}.gguf" for name in "abcde")),
        r"folder of GGUF files; give one of them: a.gguf, b.gguf, c.gguf, d.gguf and 1 more",
    ),
    "GGUF files and a config": (without_weights("a.gguf"), "folder of GGUF files; give .* a.gguf"),
    "pictures": (holding("model_index.json"), "a pipeline of diffusers"),
    "a publisher's own": (holding("params.json", "consolidated.safetensors"), "publisher's own"),
    "a pickle": (holding("pytorch_model.bin"), "pytorch_model.bin is a pickle, which can run code"),
    "nothing": (holding(), "holds no config.json, so it is no checkpoint"),
    "shards": (shards, r"model-00001-of-00002.safetensors, model-00002-of-00002.safetensors with"),
    "weights by another name": (without_weights("weights.safetensors"), "holds weights.safeten"),
    "no weights": (without_weights(), "no model.safetensors and no model.safetensors.index.json"),
    "weights in a pickle": (without_weights("model.pt"), "model.pt is a pickle"),
}


@pytest.mark.parametrize("kind", FOLDERS)
def test_a_folder_that_is(kind: str, tmp_path: Path) -> None:
    write, because = FOLDERS[kind]
    write(tmp_path)
    check(tmp_path, because)


@pytest.mark.parametrize(
    ("name", "content", "because"),
    [
        ("model.pt", b"PK\x03\x04rest", "is a pickle in an archive, .* convert the checkpoint to"),
        ("model.bin", b"\x80\x02}", "is a pickle, which can run code"),
        ("model.bin", b"tjgg\x03\x00", "is a GGML file of before GGUF; convert it to GGUF again"),
        ("model.onnx", b"\x08\x07", "is an ONNX model of another program"),
        ("model.safetensors", b"", "is a file of weights; give the folder"),
        ("readme.md", b"# A model", "is a file of another kind; give the folder of a checkpoint"),
        ("empty", b"", "is a file of another kind"),
        ("model.gguf", b"nope", "is no GGUF file: it begins with b'nope'"),
        ("blob", b"GGUF\x09\x00\x00\x00", "is GGUF of version 9"),
    ],
)
def test_a_file_that_is(name: str, content: bytes, because: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    check(tmp_path / name, because)


@pytest.mark.parametrize(
    ("architecture", "kind", "because"),
    [
        ("clip", None, "what sees or hears beside a language model"),
        ("qwen2", "mmproj", "what sees or hears beside a language model"),
        ("llama", "adapter", r"is an adapter \(LoRA\), not a model"),
    ],
)
def test_a_gguf_file_that_is(
    architecture: str, kind: str | None, because: str, tmp_path: Path
) -> None:
    path = tmp_path / "a.gguf"
    writer = gguf.GGUFWriter(path, architecture)
    if kind is not None:
        writer.add_type(kind)
    check(finished(writer, path), because)


def test_a_repository_without_a_config(tmp_path: Path) -> None:
    check(
        fetched_repository(tmp_path, "owner/Small-GGUF"), "owner/Small-GGUF has no config.json on"
    )


def test_a_checkpoint_with_an_adapter_beside_it_is_one(tmp_path: Path) -> None:
    write_tiny_checkpoint(tmp_path)
    adapter(tmp_path)
    read_original(str(tmp_path), ExportOptions())
