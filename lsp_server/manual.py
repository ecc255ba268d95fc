"""Write what the tree of settings says: the user's manual, and the schema that VS Code shows.

Run: python -m lsp_server.manual --markdown > docs/settings.md
     python -m lsp_server.manual --schema     the "configuration" of an extension's package.json
"""

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Final

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


def markdown() -> str:
    """Return `docs/settings.md`."""
    return INTRODUCTION + "".join(_row(name) for name in SETTINGS) + RULES


def schema() -> Mapping[str, object]:
    """Return the settings as VS Code's `contributes.configuration` wants them."""
    properties = {f"{SECTION}.{name}": _property(name) for name in SETTINGS}
    return {"title": "Inkling", "properties": properties}


def _row(name: str) -> str:
    known = about(SETTINGS[name])
    return f"| `{name}` | `{_default(name)}` | {known.kind.expected} | {known.description} |\n"


def _property(name: str) -> Mapping[str, object]:
    known = about(SETTINGS[name])
    description = f"{known.description[0].upper()}{known.description[1:]}."
    return {
        **known.kind.schema,
        "default": _DEFAULTS[SETTINGS[name].name],
        "scope": known.scope,
        "markdownDescription": description,
    }


def _default(name: str) -> str:
    return json.dumps(_DEFAULTS[SETTINGS[name].name])


_DEFAULTS: Final = asdict(Settings())


@click.command()
@click.option("--markdown", "form", flag_value="markdown", help="The manual of settings.")
@click.option("--schema", "form", flag_value="schema", help="VS Code's schema, as JSON.")
def main(form: str | None) -> None:
    """Write what the tree of settings says to the standard output."""
    if form is None:
        raise click.UsageError("--markdown or --schema?")
    click.echo(markdown() if form == "markdown" else json.dumps(schema(), indent=2), nl=False)


if __name__ == "__main__":
    main()
