"""remote: the options of an endpoint, and the table of layouts that ships."""

from pathlib import Path

import click
import msgspec
import pytest
from click.testing import CliRunner

from export.package.fim_conventions import CONVENTIONS
from inference import EngineState, EngineStatus, RemoteOptions
from inference.serving.remote.endpoint import layout_for
from lsp_server.features.status import as_copilots, as_status
from lsp_server.remote import read_layouts, remote_options


def check(*arguments: str, environment: dict[str, str] | None = None) -> RemoteOptions | None:
    """Return what a command gets; the layouts are looked at by themselves."""
    got = list[RemoteOptions | None]()

    @click.command()
    @remote_options
    def command(remote: RemoteOptions | None) -> None:
        got.append(remote)

    result = CliRunner(env=environment or {}).invoke(command, arguments)
    assert result.exit_code == 0, result.output
    (remote,) = got
    return remote and msgspec.structs.replace(remote, layouts=())


def test_without_an_endpoint_there_is_none() -> None:
    assert check() is None
    assert check("--remote", "") is None
    assert check("--remote-model", "m") is None


def test_an_endpoint_comes_from_the_command_line() -> None:
    more = ("--remote-model", "m", "--remote-layout", "qwen", "--remote-neighbours", "2")
    expected = RemoteOptions(url="http://a", model="m", layout="qwen", num_neighbours=2)
    assert check("--remote", "http://a", *more) == expected


def test_or_from_the_environment() -> None:
    environment = {"INKLING_REMOTE": "http://a", "INKLING_REMOTE_MODEL": "m"}
    assert check(environment=environment) == RemoteOptions(url="http://a", model="m")


def test_no_file_of_the_current_folder_is_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (".env", "inkling.toml", ".inkling.toml", "pyproject.toml"):
        (tmp_path / name).write_text('INKLING_REMOTE="http://evil"\n', "utf-8")
    monkeypatch.chdir(tmp_path)
    assert check() is None


def shown(spelling: str) -> str:
    """Return a token's name as a text spells it, blanks at its ends left out."""
    return spelling.replace("\u2581", " ").strip()


@pytest.mark.parametrize("layout", read_layouts(), ids=lambda layout: layout.name)
def test_a_layout_is_spelled_as_the_export_spells_it(layout: object) -> None:
    """One family has a table of its own there: its spelling is another's, and so is its order."""
    (layout,) = (one for one in read_layouts() if one == layout)
    name = {"codegemma": "qwen"}.get(layout.name, layout.name)
    (convention,) = (one for one in CONVENTIONS if one.name == name)
    spelled = [layout.prefix.strip(), layout.suffix.strip(), layout.middle.strip()]
    marks = (convention.prefix, convention.suffix, convention.middle or "")
    # DeepSeek's bars and blanks are part of its tokens and stay.
    kept = [mark if "\uff5c" in mark else shown(mark) for mark in marks]
    assert spelled == kept
    assert layout.order == convention.orders[0]


NAMES = {
    "Qwen/Qwen2.5-Coder-7B": "qwen",
    "qwen2.5-coder:1.5b-base": "qwen",
    "models/qwen3-coder-30b-a3b-q4_k_m.gguf": "qwen",
    "bigcode/starcoder2-3b": "starcoder",
    "ibm-granite/granite-8b-code-base-4k": "granite-code",
    "granite-code:3b": "granite-code",
    "ibm-granite/granite-4.0-h-tiny": "granite",
    "JetBrains/Mellum-4b-base": "mellum",
    "deepseek-ai/deepseek-coder-1.3b-base": "deepseek",
    "codellama/CodeLlama-7b-hf": "codellama",
    "mistralai/Codestral-22B-v0.1": "codestral",
    "google/codegemma-2b": "codegemma",
    "gpt-4o": None,
    "": None,
}


@pytest.mark.parametrize(("model", "name"), NAMES.items())
def test_a_model_is_known_by_its_name(model: str, name: str | None) -> None:
    found = layout_for(model, RemoteOptions(url="", layouts=read_layouts()))
    assert (found and found.name) == name


def test_the_status_line_says_who_answers_and_why() -> None:
    """The small model that stands in is not the only one: no better one is offered."""
    message = "https://a.example:443: it is busy (503); embedded completes meanwhile"
    status = EngineStatus(state=EngineState.READY, model="embedded", message=message)
    assert as_status(status)["message"] == message
    assert as_status(status)["small_model_only"] is False
    assert as_copilots(status) == {"busy": False, "kind": "Normal", "message": message}
