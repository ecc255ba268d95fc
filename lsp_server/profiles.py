"""Know what a client can do, from what it says of itself in `initialize`."""

from dataclasses import dataclass
from typing import Final

from lsprotocol.types import ClientCapabilities, InitializeParams, PositionEncodingKind

ENCODINGS: Final = (
    PositionEncodingKind.Utf8,
    PositionEncodingKind.Utf32,
    PositionEncodingKind.Utf16,
)
"""Best first, as far as a client lists them; one that lists nothing speaks utf-16 (LSP 3.18)."""


@dataclass(frozen=True)
class ClientProfile:
    """`shows_inline_completion`: it asks for ghost text; a menu must not repeat that."""

    name: str = ""
    version: str = ""
    process_id: int | None = None
    position_encoding: PositionEncodingKind = PositionEncodingKind.Utf16
    shows_inline_completion: bool = False


def client_profile(params: InitializeParams) -> ClientProfile:
    client = params.client_info
    return ClientProfile(
        name=client.name if client else "",
        version=(client.version or "") if client else "",
        process_id=params.process_id,
        position_encoding=_position_encoding(params.capabilities),
        shows_inline_completion=_shows_inline_completion(params.capabilities),
    )


def _position_encoding(capabilities: ClientCapabilities) -> PositionEncodingKind:
    offered = (capabilities.general and capabilities.general.position_encodings) or ()
    return next((kind for kind in ENCODINGS if kind in offered), PositionEncodingKind.Utf16)


def _shows_inline_completion(capabilities: ClientCapabilities) -> bool:
    text_document = capabilities.text_document
    return text_document is not None and text_document.inline_completion is not None
