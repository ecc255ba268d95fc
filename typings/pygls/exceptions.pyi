"""The part of pygls that lsp_server uses, typed; the rest is left out on purpose."""

class JsonRpcException(Exception):
    message: str
    code: int
    def __init__(self, message: str | None = None, code: int | None = None) -> None: ...
