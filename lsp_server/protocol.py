"""Turn frames into calls of handlers, and what those return into exactly one answer per request.

Handlers are found, run and cancelled by pygls; this class decides what is answered when there is
nothing to run. It knows no document and no engine.

    not JSON -32700, no request -32600, before `initialize` -32002, after `shutdown` -32600,
    unknown method -32601, parameters that do not fit -32602, cancelled -32800, a bug -32603

An id is a string or a number (JSON-RPC 2.0, 4); while a request is being answered, another one
under its id is refused. A change of a document that is not understood leaves that document
unknown, see documents.py.

Invariant 8: every request is answered once. Invariant 15: neither an answer nor a log line carries
the text of an exception that is not ours, because it may quote a document.
"""

import asyncio
import json
import logging
import traceback
from asyncio import Future
from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

from cattrs import Converter
from lsprotocol import types
from pygls.exceptions import JsonRpcException
from pygls.protocol import JsonRPCNotification, JsonRPCRequestMessage, LanguageServerProtocol

from inference import InklingError
from lsp_server.capabilities import server_capabilities
from lsp_server.decoding import RequestId, Spelled, Unreadable, is_request_id
from lsp_server.lifecycle import Lifecycle, Phase
from lsp_server.profiles import client_profile
from lsp_server.structuring import structure_what_clients_send

log = logging.getLogger(__name__)

Handler = Callable[..., object]

INVALID_REQUEST: Final = types.ErrorCodes.InvalidRequest
CANCEL_REQUEST: Final = types.CANCEL_REQUEST
CHANGES: Final = frozenset(
    (
        types.TEXT_DOCUMENT_DID_OPEN,
        types.TEXT_DOCUMENT_DID_CHANGE,
        types.NOTEBOOK_DOCUMENT_DID_OPEN,
        types.NOTEBOOK_DOCUMENT_DID_CHANGE,
    )
)
"""What makes a document unknown when it is not understood."""


