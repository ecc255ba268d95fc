"""Know which documents are the cells of a notebook, and in which order. Pure."""

from collections.abc import Sequence

from lsp_server.uris import document_key


class Notebooks:
    """The cells of open notebooks, by the keys of their addresses."""

    def __init__(self) -> None:
        self._cells: dict[str, list[str]] = {}

    def open(self, uri: str, cells: Sequence[str]) -> None:
        self._cells[document_key(uri)] = [document_key(cell) for cell in cells]

    def splice(self, uri: str, start: int, num_removed: int, cells: Sequence[str]) -> None:
        """Put `cells` in the place of as many as are removed; an unknown notebook stays so."""
        known = self._cells.get(document_key(uri))
        if known is not None:
            known[start : start + num_removed] = [document_key(cell) for cell in cells]

    def close(self, uri: str) -> Sequence[str]:
        """Know a notebook no longer; return the keys of its cells."""
        return self._cells.pop(document_key(uri), ())

    def around(self, cell: str) -> tuple[Sequence[str], Sequence[str]]:
        """Return the keys of the cells above and below one, none where it is no cell."""
        key = document_key(cell)
        for cells in self._cells.values():
            if key in cells:
                index = cells.index(key)
                return cells[:index], cells[index + 1 :]
        return (), ()
