"""Find the files of a client of ours: inside the wheel, or in the source tree."""

from pathlib import Path

from inference.errors import InklingError


def client_folder(name: str) -> Path:
    """Return the folder of an editor's client. Raises InklingError where it did not come along."""
    packaged = Path(__file__).parent / "clients" / name
    source = Path(__file__).parents[1] / "editors" / name
    for folder in (packaged, source):
        if folder.is_dir():
            return folder
    raise InklingError(f"this installation has no files for {name}; install inkling-lsp anew")
