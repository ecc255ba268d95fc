"""Find the files of a client of ours: inside the wheel, or in the source tree."""

from pathlib import Path

from inference.errors import InklingError


def client_folder(name: str) -> Path:
    """Return the folder of an editor's client, as it is installed.

    Raises InklingError where it did not come along, or is not built yet.
    """
    packaged = Path(__file__).parent / "clients" / name
    if packaged.is_dir():
        return packaged
    source = Path(__file__).parents[1] / "editors" / name
    if not source.is_dir():
        raise InklingError(f"this installation has no files for {name}; install inkling-lsp anew")
    if not (source / "package.json").is_file():
        return source
    if not (source / "dist").is_dir():
        build = "npm ci --ignore-scripts && npm run build"
        raise InklingError(f"{name} is not built; `{build}` in {source} does it")
    return source / "dist"