class InklingProtocol(LanguageServerProtocol):
    """pygls' dispatch, with an answer for everything. `lifecycle` says when to leave.

    `on_lost` is told the address of a document whose change was not understood, or None where it
    may have been any.
    """

    def __init__(self, server: object, converter: Converter) -> None:
        super().__init__(server, converter)
        structure_what_clients_send(converter)
        self.server_info = types.ServerInfo("inkling")
        self.lifecycle = Lifecycle()
        self.on_lost: Callable[[str | None], None] = lambda _: None
        self._waiting: set[RequestId] = set()
        self._dropped: Counter[RequestId] = Counter()
        self._asked: dict[str, Future[object]] = {}
        self._num_asked = 0

    def arrive(self, message: Any) -> bool:  # noqa: ANN401 - whatever JSON holds
        """See a message ahead of those that wait to be received; return whether it is done with.

        A cancellation overtakes them: what it names may be among them, and is then answered without
        being begun.
        """
        match message:
            case {"method": str(method), "id": request_id} if is_request_id(request_id):
                if method in _BUILTIN:
                    return False
                if request_id in self._waiting or request_id in self._request_futures:
                    error = "a request under this id is still being answered"
                    self._send_error(request_id, INVALID_REQUEST, error)
                    return True
                self._waiting.add(request_id)
                return False
            case {"method": types.CANCEL_REQUEST, "params": {"id": request_id}}:
                self._cancel(request_id)
                return True
            case _:
                return False

    def receive(self, message: Any) -> None:  # noqa: ANN401 - whatever JSON holds
        """Handle a message as JSON, whatever it holds, or as Unreadable. Never raises."""
        match message:
            case {"method": str(method), "id": request_id} if is_request_id(request_id):
                self._receive_request(message, method, request_id)
            case {"method": str(method)} if "id" not in message:
                self._receive_notification(message, method)
            case {"id": str(request_id)} if "method" not in message and request_id in self._asked:
                self._take_answer(message, self._asked[request_id])
            case {"id": _, "result": _} | {"id": _, "error": _} if "method" not in message:
                log.debug("an answer arrived; none is awaited")
            case {"id": request_id} if is_request_id(request_id):
                self._send_error(request_id, INVALID_REQUEST, "this is no request")
            case Unreadable():
                self._receive_unreadable(message)
            case _:
                self._send_error(None, INVALID_REQUEST, "this is no request")

    def end(self, reason: str) -> None:
        """Leave at the end of the stream of frames; say what was wrong with it, if anything was."""
        if not reason:
            self.lifecycle.end()
            return
        log.error("%s", reason)
        self._send_error(None, INVALID_REQUEST, reason)
        self.lifecycle.fail()

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

    def _receive_request(self, message: dict[str, Any], method: str, request_id: RequestId) -> None:
        if self._dropped[request_id] > 0:  # it was answered when it was cancelled
            self._dropped[request_id] -= 1
            return
        self._waiting.discard(request_id)
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
            self._lose(method, message)
        else:
            try:
                handler(params)
            except Exception as error:  # the boundary: a bug costs its own effect only
                log.error("%s failed: %s", method, described(error))  # noqa: TRY400 - its text may quote
                self._lose(method, message)

    def _receive_unreadable(self, message: Unreadable) -> None:
        log.warning("%.80s: %s", message.method or "a message", message.reason)
        if message.method in CHANGES or (message.method is None and message.is_json):
            self.on_lost(message.uri)
        code = INVALID_REQUEST if message.is_json else types.ErrorCodes.ParseError
        request_id = message.request_id if message.method is not None else None
        is_notification = message.method is not None and request_id is None
        if not (message.is_json and is_notification):
            self._send_error(request_id, code, message.reason)

    def _lose(self, method: str, message: Mapping[str, Any]) -> None:
        if method in CHANGES and (uri := _document_uri(message)) is not None:
            self.on_lost(uri)

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
        known = {"jsonrpc": self.VERSION, "method": method, "params": message.get("params")}
        if "id" in message:  # ours to echo, whatever LSP's types think of it
            known["id"] = 0
        try:
            return self._converter.structure(known, message_type).params
        except Exception:  # cattrs raises whatever the values make it raise
            return _INVALID

    def rehearse_reading(self, method: str, params: Mapping[str, Any]) -> None:
        """Read parameters for nobody, so that all is built which that needs."""
        found = self._params({"id": 0, "params": params}, method, JsonRPCRequestMessage)
        assert found is not _INVALID, method

    def rehearse_writing(self, result: object) -> None:
        """Make JSON of a result for nobody."""
        _response(0, "result", self._converter.unstructure(result))

    def _cancel(self, request_id: object) -> None:
        if not is_request_id(request_id):
            log.warning("%s ignored: it names no request", CANCEL_REQUEST)
        elif request_id in self._waiting:
            self._waiting.discard(request_id)
            self._dropped[request_id] += 1
            self._send_cancelled(request_id)
        elif (future := self._request_futures.get(request_id)) is not None:
            future.cancel()

    def _answer(self, request_id: RequestId, method: str, future: Future[object]) -> None:
        """Send the one response of a request whose handler is done."""
        if self._request_futures.get(request_id) is future:
            del self._request_futures[request_id]
        if future.cancelled():
            self._send_cancelled(request_id)
            return
        try:
            result = self._converter.unstructure(future.result())
            body = _response(request_id, "result", result)
        except JsonRpcException as error:
            self._send_error(request_id, error.code, error.message)
        except InklingError as error:
            self._send_error(request_id, types.LSPErrorCodes.RequestFailed, str(error))
        except Exception as error:  # the boundary: a bug costs its own answer only
            log.error("%s failed: %s", method, described(error))  # noqa: TRY400 - its text may quote
            reason = f"{method} failed ({type(error).__name__})"
            self._send_error(request_id, types.ErrorCodes.InternalError, reason)
        else:
            if method == types.INITIALIZE:  # from here on it cannot fail, and be tried again
                self.lifecycle.start()
            self._write(body)

    def _send_cancelled(self, request_id: RequestId) -> None:
        """Answer first of all what is cancelled: whoever cancels waits for nothing else."""
        error = {"code": types.LSPErrorCodes.RequestCancelled, "message": "cancelled"}
        self._write(_response(request_id, "error", error), is_urgent=True)

    def _send_error(self, request_id: RequestId | None, code: int, message: str) -> None:
        self._write(_response(request_id, "error", {"code": int(code), "message": message}))

    def _send_data(self, data: object) -> None:
        """Send what pygls has prepared: a notification."""
        self._write(_encoded(self._converter.unstructure(data)))

    def _write(self, body: bytes, *, is_urgent: bool = False) -> None:
        if self.writer is not None:
            self.writer.write(body, is_urgent=is_urgent)

    def _register_builtin_features(self) -> None:
        """Keep of what pygls brings only these: its documents read disks."""
        self.fm.add_builtin_feature(types.INITIALIZE, self._initialize)
        self.fm.add_builtin_feature(types.SHUTDOWN, self._shut_down)

    def _initialize(self, params: Mapping[str, object]) -> types.InitializeResult:
        self.server_capabilities = server_capabilities(
            self.fm.features, self.fm.feature_options, client_profile(params)
        )
        handler = self.fm.features.get(types.INITIALIZE)
        if handler is not None:
            handler(params)
        return types.InitializeResult(self.server_capabilities, self.server_info)

    def _shut_down(self, _params: None) -> None:
        self.lifecycle.shut_down()
        for future in [*self._request_futures.values(), *self._asked.values()]:
            future.cancel()


def refused(message: str) -> JsonRpcException:
    """Return what a handler raises where it cannot do what it is asked for."""
    return JsonRpcException(message, types.ErrorCodes.InvalidParams)


def described(error: BaseException) -> str:
    """Return an error's kind and where it came from, without its text and without any value."""
    places = "".join(traceback.format_tb(error.__traceback__))
    return f"{type(error).__name__}\n{places}".rstrip()


_INVALID: Final = object()
_BUILTIN: Final = (types.INITIALIZE, types.SHUTDOWN)


def _plain_params(message: Mapping[str, Any]) -> object:
    """Return the parameters of `initialize` as they came, see profiles.py, or _INVALID."""
    match message.get("params"):
        case {**params}:
            return params
        case _:
            return _INVALID


def _document_uri(message: Mapping[str, Any]) -> str | None:
    """Return which document a message is about, although it may not fit otherwise."""
    match message.get("params"):
        case {"textDocument": {"uri": str(uri)}} | {"notebookDocument": {"uri": str(uri)}}:
            return uri
        case _:
            return None


def _response(request_id: RequestId | None, name: str, value: object) -> bytes:
    spelled = request_id.text if isinstance(request_id, Spelled) else json.dumps(request_id)
    body = b'{"jsonrpc":"2.0","id":%b,"%b":%b}'
    return body % (spelled.encode("ascii"), name.encode("ascii"), _encoded(value))


def _encoded(message: object) -> bytes:
    return json.dumps(message, separators=(",", ":")).encode("ascii")
