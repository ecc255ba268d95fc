"""Follow notebooks: each cell is a document, and its neighbours stand above and below it."""

from typing import Final

from lsprotocol import types

from lsp_server.features.sync import change_document, open_document
from lsp_server.server import Feature, InklingServer


def did_open(ls: InklingServer, params: types.DidOpenNotebookDocumentParams) -> None:
    notebook = params.notebook_document
    for item in params.cell_text_documents:
        open_document(ls, item)
    ls.documents.notebooks.open(notebook.uri, [cell.document for cell in notebook.cells])


def did_change(ls: InklingServer, params: types.DidChangeNotebookDocumentParams) -> None:
    cells = params.change.cells
    if cells is None:
        return
    if cells.structure is not None:
        _restructure(ls, params.notebook_document.uri, cells.structure)
    for content in cells.text_content or ():
        change_document(ls, content.document, content.changes)


def did_save(_ls: InklingServer, _params: types.DidSaveNotebookDocumentParams) -> None:
    """Do nothing: what a notebook holds does not depend on where it is kept."""


def did_close(ls: InklingServer, params: types.DidCloseNotebookDocumentParams) -> None:
    for cell in params.cell_text_documents:
        ls.closed(cell.uri)
    ls.documents.notebooks.close(params.notebook_document.uri)


def _restructure(
    ls: InklingServer, uri: str, structure: types.NotebookDocumentCellChangeStructure
) -> None:
    for item in structure.did_open or ():
        open_document(ls, item)
    for cell in structure.did_close or ():
        ls.closed(cell.uri)
    change = structure.array
    cells = [cell.document for cell in change.cells or ()]
    ls.documents.notebooks.splice(uri, change.start, change.delete_count, cells)


FEATURES: Final = (
    Feature(types.NOTEBOOK_DOCUMENT_DID_OPEN, None, did_open),
    Feature(types.NOTEBOOK_DOCUMENT_DID_CHANGE, None, did_change),
    Feature(types.NOTEBOOK_DOCUMENT_DID_SAVE, None, did_save),
    Feature(types.NOTEBOOK_DOCUMENT_DID_CLOSE, None, did_close),
)
