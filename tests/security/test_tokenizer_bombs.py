"""Tokenizers that would never end: refused before the library sees them, and ended if they are not.

Every package here has the right hashes, as one made by an attacker would have.
"""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from inference.completion import Completion, CompletionRequest, FinishReason
from inference.engine import EngineState
from inference.errors import InvalidModelError
from inference.package.manifest import TOKENIZER_FILE
from inference.serving.local import load_package
from inference.serving.patience import Patience
from inference.serving.supervised import SupervisedEngine
from tests.faults.packages import sign, write_package
from tests.support import fake_host_bomb
from tests.support.tiny_checkpoints import byte_tokenizer

TIMEOUT_S = 60.0
REGEX = {"type": "Split", "behavior": "Isolated", "invert": False}
GROWTH = [
    {"type": "Replace", "pattern": {"String": before}, "content": after * 1000}
    for before, after in zip("abc", "bcd", strict=True)
]

BOMBS: dict[str, dict[str, Any]] = {
    "catastrophic regex": {"pre_tokenizer": REGEX | {"pattern": {"Regex": "(a+)+$"}}},
    "overlapping alternatives": {"pre_tokenizer": REGEX | {"pattern": {"Regex": "(a|a)*$"}}},
    "polynomial regex": {"pre_tokenizer": REGEX | {"pattern": {"Regex": r"\s*\s*\s*\s*\s*x"}}},
    "invalid regex": {"pre_tokenizer": REGEX | {"pattern": {"Regex": "(["}}},
    "chained replacements": {"normalizer": {"type": "Sequence", "normalizers": GROWTH}},
    "a type that nobody expects": {"normalizer": {"type": "Precompiled"}},
    "a decoder that grows": {"decoder": {"type": "Sequence", "decoders": GROWTH}},
    "huge vocabulary": {"model": {"type": "BPE", "vocab": {}, "merges": [0] * 2_100_000}},
    "merges of nothing": {"model": {"type": "BPE", "vocab": {"a": 0}, "merges": ["x y"]}},
    "no model": {"model": None},
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_package(tmp_path)
    return tmp_path


def check_refused(folder: Path, content: bytes) -> None:
    (folder / TOKENIZER_FILE).write_bytes(content)
    sign(folder)
    with pytest.raises(InvalidModelError, match=r"tokenizer\.json (is no tokenizer|is larger)"):
        load_package(folder)


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_bomb(bomb: str, folder: Path) -> None:
    check_refused(folder, json.dumps(byte_tokenizer() | BOMBS[bomb]).encode())


@pytest.mark.parametrize("content", [b"[" * 1_000_000, b'{"a":' * 1_000_000, b'{"model":', b""])
def test_json_that_is_deep_or_cut_off(content: bytes, folder: Path) -> None:
    check_refused(folder, content)


def test_a_file_larger_than_any(folder: Path) -> None:
    check_refused(folder, b" " * ((32 << 20) + 1))


@pytest.mark.slow
async def test_an_encoding_that_does_not_return_is_ended_and_the_engine_lives_on() -> None:
    patience = Patience(heartbeat_s=0.2, silent_beats=10, overdue_s=0.5, first_delay_s=0.01)
    engine = SupervisedEngine(
        fake_host_bomb.COMMAND, patience=patience, environment=fake_host_bomb.ENVIRONMENT
    )
    async with asyncio.timeout(TIMEOUT_S):
        first = await engine.wait_ready()
        assert (await engine.complete(request("x"))).text == fake_host_bomb.TEXT
        answer = await engine.complete(request(fake_host_bomb.FUSE, deadline_ms=100))
        assert answer == Completion.nothing(FinishReason.UNAVAILABLE)
        assert "late with an answer" in engine.status().message or (
            "silent" in engine.status().message
        )
        again = await engine.wait_ready()
        assert (again.state, again.num_restarts) == (EngineState.READY, 1)
        assert again.process_id != first.process_id
        assert (await engine.complete(request("x"))).text == fake_host_bomb.TEXT
    await engine.close()


def request(prefix: str, *, deadline_ms: int = 10_000) -> CompletionRequest:
    return CompletionRequest(document="a.py", prefix=prefix, deadline_ms=deadline_ms)
