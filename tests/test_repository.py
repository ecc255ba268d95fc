"""Rules about the code are tests, so that they never have to be caught up with."""

import ast
import importlib.metadata
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("inkling", "lsp_server", "inference", "export", "evaluation", "team")
MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 60

MODEL_FAMILIES = (
    r"qwen|mixtral|mistral|olmo|deepseek|granite|(?<!o)llama(?!-server|\.cpp)|gemma|grok|starcoder|"
    "mellum|phimoe|gpt.?oss|ernie|glm"
)
"""Programs that are called after one, such as llama-server, are none."""


def sources() -> Iterator[Path]:
    for package in PACKAGES:
        yield from (ROOT / package).rglob("*.py")


def check(*command: str) -> None:
    """Run a tool of this environment in the repository's root; it finds nothing."""
    tool = Path(sys.executable).parent / command[0]
    done = subprocess.run(
        [tool, *command[1:]], check=False, cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_ruff_finds_nothing() -> None:
    check("ruff", "check", "--quiet", ".")


def test_everything_is_formatted() -> None:
    check("ruff", "format", "--quiet", "--check", ".")


@pytest.mark.slow
def test_basedpyright_finds_nothing() -> None:
    check("basedpyright", "--warnings")


def test_every_module_keeps_its_layer() -> None:
    check("lint-imports", "--no-cache")


def test_files_stay_readable() -> None:
    lengths = {path: path.read_text("utf-8").count("\n") for path in sources()}
    assert [f"{path}: {n} lines" for path, n in lengths.items() if n > MAX_FILE_LINES] == []


def test_functions_stay_readable() -> None:
    long = [
        f"{path}:{node.lineno} {node.name}"
        for path in sources()
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or node.lineno) - node.lineno >= MAX_FUNCTION_LINES
    ]
    assert long == []


def test_every_module_says_what_it_is_for() -> None:
    silent = [
        str(path)
        for path in sources()
        if path.read_text("utf-8").strip() and not ast.get_docstring(ast.parse(path.read_text()))
        if path.name != "__main__.py"
    ]
    assert silent == []


def test_the_engine_knows_no_model_family() -> None:
    """Invariant 2."""
    found = [
        f"{path.name}: {match[0]}"
        for path in (ROOT / "inference").rglob("*.py")
        for match in re.finditer(MODEL_FAMILIES, path.read_text("utf-8"), re.IGNORECASE)
    ]
    assert found == []


def test_nobody_decides_by_language() -> None:
    """A language is data in languages.toml."""
    found = [
        f"{path.name}: {match[0]}"
        for path in sources()
        for match in re.finditer(
            r"language(_id)? (==|in|!=) [(\[{]?[\"'].*", path.read_text("utf-8")
        )
    ]
    assert found == []


MANUALS = (
    ROOT / "README.md",
    ROOT / "training" / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
)
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text("utf-8")


def test_the_architecture_names_every_folder_of_the_packages() -> None:
    folders = {
        f"`{path.parent.relative_to(ROOT).as_posix()}/`"
        for package in PACKAGES
        for path in (ROOT / package).rglob("__init__.py")
        # Below the second floor a folder is named beside the one that it belongs to.
        if len(path.relative_to(ROOT).parts) <= 3
    }
    assert sorted(folder for folder in folders if folder not in ARCHITECTURE) == []


@pytest.mark.parametrize("manual", MANUALS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_manual_names_files_and_modules_that_exist(manual: Path) -> None:
    text = manual.read_text("utf-8")
    files = re.findall(r"`([\w/]+/[\w.]+\.(?:py|toml|md))`", text)
    modules = re.findall(r"\bpy(?:thon3?)? -m ((?:training|benchmarks)[\w.]*)", text)
    named = [*files, *(f"{module.replace('.', '/')}.py" for module in modules)]
    places = (ROOT, manual.parent)
    assert [name for name in named if not any((at / name).is_file() for at in places)] == []


@pytest.mark.parametrize("title", ["A keystroke's way", "A tensor's way"])
def test_a_way_has_at_most_twelve_steps_and_each_is_a_file(title: str) -> None:
    section = ARCHITECTURE.partition(f"## {title}\n")[2].partition("\n## ")[0]
    steps = re.findall(r"^\| (\d+) \| `([^`]+)` \|", section, re.MULTILINE)
    assert [int(number) for number, _ in steps] == list(range(1, len(steps) + 1))
    assert 0 < len(steps) <= 12
    assert all((ROOT / name).is_file() for _, name in steps)


@pytest.mark.parametrize("package", PACKAGES)
def test_our_import_names_are_our_own(package: str) -> None:
    """Another distribution of the name `inference` exists; it must not be in the same place."""
    owners = importlib.metadata.packages_distributions().get(package, [])
    assert set(owners) <= {"inkling-lsp"}


def test_every_package_is_in_the_wheel() -> None:
    text = (ROOT / "pyproject.toml").read_text("utf-8")
    packages = ", ".join(f'"{package}"' for package in PACKAGES)
    assert f"packages = [{packages}]" in text


def tracked_text() -> Iterator[tuple[str, str]]:
    listing = subprocess.run(
        ["git", "ls-files"], check=True, cwd=ROOT, capture_output=True, text=True
    )
    for name in listing.stdout.split("\n"):
        path = ROOT / name
        is_text = path.suffix in {".py", ".toml", ".md", ".txt", ".json", ""} and path.is_file()
        if is_text and path.stat().st_size < 200_000:
            yield name, path.read_text("utf-8", errors="replace")


def test_no_machine_path_is_written_down() -> None:
    places = ("/" + "work/", "/" + "root/", "/" + "home/")
    found = [name for name, text in tracked_text() if any(place in text for place in places)]
    assert found == []


def test_the_tools_of_make_are_constrained() -> None:
    """Every dependency that make installs has a version that was seen to work."""
    written = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    groups = written["dependency-groups"]
    extra = written["project"]["optional-dependencies"]["cluster"]
    named = [*written["project"]["dependencies"], *groups["test"], *groups["parity"], *extra]
    names = {re.split(r"[<>=;[]", line)[0] for line in named if isinstance(line, str)}
    pinned = {
        line.partition("==")[0].lower().replace("-", "_")
        for line in (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    }
    # the CPU build of onnxruntime is for other machines; training has an environment of its own
    unpinned = {name for name in names if name.lower().replace("-", "_") not in pinned}
    assert unpinned - {"onnxruntime"} == set()
