"""The part of pygls that lsp_server uses, typed; the rest is left out on purpose."""

from collections.abc import Callable
from typing import Any, TypeVar

from lsprotocol import types
from pygls.protocol import Handler, LanguageServerProtocol

H = TypeVar("H", bound=Handler)

class LanguageServer:
    protocol: Any
    def __init__(
        self, name: str, version: str, *, protocol_cls: type[LanguageServerProtocol]
    ) -> None: ...
    def feature(self, feature_name: str, options: object | None = None) -> Callable[[H], H]: ...
    def window_log_message(self, params: types.LogMessageParams) -> None: ...
    def window_show_message(self, params: types.ShowMessageParams) -> None: ...
