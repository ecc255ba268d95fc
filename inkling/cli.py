"""Find a verb's command, import it only when it runs, and turn our errors into one line.

`inkling lsp` must not pay for onnx-ir, nor `inkling export` for pygls.
"""

import importlib
import sys
from typing import Final

import click

from inference.errors import InklingError

# verb -> where its command lives, what `inkling --help` says of it
VERBS: Final = {
    "audit": ("lsp_server.insight.cli:audit", "Show what Inkling reads, writes and talks to."),
    "complete": ("inference.cli:complete", "Complete the hole at FILE:LINE:COLUMN."),
    "doctor": ("lsp_server.insight.cli:doctor", "Check that everything works here."),
    "eval": ("evaluation.cli:evaluate", "Measure a model on holes in real code."),
    "explain": ("lsp_server.insight.cli:explain", "Say what became of the last requests, and why."),
    "export": ("export.cli:export", "Turn a checkpoint into a quantized model package."),
    "model": ("export.catalogue.cli:model", "Add, choose and remove models by name."),
    "lsp": ("lsp_server.cli:lsp", "Run the language server over stdio."),
    "playground": ("inkling.playground:playground", "Try a model in the browser."),
    "serve": ("team.cli:serve", "Answer a team's completions over HTTP."),
    "setup": ("inkling.setup.cli:setup", "Have an editor know Inkling."),
    "stats": ("lsp_server.insight.cli:stats", "Count what was shown, accepted and kept."),
    "token": ("team.cli:token", "Say who may use the service of `inkling serve`."),
    "verify": ("export.cli:verify", "Check a package, alone or against its checkpoint."),
}


class LazyGroup(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        module_name, attribute = VERBS[cmd_name][0].split(":")
        command = getattr(importlib.import_module(module_name), attribute)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(verb, VERBS[verb][1]) for verb in self.list_commands(ctx)])


@click.group(cls=LazyGroup)
@click.version_option(package_name="inkling-lsp", prog_name="inkling")
def inkling() -> None:
    """Code completion that is local, private and fast, in every editor that speaks LSP."""


def main() -> None:
    try:
        inkling(prog_name="inkling")
    except InklingError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(2)
