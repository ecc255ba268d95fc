"""backends: what is started, and what importing the engine costs."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from inference.engine import EngineState
from inference.serving.backends import EngineOptions, host_command, open_engine

TIMEOUT_S = 30.0
HOST = [sys.executable, "-P", "-m", "inference.serving.host", "--parent", str(os.getpid())]


def check(options: EngineOptions, *, arguments: list[str]) -> None:
    assert host_command(options) == [*HOST, *arguments]


def test_without_options_the_host_takes_its_own_model() -> None:
    check(EngineOptions(), arguments=[])


def test_a_model_is_passed_on_as_it_is_named() -> None:
    check(EngineOptions(model="a-name"), arguments=["--model", "a-name"])


def test_the_number_of_threads_is_passed_on() -> None:
    check(EngineOptions(num_threads=3), arguments=["--threads", "3"])


def test_a_device_is_passed_on() -> None:
    check(EngineOptions(device="cuda"), arguments=["--device", "cuda"])


async def test_a_device_that_the_package_is_not_for_is_told() -> None:
    engine = open_engine(EngineOptions(device="cuda"))
    status = await asyncio.wait_for(engine.wait_ready(), TIMEOUT_S)
    await engine.close()
    assert status.state is EngineState.FAILED
    assert "has no graph for cuda; export it again with --device cuda" in status.message


def test_importing_the_engine_loads_nothing_heavy() -> None:
    heavy = {"onnxruntime", "tokenizers", "numpy", "pygls", "lsprotocol", "click", "rich"}
    code = "import sys, inference; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert heavy & set(done.stdout.split()) == set()


async def test_a_package_that_is_not_there_is_told(tmp_path: Path) -> None:
    engine = open_engine(EngineOptions(model=str(tmp_path / "nowhere")))
    status = await asyncio.wait_for(engine.wait_ready(), TIMEOUT_S)
    await engine.close()
    assert status.state is EngineState.FAILED
    assert status.message == (
        f"no model {tmp_path / 'nowhere'} is installed and there is no such folder; there are "
        "embedded, and `inkling model list` shows what can be added"
    )


async def test_code_in_the_current_folder_is_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An editor starts us in a folder that may hold a stranger's repository."""
    for module in ("inference", "numpy", "onnxruntime", "msgspec", "asyncio"):
        marker = f"open({str(tmp_path / 'marker')!r}, 'w').close()"
        (tmp_path / f"{module}.py").write_text(marker, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    engine = open_engine(EngineOptions(model=str(tmp_path / "nowhere")))
    status = await asyncio.wait_for(engine.wait_ready(), TIMEOUT_S)
    await engine.close()
    assert "is installed" in status.message
    assert not (tmp_path / "marker").exists()
