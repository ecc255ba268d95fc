"""Answer `textDocument/inlineCompletion`: ghost text."""

from typing import Final

from lsprotocol import types

from lsp_server.convert import inline_completion_list, no_inline_completions
from lsp_server.features.feedback import accept_command
from lsp_server.features.suggestion import suggest
from lsp_server.policy.gate import Trigger
from lsp_server.server import Feature, InklingServer


async def inline_completion(
    ls: InklingServer, params: types.InlineCompletionParams
) -> types.InlineCompletionList:
    is_invoked = params.context.trigger_kind is types.InlineCompletionTriggerKind.Invoked
    trigger = Trigger.INVOKED if is_invoked else Trigger.AUTOMATIC
    selected = params.context.selected_completion_info
    suggestion = await suggest(ls, params.text_document.uri, params.position, trigger, selected)
    if suggestion is None:
        return no_inline_completions()
    document, offset, completion, ordinal = suggestion
    return inline_completion_list(
        document,
        offset,
        [completion.text, *completion.alternatives],
        selected=selected,
        command=accept_command(ls.journal.session, ordinal),
    )


# Without an options object the capability would not be advertised.
FEATURES: Final = (
    Feature(
        types.TEXT_DOCUMENT_INLINE_COMPLETION, types.InlineCompletionOptions(), inline_completion
    ),
)
