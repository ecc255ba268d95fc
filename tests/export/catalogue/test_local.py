"""local: what other programs have fetched is listed with what it is; nothing of it is changed."""

import json
import shutil
from pathlib import Path

import gguf
import pytest
from click.testing import CliRunner

from export.catalogue.cli import model
from export.catalogue.install import add_model, default_name
from export.catalogue.local import Local, local_models
from export.options import ExportOptions
from inference.package.store import installed
from tests.support.gguf_files import finished
from tests.support.local_stores import fetched_repository, pull, tiny_gguf, write_manifest
from tests.support.tiny_checkpoints import write_json, write_tiny_checkpoint
from tests.support.tiny_families import FAMILY_MODELS

QWEN2 = next(model for model in FAMILY_MODELS if model.name == "qwen2")

SETTINGS = (
    *("OLLAMA_MODELS", "LLAMA_CACHE", "XDG_CACHE_HOME"),
    *("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME"),
)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    home = tmp_path / "home"
    for name in (
        "OLLAMA_MODELS",
        "LLAMA_CACHE",
        "HF_HUB_CACHE",
        "HUGGINGFACE_HUB_CACHE",
        "HF_HOME",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(home))
    return home


def projector(path: Path) -> Path:
    writer = gguf.GGUFWriter(path, "clip")
    return finished(writer, path)


def check(found: list[Local], **expected: tuple[str, str | None, str | None, str]) -> None:
    """By source: kind, family, how stored, and words of the problem."""
    assert {local.source: (local.kind, local.family, local.stored_as) for local in found} == {
        source: told[:3] for source, told in expected.items()
    }
    for local in found:
        because = expected[local.source][3]
        assert (local.problem is None) == (not because)
        assert because in (local.problem or "")


def test_nothing_is_here(home: Path) -> None:
    assert local_models() == []
    assert "no model of Ollama, LM Studio" in CliRunner().invoke(model, ["list", "--local"]).output


def test_what_each_program_keeps_is_found(home: Path, tmp_path: Path) -> None:
    file = tiny_gguf(tmp_path, QWEN2)
    ollama = home / ".ollama" / "models"
    pull(ollama, "registry.ollama.ai/library/small/latest", file)
    write_manifest(ollama, "registry.ollama.ai/library/lie/latest", "{")
    studio = home / ".lmstudio" / "models" / "owner" / "small"
    studio.mkdir(parents=True)
    shutil.copyfile(file, studio / "small.gguf")
    projector(studio / "mmproj-small.gguf")
    cache = home / ".cache" / "llama.cpp"
    cache.mkdir(parents=True)
    (cache / "broken.gguf").write_bytes(b"GGUF")
    (cache / "big-00002-of-00002.gguf").write_bytes(b"GGUF")
    hub = home / ".cache" / "huggingface" / "hub"
    write_tiny_checkpoint(fetched_repository(hub, "owner/tiny"))
    write_json(fetched_repository(hub, "owner/bert") / "config.json", {"model_type": "bert"})
    fetched_repository(hub, "owner/nothing")
    before = {path: path.stat().st_mtime_ns for path in home.rglob("*")}
    check(
        local_models(),
        **{
            "ollama:small:latest": ("model", "qwen2", "F32", ""),
            "ollama:lie:latest": ("model", None, None, "is not what it should be"),
            str(studio / "small.gguf"): ("model", "qwen2", "F32", ""),
            str(studio / "mmproj-small.gguf"): ("projector", None, None, "sees or hears beside"),
            str(cache / "broken.gguf"): ("model", None, None, "truncated or damaged"),
            "owner/tiny": ("model", "qwen3_moe", "float32", ""),
            "owner/bert": ("model", None, None, "its weights are not here"),
        },
    )
    assert {path: path.stat().st_mtime_ns for path in home.rglob("*")} == before


def test_the_command_shows_them(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HOME", str(home))
    snapshot = write_tiny_checkpoint(fetched_repository(home / "hub", "owner/tiny"))
    size = (snapshot / "model.safetensors").stat().st_size
    monkeypatch.setenv("COLUMNS", "200")
    shown = CliRunner().invoke(model, ["list", "--local"], catch_exceptions=False).output
    assert "owner/tiny" in shown
    assert "can be added (qwen3_moe)" in shown
    (told,) = json.loads(CliRunner().invoke(model, ["list", "--local", "--json"]).output)
    assert told == {
        "where": "hub",
        "source": "owner/tiny",
        "num_bytes": size,
        "kind": "model",
        "architecture": "qwen3_moe",
        "stored_as": "float32",
        "family": "qwen3_moe",
        "problem": None,
    }


def test_what_ollama_pulled_is_added_by_its_name(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    pull(
        home / ".ollama" / "models",
        "registry.ollama.ai/library/small/0.5b",
        tiny_gguf(tmp_path, QWEN2),
        beside=("projector",),
    )
    said: list[str] = []
    options = ExportOptions(precision="f32", quality_tokens=64)
    added = add_model("ollama:small:0.5b", options, report=lambda *_: None, remark=said.append)
    assert added.name == "small-0.5b"
    assert installed() == ["small-0.5b"]
    assert [line.partition(":")[0] for line in said] == [
        "left out as no part of the language model"
    ]


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("ollama:qwen2.5-coder:0.5b", "qwen2.5-coder-0.5b"),
        ("ollama:hf.co/owner/Small-GGUF:Q4_K_M", "Small-GGUF-Q4_K_M"),
        ("Qwen/Qwen2.5-Coder-0.5B", "Qwen2.5-Coder-0.5B"),
        ("/models/Small-1.5B.Q4_K_M.gguf", "Small-1.5B.Q4_K_M"),
        ("checkpoints/nano/", "nano"),
    ],
)
def test_a_model_is_called_as_its_source(source: str, name: str) -> None:
    assert default_name(source) == name
