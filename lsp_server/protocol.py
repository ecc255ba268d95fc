"""Turn frames into calls of handlers, and what those return into exactly one answer per request.

Handlers are found, run and cancelled by pygls; this class decides what is answered when there is
nothing to run. It knows no document and no engine.

    not JSON -32700, no request -32600, before `initialize` -32002, after `shutdown` -32600,
    unknown method -32601, parameters that do not fit -32602, cancelled -32800, a bug -32603

Invariant 8: every request is answered once. Invariant 15: neither an answer nor a log line carries
the text of an exception that is not ours, because it may quote a document.
"""

import asyncio
import json
import logging
import math
import traceback
from asyncio import Future
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

from cattrs import Converter
from lsprotocol import types
from pygls.capabilities import ServerCapabilitiesBuilder
from pygls.exceptions import JsonRpcException
from pygls.protocol import JsonRPCNotification, JsonRPCRequestMessage, LanguageServerProtocol

from inference import InklingError
from lsp_server.lifecycle import Lifecycle, Phase
from lsp_server.profiles import ClientProfile, client_profile

log = logging.getLogger(__name__)

RequestId = str | int
Handler = Callable[..., object]

MAX_UINTEGER: Final = 2**31 - 1
INVALID_REQUEST: Final = types.ErrorCodes.InvalidRequest
CANCEL_REQUEST: Final = types.CANCEL_REQUEST


