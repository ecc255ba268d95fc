"""`inkling eval` from the outside, on the model that ships."""

import gzip
import json
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner, Result

from evaluation.cli import evaluate
from evaluation.humaneval import Problem
from inference.errors import EngineUnavailableError, EvaluationError, InvalidRequestError
from inference.package.store import embedded_folder

SOURCE = "def f(a):\n    b = a + 1\n    return b\n\n\ndef g(c):\n    d = c + 2\n    return d\n"
PROBLEMS = [
    Problem(
        task_id=f"Infilling/{number}",
        entry_point="f",
        prompt="def f(a):\n",
        suffix="    return b\n",
        canonical_solution="    b = a\n",
        test="def check(candidate):\n    assert candidate(1) == 1\n",
    )
    for number in range(3)
]


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(evaluate, [str(argument) for argument in arguments])


def check(*arguments: str | Path) -> dict:
    """Run with --json; return what it printed."""
    result = run(*arguments, "--json")
    assert result.exception is None, result.output
    return json.loads(result.stdout)


def check_refused(*arguments: str | Path, error: type[Exception], says: str) -> None:
    result = run(*arguments)
    assert isinstance(result.exception, error)
    assert says in str(result.exception)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "a.py"
    path.write_text(SOURCE)
    return path


@pytest.fixture
def problems(tmp_path: Path) -> Path:
    path = tmp_path / "problems.jsonl.gz"
    lines = b"\n".join(map(msgspec.json.encode, PROBLEMS))
    path.write_bytes(gzip.compress(lines))
    return path


@pytest.mark.slow
def test_holes_are_filled_and_repeating_it_gives_the_same(source: Path) -> None:
    first, again = (check(source, "--max-holes", "6", "--seed", "3") for _ in range(2))
    assert [row["kind"] for row in first["rows"]] == [
        "all",
        "block",
        "line",
        "line_tail",
        "statement",
    ]
    assert first["rows"][0]["num_holes"] == len(first["records"]) == 6
    assert all(record["bits"] > 0 for record in first["records"])
    for found in (first, again):
        for record in found["records"]:
            assert record.pop("latency_ms") > 0
        for row in found["rows"]:
            row["figures"] = {k: v for k, v in row["figures"].items() if not k.startswith("lat")}
    assert first == again


@pytest.mark.slow
def test_a_model_does_not_differ_from_itself(source: Path) -> None:
    found = check(source, "--max-holes", "4", "--against", embedded_folder())
    differences = found["against"]["differences"][0]["differences"]
    assert differences["bits_per_byte"] == {"difference": 0, "low": 0, "high": 0}
    assert len(found["against"]["records"]) == 4


@pytest.mark.slow
def test_a_run_of_another_day_can_be_held_against(source: Path, tmp_path: Path) -> None:
    earlier = tmp_path / "earlier.json"
    earlier.write_text(json.dumps(check(source, "--max-holes", "4", "--limit-tokens", "1")))
    found = check(source, "--max-holes", "4", "--against", earlier)
    assert found["against"]["differences"][0]["differences"]["first_token"]["difference"] == 0
    check_refused(
        source, "--seed", "1", "--against", earlier, error=InvalidRequestError, says="other holes"
    )


@pytest.mark.slow
def test_people_see_a_table_and_a_picture(source: Path, tmp_path: Path) -> None:
    picture = tmp_path / "a.png"
    result = run(source, "--max-holes", "4", "--plot", picture)
    assert result.exception is None
    assert "line_tail" in result.stdout
    assert "bits per" in result.stdout
    assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_problems_are_filled_and_run(problems: Path) -> None:
    found = check("--humaneval-infilling", problems)
    assert found["settings"]["isolation"] in {"namespace", "refusal"}
    assert [record["hole_id"] for record in found["records"]] == [p.task_id for p in PROBLEMS]
    assert len({record["verdict"] for record in found["records"]}) == 1
    passed = found["records"][0]["passed"]
    assert found["rows"][0]["figures"]["pass_at_1"] == float(passed)


@pytest.mark.slow
def test_people_see_how_programs_ended(problems: Path) -> None:
    result = run("--humaneval-infilling", problems, "--max-holes", "2")
    assert "programs ran in a network namespace" in result.stdout or "refused" in result.stdout
    assert ": 2 " in result.stdout


@pytest.mark.slow
def test_a_device_that_the_package_has_no_graph_for(source: Path) -> None:
    check_refused(
        source, "--device", "cuda", error=EngineUnavailableError, says="has no graph for cuda"
    )


def test_paths_and_problems_exclude_each_other(source: Path, problems: Path) -> None:
    message = "one of both"
    check_refused(error=InvalidRequestError, says=message)
    check_refused(
        source, "--humaneval-infilling", problems, error=InvalidRequestError, says=message
    )


def test_a_folder_without_code_is_refused(tmp_path: Path) -> None:
    check_refused(tmp_path, error=InvalidRequestError, says="no holes can be cut there")


def test_a_folder_without_a_model_is_named(source: Path, tmp_path: Path) -> None:
    check_refused(
        source, "--model", tmp_path, error=EngineUnavailableError, says="no manifest.json"
    )


def test_a_picture_that_cannot_be_drawn_is_refused_at_once(source: Path) -> None:
    check_refused(source, "--plot", "a.txt", error=InvalidRequestError, says="end its name in .png")


def test_without_matplotlib_the_extra_is_named(
    source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("evaluation.plot.importlib.util.find_spec", lambda _: None)
    check_refused(
        source, "--plot", "a.png", error=EvaluationError, says="pip install 'inkling-lsp[plot]'"
    )
