"""What the doctor finds well, worth a note, or broken, and with which code it leaves."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from msgspec.structs import replace

from inference import ModelReport, RuntimeReport, inspect_model
from lsp_server.insight.doctor import (
    Check,
    environment_checks,
    model_checks,
    self_test_checks,
    state_check,
)
from lsp_server.insight.self_test import Filled, Hole, SelfTest, read_holes

ROOT = Path(__file__).parents[3]
RUNTIME = RuntimeReport(python="3.11.7", platform="here", versions={}, providers=["CPU"])
MODEL = ModelReport(
    folder="models/coder",
    reason="coder, by name",
    name="coder",
    precision="int4",
    order_of_hole="psm",
    training="base",
    quality={"agreement": 0.97},
)
HOLE = Hole(language="python", prefix="a + ", begins=("b",))


def verdicts(checks: object) -> dict[str, str]:
    assert not isinstance(checks, Check)
    found = list(checks)
    assert all(check.advice for check in found if check.verdict != "ok"), "each has advice"
    return {check.name: check.verdict for check in found if check.verdict != "ok"}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, {}),
        ({"is_embedded": True}, {"model": "note"}),
        ({"problem": "model.onnx is missing"}, {"package": "problem"}),
        ({"tokenizer_problem": "'x' does not come back"}, {"tokenizer": "problem"}),
        ({"order_of_hole": ""}, {"holes": "note"}),
        ({"training": "instruct"}, {"training": "note"}),
        ({"quality": {}}, {"quality": "note"}),
    ],
)
def test_a_model(changes: dict[str, object], expected: dict[str, str]) -> None:
    assert verdicts(model_checks(replace(MODEL, **changes))) == expected


@pytest.mark.parametrize(
    ("problem", "python", "expected"),
    [
        ("", (3, 11), {}),
        ("", (3, 10), {"environment": "problem"}),
        ("onnxruntime cannot be loaded: x", (3, 12), {"providers": "problem"}),
    ],
)
def test_an_environment(problem: str, python: tuple[int, int], expected: dict[str, str]) -> None:
    assert verdicts(environment_checks(replace(RUNTIME, problem=problem), python)) == expected


@pytest.mark.parametrize(
    ("texts", "ms", "is_embedded", "expected"),
    [
        (["b", "b", "b", "x"], 10.0, False, {}),
        ([" b + 1", "x", "b", "x"], 10.0, False, {"fill self-test": "problem"}),
        (["x", "x", "", ""], 10.0, True, {}),
        (["x", "", "", ""], 10.0, True, {"fill self-test": "problem"}),
        (["b", "b", "b", "b"], 80.0, False, {"speed": "note"}),
        (["b", "b", "b", "b"], 800.0, False, {"speed": "note"}),
    ],
)
def test_a_self_test(
    texts: list[str], ms: float, is_embedded: bool, expected: dict[str, str]
) -> None:
    test = SelfTest(
        model="coder",
        load_ms=900.0,
        filled=[Filled(hole=HOLE, text=text) for text in texts],
        ms_per_token=ms,
        tokens_read_per_second=1000.0,
    )
    checks = self_test_checks(replace(MODEL, is_embedded=is_embedded), test)
    assert verdicts(checks) == expected


@pytest.mark.parametrize(
    ("ms", "speed"), [(0.0, "unknown"), (1.3, "fast"), (40.0, "good"), (99.0, "slow")]
)
def test_a_class_of_speed(ms: float, speed: str) -> None:
    test = SelfTest(model="m", load_ms=1.0, filled=[], ms_per_token=ms, tokens_read_per_second=0.0)
    assert test.speed_class == speed


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such modes")
def test_a_state_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert state_check(tmp_path / "state").verdict == "ok"
    tmp_path.chmod(0o755)
    assert verdicts([state_check(tmp_path)]) == {"state folder": "note"}
    (tmp_path / "file").write_text("")
    assert verdicts([state_check(tmp_path / "file")]) == {"state folder": "note"}
    monkeypatch.setenv("INKLING_JOURNAL", "off")
    assert state_check(tmp_path / "file").verdict == "ok"


def test_the_holes_that_ship() -> None:
    holes = read_holes()
    assert len(holes) >= 8
    assert len({hole.language for hole in holes}) >= 3
    assert all(hole.begins and all(hole.begins) for hole in holes)


def test_the_model_that_ships_is_known_and_whole() -> None:
    report = inspect_model("embedded")
    assert (report.problem, report.tokenizer_problem, report.training) == ("", "", "base")
    assert report.is_embedded


@pytest.mark.parametrize("file", ["model.onnx.data", "manifest.json", "tokenizer.json"])
def test_a_package_that_was_changed_is_reported(file: str, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(inspect_model("embedded").folder, folder)
    content = bytearray((folder / file).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / file).write_bytes(content)
    assert file in inspect_model(str(folder)).problem


def diagnosed(*arguments: str, home: Path) -> tuple[int, dict[str, object]]:
    """Run the command as users do, without their editors."""
    done = subprocess.run(
        [sys.executable, "-m", "inkling", "doctor", "--json", *arguments],
        check=False,
        capture_output=True,
        cwd=ROOT,
        env={**os.environ, "HOME": str(home), "PATH": str(home)},
    )
    return done.returncode, json.loads(done.stdout)


@pytest.mark.e2e
@pytest.mark.slow
def test_all_is_well_with_the_model_that_ships(tmp_path: Path) -> None:
    code, found = diagnosed("--model", "embedded", home=tmp_path)
    assert code == 0
    assert {check["name"]: check["verdict"] for check in found["checks"]} == {
        "environment": "ok",
        "libraries": "ok",
        "providers": "ok",
        "model": "note",
        "package": "ok",
        "quality": "ok",
        "holes": "ok",
        "training": "ok",
        "tokenizer": "ok",
        "fill self-test": "ok",
        "speed": "ok",
        "state folder": "ok",
        "editors": "note",
    }


@pytest.mark.e2e
@pytest.mark.slow
def test_a_model_that_is_not_there_is_a_problem(tmp_path: Path) -> None:
    code, found = diagnosed("--model", str(tmp_path / "nowhere"), home=tmp_path)
    assert code == 1
    problems = [check["name"] for check in found["checks"] if check["verdict"] == "problem"]
    assert problems == ["model"]