class InklingProtocol(LanguageServerProtocol):
    """pygls' dispatch, with an answer for everything. `lifecycle` says when to leave."""

    def __init__(self, server: object, converter: Converter) -> None:
        super().__init__(server, converter)
        _accept_what_clients_send(converter)
        self.server_info = types.ServerInfo("inkling")
        self.lifecycle = Lifecycle()
        self._asked: dict[str, Future[object]] = {}
        self._num_asked = 0

    def receive(self, body: bytes) -> None:
        """Handle one frame's body, whatever it holds. Never raises."""
        try:
            message = json.loads(body.decode("utf-8"))
        except (ValueError, RecursionError):
            self._send_error(None, types.ErrorCodes.ParseError, "the message is not JSON in utf-8")
            return
        match message:
            case {"method": str(method), "id": str() | int() as request_id}:
                self._receive_request(message, method, request_id)
            case {"method": str(method)} if "id" not in message:
                self._receive_notification(message, method)
            case {"id": str(request_id)} if "method" not in message and request_id in self._asked:
                self._take_answer(message, self._asked[request_id])
            case {"id": _, "result": _} | {"id": _, "error": _} if "method" not in message:
                log.debug("an answer arrived; none is awaited")
            case _:
                self._send_error(_usable_id(message), INVALID_REQUEST, "this is no request")

    def request(self, method: str, params: object) -> Future[object]:
        """Ask the client. The future holds its result as plain JSON, None where it states none.

        It raises JsonRpcException where the client refuses, and is cancelled when the session ends.
        To cancel it is to tell the client that nobody waits any more.
        """
        self._num_asked += 1
        request_id = f"{self.server_info.name}/{self._num_asked}"
        answer = asyncio.get_running_loop().create_future()
        self._asked[request_id] = answer
        answer.add_done_callback(partial(self._forget_asked, request_id))
        params = self._converter.unstructure(params)
        message = {"jsonrpc": self.VERSION, "id": request_id, "method": method, "params": params}
        self._write(_encoded(message))
        return answer

    def _take_answer(self, message: Mapping[str, Any], answer: Future[object]) -> None:
        if answer.done():
            return
        match message:
            case {"error": {"code": int(code)}}:
                answer.set_exception(JsonRpcException("the client refuses", code))
            case {"error": error} if error is not None:
                answer.set_exception(JsonRpcException("the client refuses", INVALID_REQUEST))
            case _:
                answer.set_result(message.get("result"))

    def _forget_asked(self, request_id: str, answer: Future[object]) -> None:
        del self._asked[request_id]
        if answer.cancelled() and self.lifecycle.phase is Phase.RUNNING:
            params = {"id": request_id}
            message = {"jsonrpc": self.VERSION, "method": CANCEL_REQUEST, "params": params}
            self._write(_encoded(message))

    def fail(self, reason: str) -> None:
        """Say what was wrong with the stream of frames, and leave."""
        log.error("%s", reason)
        self._send_error(None, INVALID_REQUEST, reason)
        self.lifecycle.fail()

    def _receive_request(self, message: dict[str, Any], method: str, request_id: RequestId) -> None:
        if message.get("jsonrpc") != self.VERSION:
            self._send_error(request_id, INVALID_REQUEST, 'a request must state "jsonrpc": "2.0"')
        elif (refusal := self._refusal(method)) is not None:
            self._send_error(request_id, *refusal)
        elif (handler := self._handler(method)) is None:
            error = f"{method[:80]} is unknown to this server"
            self._send_error(request_id, types.ErrorCodes.MethodNotFound, error)
        elif (params := self._params(message, method, JsonRPCRequestMessage)) is _INVALID:
            error = f"the parameters of {method} do not fit"
            self._send_error(request_id, types.ErrorCodes.InvalidParams, error)
        else:
            answer = partial(self._answer, request_id, method)
            self._execute_handler(request_id, handler, answer, (params,))

    def _receive_notification(self, message: dict[str, Any], method: str) -> None:
        if method == types.EXIT:
            self.lifecycle.end()
        elif self.lifecycle.phase is not Phase.RUNNING:
            log.debug("%.80r ignored: not running", method)
        elif method == CANCEL_REQUEST:
            self._cancel(message)
        elif (handler := self._handler(method)) is None:
            log.debug("%.80r ignored: nobody handles it", method)
        elif (params := self._params(message, method, JsonRPCNotification)) is _INVALID:
            log.warning("%s ignored: its parameters do not fit", method)
        else:
            try:
                handler(params)
            except Exception as error:  # the boundary: a bug costs its own effect only
                log.error("%s failed: %s", method, described(error))  # noqa: TRY400 - its text may quote

    def _refusal(self, method: str) -> tuple[int, str] | None:
        """Return what is answered to a request that this phase of life does not allow."""
        match self.lifecycle.phase:
            case Phase.UNINITIALIZED if method != types.INITIALIZE:
                return types.ErrorCodes.ServerNotInitialized, "initialize the server first"
            case Phase.RUNNING if method == types.INITIALIZE:
                return INVALID_REQUEST, "the server is initialized already"
            case Phase.SHUT_DOWN:
                return INVALID_REQUEST, "the server is shut down"
            case _:
                return None

    def _handler(self, method: str) -> Handler | None:
        features = self.fm.builtin_features if method in _BUILTIN else self.fm.features
        return features.get(method)

    def _params(self, message: dict[str, Any], method: str, fallback: type[Any]) -> object:
        """Return the parameters as lsprotocol's types, or _INVALID."""
        if method == types.INITIALIZE:
            return _plain_params(message)
        message_type = self.get_message_type(method) or fallback
        try:
            return self._converter.structure({"params": None, **message}, message_type).params
        except Exception:  # cattrs raises whatever the values make it raise
            return _INVALID

    def _cancel(self, message: dict[str, Any]) -> None:
        match message:
            case {"params": {"id": str() | int() as request_id}}:
                future = self._request_futures.get(request_id)
                if future is not None:
                    future.cancel()
            case _:
                log.warning("%s ignored: it names no request", CANCEL_REQUEST)

    def _answer(self, request_id: RequestId, method: str, future: Future[object]) -> None:
        """Send the one response of a request whose handler is done."""
        if self._request_futures.get(request_id) is future:
            del self._request_futures[request_id]
        if future.cancelled():
            error = "the request was cancelled"
            self._send_error(request_id, types.LSPErrorCodes.RequestCancelled, error)
            return
        try:
            result = self._converter.unstructure(future.result())
            body = _encoded({"jsonrpc": self.VERSION, "id": request_id, "result": result})
        except JsonRpcException as error:
            self._send_error(request_id, error.code, error.message)
        except InklingError as error:
            self._send_error(request_id, types.LSPErrorCodes.RequestFailed, str(error))
        except Exception as error:  # the boundary: a bug costs its own answer only
            log.error("%s failed: %s", method, described(error))  # noqa: TRY400 - its text may quote
            reason = f"{method} failed ({type(error).__name__})"
            self._send_error(request_id, types.ErrorCodes.InternalError, reason)
        else:
            self._write(body)

    def _send_error(self, request_id: object, code: int, message: str) -> None:
        error = {"code": int(code), "message": message}
        self._write(_encoded({"jsonrpc": self.VERSION, "id": request_id, "error": error}))

    def _send_data(self, data: object) -> None:
        """Send what pygls has prepared: a notification."""
        self._write(_encoded(self._converter.unstructure(data)))

    def _write(self, body: bytes) -> None:
        if self.writer is not None:
            self.writer.write(body)

    def _register_builtin_features(self) -> None:
        """Keep of what pygls brings only these: its documents read disks."""
        self.fm.add_builtin_feature(types.INITIALIZE, self._initialize)
        self.fm.add_builtin_feature(types.SHUTDOWN, self._shut_down)

    def _initialize(self, params: Mapping[str, object]) -> types.InitializeResult:
        self.lifecycle.start()
        self.server_capabilities = _capabilities(self, client_profile(params))
        handler = self.fm.features.get(types.INITIALIZE)
        if handler is not None:
            handler(params)
        return types.InitializeResult(self.server_capabilities, self.server_info)

    def _shut_down(self, _params: None) -> None:
        self.lifecycle.shut_down()
        for future in [*self._request_futures.values(), *self._asked.values()]:
            future.cancel()


