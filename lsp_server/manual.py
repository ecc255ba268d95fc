"""Write what the tree of settings says: the user's manual, and the schema that VS Code shows.

Run: python -m lsp_server.manual --markdown > docs/settings.md
     python -m lsp_server.manual --extension editors/vscode

An extension's package.json keeps its own settings first; the last section of its "configuration"
is the server's. The sentences stand in package.nls.json, for those who translate them.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import click

from lsp_server.settings import SECTION, SETTINGS, Settings, about

INTRODUCTION: Final = """\
# Settings

Written by `python -m lsp_server.manual --markdown`; a test says when it is stale.

Clients send settings in three ways: as `initializationOptions`, by \
`workspace/didChangeConfiguration`, and by answering `workspace/configuration`, which the server \
asks once it is initialized and whenever a change tells nothing.
They stand alone or under `inkling`; dotted names such as `inkling.maxTokens` will do.
Where a client sends the sections of several servers at once, only the one under `inkling` counts.

| Name | Default | Values | |
|---|---|---|---|
"""

RULES: Final = """\

## What holds when several say something

The later ones in this order over the earlier, setting by setting, and `languages` language by \
language:

1. the defaults above
2. `initializationOptions`
3. the configuration, pushed or asked for, whichever came last
4. commands such as `inkling.pause`, until the session ends

Each is read whole: what is removed from the configuration goes back to what \
`initializationOptions` say, or to the default.
`null`, `[]` and `{}` set nothing, as a whole or in place of a value.
A value that makes no sense counts as not sent, and one message says so.
`32.0` is `32`.

VS Code lets a workspace set all but `statistics`, which is the user's alone.

## What no client can set

Which model answers, which program runs, where files and logs lie, and whom to talk to: these \
come from the command line and the environment of `inkling lsp`, which no workspace can reach.
A setting that sounds like one of them sets nothing, whatever its name is or where it stands, and \
one message says so.
"""


def manual() -> str:
    """Return `docs/settings.md`."""
    return INTRODUCTION + "".join(_row(name) for name in SETTINGS) + RULES


def schema() -> Mapping[str, object]:
    """Return the settings as VS Code's `contributes.configuration` wants them."""
    properties = {f"{SECTION}.{name}": _property(name) for name in SETTINGS}
    return {"title": "Inkling", "properties": properties}


def sentences() -> Mapping[str, str]:
    """Return the sentence about each setting, by the key that stands for it in the schema."""
    described = {_key(name): about(SETTINGS[name]).description for name in SETTINGS}
    return {key: f"{text[0].upper()}{text[1:]}." for key, text in described.items()}


def write_extension(folder: Path) -> None:
    """Bring an extension's manifest and its English sentences up to date."""
    manifest, texts = folder / "package.json", folder / "package.nls.json"
    package: dict[str, Any] = json.loads(manifest.read_text("utf-8"))
    package["contributes"]["configuration"][-1] = schema()
    written: dict[str, str] = json.loads(texts.read_text("utf-8"))
    own = {key: text for key, text in written.items() if not key.startswith(_key(""))}
    _write_json(manifest, package)
    _write_json(texts, {**own, **sentences()})


def _row(name: str) -> str:
    known = about(SETTINGS[name])
    return f"| `{name}` | `{_default(name)}` | {known.kind.expected} | {known.description} |\n"


def _property(name: str) -> Mapping[str, object]:
    known = about(SETTINGS[name])
    return {
        **known.kind.schema,
        "default": _DEFAULTS[SETTINGS[name].name],
        "scope": known.scope,
        "markdownDescription": f"%{_key(name)}%",
    }


def _key(name: str) -> str:
    return f"setting.{name}"


def _write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", "utf-8")


def _default(name: str) -> str:
    return json.dumps(_DEFAULTS[SETTINGS[name].name])


_DEFAULTS: Final = asdict(Settings())


@click.command()
@click.option("--markdown", is_flag=True, help="Print the manual of settings.")
@click.option(
    "--extension",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="The folder of an extension for VS Code, whose package.json gets the schema.",
)
def main(*, markdown: bool, extension: Path | None) -> None:
    """Write what the tree of settings says."""
    if markdown:
        click.echo(manual(), nl=False)
    elif extension is not None:
        write_extension(extension)
    else:
        raise click.UsageError("--markdown or --extension?")


if __name__ == "__main__":
    main()
