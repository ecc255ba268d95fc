"""The language server: LSP in and out, text from whatever stands behind `inference.Engine`."""

from lsp_server.lazy_types import import_types

# Before any module here imports them itself.
import_types()
