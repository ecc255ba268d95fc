"""Ask a Completer as the engine does, without an engine around it."""

from inference.cancellation import CancelToken
from inference.completion import Completion, CompletionRequest
from inference.decoding.completer import Completer
from inference.timing import now_ms


def answered(
    completer: Completer,
    request: CompletionRequest,
    cancel: CancelToken | None = None,
    *,
    is_expired: bool = False,
) -> Completion:
    received_ms = -1e9 if is_expired else now_ms()
    return completer.complete(
        request,
        cancel or CancelToken(),
        received_ms=received_ms,
        publish=lambda written: None,
    )