def described(error: BaseException) -> str:
    """Return an error's kind and where it came from, without its text and without any value."""
    places = "".join(traceback.format_tb(error.__traceback__))
    return f"{type(error).__name__}\n{places}".rstrip()


_INVALID: Final = object()
_BUILTIN: Final = (types.INITIALIZE, types.SHUTDOWN)


def _accept_what_clients_send(converter: Converter) -> None:
    """Read two things more leniently than LSP's types do.

    Libraries of before LSP 3.18 count trigger kinds from 0, so that whoever has sent 0 once means
    "automatic" by 1. Some clients write a very large number for the end of a line.
    """
    kinds = types.InlineCompletionTriggerKind
    invoked = {int(kinds.Invoked)}

    def trigger_kind(value: object, _: type) -> types.InlineCompletionTriggerKind:
        if type(value) is int and value == 0:
            invoked.clear()
            invoked.add(0)
        return kinds.Invoked if type(value) is int and value in invoked else kinds.Automatic

    def position(value: dict[str, Any], _: type) -> types.Position:
        line, character = (min(int(value[name]), MAX_UINTEGER) for name in ("line", "character"))
        return types.Position(line, character)

    converter.register_structure_hook(types.InlineCompletionTriggerKind, trigger_kind)
    converter.register_structure_hook(types.Position, position)


def _plain_params(message: Mapping[str, Any]) -> object:
    """Return the parameters of `initialize` as they came, see profiles.py, or _INVALID."""
    match message.get("params"):
        case {"capabilities": {}} as params:
            return params
        case _:
            return _INVALID


def _capabilities(protocol: InklingProtocol, profile: ClientProfile) -> types.ServerCapabilities:
    """Advertise what is registered; a completion menu only where there is no ghost text."""
    features = set(protocol.fm.features)
    if profile.shows_inline_completion:
        features.discard(types.TEXT_DOCUMENT_COMPLETION)
    if not profile.shows_virtual_documents:
        features.discard(types.WORKSPACE_TEXT_DOCUMENT_CONTENT)
    capabilities = ServerCapabilitiesBuilder(
        types.ClientCapabilities(),
        features,
        protocol.fm.feature_options,
        list(protocol.fm.commands),
        types.TextDocumentSyncKind.Incremental,
        None,
        profile.position_encoding,
    ).build()
    options = protocol.fm.feature_options
    capabilities.workspace = _workspace_options(features, options)
    commands = options.get(types.WORKSPACE_EXECUTE_COMMAND)
    assert commands is None or isinstance(commands, types.ExecuteCommandOptions)
    capabilities.execute_command_provider = commands
    return capabilities


def _workspace_options(
    features: set[str], options: Mapping[str, object]
) -> types.WorkspaceOptions | None:
    workspace = types.WorkspaceOptions()
    if types.WORKSPACE_DID_CHANGE_WORKSPACE_FOLDERS in features:
        workspace.workspace_folders = types.WorkspaceFoldersServerCapabilities(
            supported=True, change_notifications=True
        )
    if types.WORKSPACE_TEXT_DOCUMENT_CONTENT in features:
        content = options[types.WORKSPACE_TEXT_DOCUMENT_CONTENT]
        assert isinstance(content, types.TextDocumentContentOptions)
        workspace.text_document_content = content
    return workspace if workspace != types.WorkspaceOptions() else None


def _usable_id(message: object) -> object:
    match message:
        case {"id": str() | int() as request_id}:
            return request_id
        case {"id": float() as request_id} if math.isfinite(request_id):
            return request_id
        case _:
            return None


def _encoded(message: object) -> bytes:
    return json.dumps(message, separators=(",", ":")).encode("ascii")
