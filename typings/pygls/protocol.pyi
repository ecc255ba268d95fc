"""The part of pygls that lsp_server uses, typed; the rest is left out on purpose."""

from asyncio import Future
from collections.abc import Callable
from typing import Any, Protocol

from cattrs import Converter
from lsprotocol import types

Handler = Callable[..., object]

class FeatureManager:
    features: dict[str, Handler]
    builtin_features: dict[str, Handler]
    feature_options: dict[str, object]
    commands: dict[str, Handler]
    def add_builtin_feature(self, feature_name: str, func: Handler) -> None: ...

class Writer(Protocol):
    def write(self, data: bytes, *, is_urgent: bool = False) -> None: ...
    def close(self) -> None: ...

class JsonRPCRequestMessage: ...
class JsonRPCNotification: ...

class LanguageServerProtocol:
    VERSION: str
    fm: FeatureManager
    writer: Writer | None
    server_capabilities: types.ServerCapabilities
    server_info: types.ServerInfo
    _converter: Converter
    _request_futures: dict[object, Future[object]]
    def __init__(self, server: object, converter: Converter) -> None: ...
    def set_writer(self, writer: Writer, include_headers: bool = True) -> None: ...
    def get_message_type(self, method: str) -> type[Any] | None: ...
    def _register_builtin_features(self) -> None: ...
    def notify(self, method: str, params: object = None) -> None: ...
    def _send_data(self, data: object) -> None: ...
    def _execute_handler(
        self,
        msg_id: object,
        handler: Handler,
        callback: Callable[[Future[object]], object],
        args: tuple[object, ...] | None = None,
    ) -> None: ...
