"""F1 and F2: a package that is harmed is told in one line, and whoever asked lives on."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from inference.completion import Completion, CompletionRequest, FinishReason
from inference.engine import EngineState
from inference.package.manifest import MANIFEST_FILE, MODEL_FILE, TOKENIZER_FILE
from inference.serving.backends import EngineOptions, open_engine
from tests.faults.packages import ARCHITECTURE, DATA_FILE, sign, write_package

TIMEOUT_S = 60.0


async def check(folder: Path, *says: str) -> None:
    """Open the package in a host of its own: its status says this, in one line."""
    engine = open_engine(EngineOptions(model=folder))
    status = await asyncio.wait_for(engine.wait_ready(), TIMEOUT_S)
    completion = await engine.complete(CompletionRequest(document="a.py", prefix="x"))
    assert status.state is EngineState.FAILED
    assert (status.num_restarts, status.process_id) == (0, None)
    assert [part for part in (*says, str(folder)) if part not in status.message] == []
    assert "\n" not in status.message
    assert completion == Completion.nothing(FinishReason.UNAVAILABLE)
    await engine.close()


@pytest.fixture
def package(tmp_path: Path) -> Path:
    folder = tmp_path / "package"
    folder.mkdir()
    write_package(folder)
    return folder


async def test_no_manifest(package: Path) -> None:
    (package / MANIFEST_FILE).unlink()
    await check(package, "no manifest.json in", "run `inkling export` first")


async def test_no_folder(package: Path) -> None:
    await check(package / "nowhere", "there is no such folder", "inkling model list")


async def test_a_file_where_the_folder_should_be(package: Path) -> None:
    await check(package / MODEL_FILE, "there is no such folder", "inkling model list")


async def test_a_garbled_manifest(package: Path) -> None:
    (package / MANIFEST_FILE).write_bytes(b"\xff\xfe{}")
    await check(package, "manifest.json is not a valid manifest", "export again")


async def test_a_manifest_with_a_field_too_many(package: Path) -> None:
    manifest = msgspec.json.decode((package / MANIFEST_FILE).read_bytes())
    (package / MANIFEST_FILE).write_bytes(msgspec.json.encode({**manifest, "run": "me"}))
    await check(package, "unknown field `run`", "export again")


async def test_a_manifest_that_names_a_file_elsewhere(package: Path) -> None:
    manifest = msgspec.json.decode((package / MANIFEST_FILE).read_bytes())
    manifest["files"]["../secret"] = manifest["files"][MODEL_FILE]
    (package / MANIFEST_FILE).write_bytes(msgspec.json.encode(manifest))
    await check(package, "'../secret', which is no plain file name", "export again")


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def link_softly(path: Path) -> None:
    elsewhere = path.parent.parent / path.name
    path.rename(elsewhere)
    path.symlink_to(elsewhere)


HARMS: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (Path.unlink, "is missing"),
    "empty": (lambda path: path.write_bytes(b""), "0 bytes instead of"),
    "a byte short": (lambda path: os.truncate(path, path.stat().st_size - 1), "it is truncated"),
    "a bit flipped": (flip_a_bit, "does not match its hash"),
    "a symbolic link": (link_softly, "is a link"),
}


@pytest.mark.parametrize("harm", HARMS)
@pytest.mark.parametrize("name", [MODEL_FILE, DATA_FILE, TOKENIZER_FILE])
async def test_a_harmed_file(package: Path, name: str, harm: str) -> None:
    do_harm, says = HARMS[harm]
    do_harm(package / name)
    await check(package, str(package / name), says)


async def test_a_graph_that_is_none_though_its_hash_is_right(package: Path) -> None:
    await check(package, "onnxruntime cannot load", MODEL_FILE, "export again")


@pytest.mark.parametrize(
    "text", [b"", b"{}", b"{", b"\xff\xfe", b'{"model": {"type": "BPE"}}', b"<html>"]
)
async def test_a_tokenizer_that_is_none_though_its_hash_is_right(
    package: Path, text: bytes
) -> None:
    (package / TOKENIZER_FILE).write_bytes(text)
    sign(package)
    await check(package, TOKENIZER_FILE, "is no tokenizer", "export again")


async def test_a_tokenizer_of_another_model(package: Path) -> None:
    """Its ids would lie outside the logits."""
    sign(package, msgspec.structs.replace(ARCHITECTURE, vocab_size=100))
    engine = open_engine(EngineOptions(model=package))
    status = await asyncio.wait_for(engine.wait_ready(), TIMEOUT_S)
    await engine.close()
    assert status.message == (
        "test model has token ids up to 259 but only 100 logits; "
        "its tokenizer belongs to another model: export again"
    )
