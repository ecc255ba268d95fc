"""Put the editors' clients into the wheel, and build those that are written in TypeScript.

Those need npm. Without it the wheel has the others, and what is missing says so when it is asked
for. A wheel for development (`pip install --editable`) reads `editors/` as it is.
"""

import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

WRITTEN: Final = ("neovim", "emacs", "recipes")
BUILT: Final = {"vscode": "dist/inkling.vsix", "playground": "dist"}
INSTALL: Final = ("ci", "--ignore-scripts", "--no-audit", "--no-fund")
NOT_SOURCES: Final = {"node_modules", "dist"}


class Clients(BuildHookInterface):
    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "editable":
            return
        editors = Path(self.root, "editors")
        for name in WRITTEN:
            build_data["force_include"][str(editors / name)] = f"inkling/clients/{name}"
        for name, place in BUILT.items():
            result = editors / name / place
            if _is_newer(result, editors / name) or self._build(editors / name):
                rest = result.relative_to(editors / name / "dist")
                inside = Path("inkling", "clients", name, rest).as_posix()
                build_data["force_include"][str(result)] = inside

    def _build(self, folder: Path) -> bool:
        npm = shutil.which("npm")
        if npm is None:
            self.app.display_warning(f"npm is not installed: the wheel goes without {folder.name}")
            return False
        install = [] if (folder / "node_modules").is_dir() else [INSTALL]
        for arguments in (*install, ("run", "build")):
            done = subprocess.run([npm, *arguments], check=False, cwd=folder)  # noqa: S603 - ours
            if done.returncode != 0:
                what = f"npm {' '.join(arguments)} failed"
                self.app.display_warning(f"{what}: the wheel goes without {folder.name}")
                return False
        return True


def _is_newer(result: Path, folder: Path) -> bool:
    """Say whether what was built is there and younger than all that it was built from."""
    if not result.exists():
        return False
    built = max(path.stat().st_mtime for path in (result, *result.rglob("*")))
    sources = (
        path
        for place in folder.iterdir()
        if place.name not in NOT_SOURCES
        for path in (place, *place.rglob("*"))
    )
    return built > max(path.stat().st_mtime for path in sources if path.is_file())
