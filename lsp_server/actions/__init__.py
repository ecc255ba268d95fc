"""What the server offers to do with code; one file each, adding one is a line in ACTIONS.

An action is offered by what stands there, which costs next to nothing, and computed when the user
has chosen it. It changes one piece of the document it was asked for, or shows a text; it never runs
anything and never names another file, whatever a comment in the document asks for.
"""

from typing import Final

from lsp_server.actions import (
    annotate,
    complete_body,
    continue_prose,
    explain,
    fix_diagnostic,
    rewrite,
    write_docstring,
    write_test,
)
from lsp_server.actions.action import Action

ACTIONS: Final[tuple[Action, ...]] = (
    fix_diagnostic.ACTION,
    complete_body.ACTION,
    write_docstring.ACTION,
    annotate.ACTION,
    continue_prose.ACTION,
    explain.ACTION,
    rewrite.ACTION,
    write_test.ACTION,
)
