"""The page's files, and what is said where there are none or the port is taken."""

import gzip
from pathlib import Path

import pytest

from inference import InklingError
from lsp_server.playground.site import read_site
from lsp_server.playground.web import Playground
from tests.support.web_client import playground


def test_files_are_found_by_their_names_alone(tmp_path: Path) -> None:
    for name in ("index.html.gz", "main.js.gz", "secret.txt.gz", "main.css"):
        (tmp_path / name).write_bytes(gzip.compress(name.encode()))
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "inner.js.gz").write_bytes(b"")
    pages = read_site(tmp_path)
    assert set(pages) == {"/", "/index.html", "/main.js"}
    assert pages["/"].content_type == "text/html; charset=utf-8"


def test_a_folder_without_a_page_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InklingError, match="does not hold the playground's page"):
        read_site(tmp_path)


async def test_a_port_that_is_taken_is_an_error() -> None:
    async with playground() as opened:
        other = Playground({}, list, lambda _: pytest.fail("nobody came"))
        with pytest.raises(InklingError, match=f"port {opened.port} cannot be had"):
            async with other.opened(opened.port):
                pass
