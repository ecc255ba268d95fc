"""ollama: what was pulled is exported without a download; a store that lies is refused in words."""

import json
import os
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from export.checkpoint.ollama import find_model, models_folders, pulled
from export.errors import ExportError
from export.options import ExportOptions
from export.original import open_original, read_original
from export.pipeline import export_checkpoint
from tests.support.exported import no_progress, tiny_options
from tests.support.local_stores import LAYER, pull, tiny_gguf, write_manifest
from tests.support.tiny_families import FAMILY_MODELS

OURS = "registry.ollama.ai/library"
QWEN2 = next(model for model in FAMILY_MODELS if model.name == "qwen2")


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("OLLAMA_MODELS", raising=False)
    return tmp_path / "home" / ".ollama" / "models"


def check_refused(name: str, because: str) -> None:
    with pytest.raises(ExportError, match=because):
        open_original(f"ollama:{name}")


def files_of(package: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in package.iterdir()}


def test_the_package_is_that_of_the_file(models: Path, tmp_path: Path) -> None:
    file = tiny_gguf(tmp_path, QWEN2)
    pull(models, f"{OURS}/small/0.5b", file, beside=("template", "params", "license"))
    before = sorted(models.rglob("*"))
    said: list[str] = []
    for source, folder in ((str(file), "a"), ("ollama:small:0.5b", "b")):
        options = tiny_options(name="small", precision="f32")
        package = tmp_path / folder
        export_checkpoint(source, package, options, progress=no_progress, remark=said.append)
    first, second = (files_of(tmp_path / name) for name in "ab")
    named = json.loads(second.pop("manifest.json")), json.loads(first.pop("manifest.json"))
    assert first == second
    assert named[0]["source"]["name"] == "ollama:small:0.5b"
    assert said == []
    assert sorted(models.rglob("*")) == before


@pytest.mark.parametrize(
    ("place", "names"),
    [
        (f"{OURS}/small/latest", ["small", "small:latest", "library/small"]),
        (f"{OURS}/small/7b", ["small:7b", "registry.ollama.ai/library/small:7b"]),
        ("registry.ollama.ai/somebody/small/7b", ["somebody/small:7b"]),
        ("hf.co/owner/Small-GGUF/Q4_K_M", ["hf.co/owner/Small-GGUF:Q4_K_M"]),
    ],
)
def test_a_name_is_what_ollama_takes(
    place: str, names: list[str], models: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(b"GGUF")
    blob = pull(models, place, tmp_path / "file")
    for name in names:
        assert find_model(name).path == blob
    ((shown, _),) = pulled(models)
    assert find_model(shown).path == blob


def test_the_folder_that_the_user_names_comes_first(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OLLAMA_MODELS", str(tmp_path / "mine"))
    for folder, content in ((models, b"GGUF1"), (tmp_path / "mine", b"GGUF2")):
        (tmp_path / "file").write_bytes(content)
        pull(folder, f"{OURS}/small/latest", tmp_path / "file")
    assert models_folders()[:2] == [tmp_path / "mine", models]
    assert find_model("small").path.read_bytes() == b"GGUF2"


def test_a_model_that_was_not_pulled(models: Path) -> None:
    check_refused("small", "Ollama has not pulled small .*there is none.*model list --local")
    write_manifest(models, f"{OURS}/other/latest", {})
    check_refused("small:7b", "Ollama has not pulled small:7b .*models.*")


@pytest.mark.parametrize(
    "name", ["", "..", "../../x", "a/../b:c", "a:..", "/x", "a/b/c/d:e", "a\0"]
)
def test_a_name_that_is_none(name: str, models: Path) -> None:
    check_refused(name, "is no name of Ollama's")


@given(st.text(max_size=40) | st.from_regex(r"[a-z./:]{1,12}", fullmatch=True))
def test_any_name_is_found_or_refused(name: str) -> None:
    """None of them leads out of the store, and none ends otherwise."""
    with tempfile.TemporaryDirectory() as home, pytest.MonkeyPatch.context() as changed:
        models = Path(home) / "a" / "models"
        write_manifest(models, f"{OURS}/small/latest", "{}")
        (models / "manifests" / "x").write_text("{}", "utf-8")
        changed.setenv("OLLAMA_MODELS", str(models))
        with pytest.raises(ExportError, match=r"has not pulled|is no name|is stored as 0 files"):
            find_model(name)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["layers", "mediaType", "digest", "size", "config"]), inner, max_size=4
        )
    ),
    max_leaves=12,
)


@given(JSON)
def test_any_manifest_is_listed_with_a_reason(content: object) -> None:
    with tempfile.TemporaryDirectory() as folder:
        write_manifest(Path(folder), f"{OURS}/small/latest", json.dumps(content))
        ((name, problem),) = pulled(Path(folder))
        assert name == "small:latest"
        assert isinstance(problem, ExportError)


def lie(layers: Any) -> str:
    return json.dumps({"layers": layers})


SIZED = {"digest": "sha256:" + "1" * 64, "size": 1}
LIES: dict[str, tuple[str, str]] = {
    "no JSON": ("{", "is not what it should be"),
    "deep": ("[" * 100_000, "is not what it should be"),
    "huge": (" " * ((1 << 20) + 1), "has 1048577 bytes, more than 1048576"),
    "another shape": (lie({"a": 1}), "is not what it should be"),
    "nothing": ("{}", "is stored as 0 files of weights; only a single GGUF file"),
    "two models": (lie([{"mediaType": f"{LAYER}model", **SIZED}] * 2), "as 2 files of weights"),
    "tensors": (lie([{"mediaType": f"{LAYER}tensor; name=a", **SIZED}]), "tensors one by one"),
    "an adapter": (lie([{"mediaType": f"{LAYER}adapter", **SIZED}]), r"adapter \(LoRA\) beside it"),
    "a path": (
        lie([{"mediaType": f"{LAYER}model", "digest": "sha256:../../../x", "size": 1}]),
        "is not what it should be",
    ),
    "a path behind it": (
        lie([{"mediaType": f"{LAYER}model", "digest": f"sha256:{'1' * 64}/../x", "size": 1}]),
        "is not what it should be",
    ),
    "a size below zero": (
        lie([{"mediaType": f"{LAYER}model", "digest": "sha256:" + "1" * 64, "size": -1}]),
        "is not what it should be",
    ),
    "no blob": (lie([{"mediaType": f"{LAYER}model", **SIZED}]), "1111 is missing; pull lie:latest"),
}


@pytest.mark.parametrize("kind", LIES)
def test_a_manifest_that_lies(kind: str, models: Path) -> None:
    text, because = LIES[kind]
    write_manifest(models, f"{OURS}/lie/latest", text)
    check_refused("lie", because)
    ((name, problem),) = pulled(models)
    assert name == "lie:latest"
    assert isinstance(problem, ExportError)


def test_a_blob_that_was_cut(models: Path, tmp_path: Path) -> None:
    blob = pull(models, f"{OURS}/small/latest", tiny_gguf(tmp_path, QWEN2))
    blob.write_bytes(blob.read_bytes()[:-1])
    check_refused("small", "bytes instead of .*; pull small:latest again")


def test_a_blob_that_is_another(models: Path, tmp_path: Path) -> None:
    blob = pull(models, f"{OURS}/small/latest", tiny_gguf(tmp_path, QWEN2))
    content = blob.read_bytes()
    blob.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    check_refused("small", "is not what its name says; pull small:latest again")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_manifest_that_is_a_pipe(models: Path) -> None:
    path = write_manifest(models, f"{OURS}/small/latest", "{}")
    path.unlink()
    os.mkfifo(path)
    check_refused("small", "Ollama has not pulled small")


def test_what_sees_beside_a_model_is_left_out_with_a_line(models: Path, tmp_path: Path) -> None:
    pull(models, f"{OURS}/small/latest", tiny_gguf(tmp_path, QWEN2), beside=("projector",))
    remarks = read_original("ollama:small", ExportOptions()).remarks
    assert remarks[0] == (
        "left out as no part of the language model: what sees beside it (projector)"
    )
