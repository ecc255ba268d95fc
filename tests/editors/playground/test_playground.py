"""The playground in Chromium, with the model that ships: typed into, looked at, attacked."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from inference.package.store import embedded_folder
from tests.editors.npm import run_script
from tests.editors.playground.fetch import FOLDER
from tests.editors.playground.page import TOKENS, Page, command
from tests.support.processes import children_named

pytestmark = [pytest.mark.editor, pytest.mark.slow]

Open = Callable[..., Page]


def test_the_page_is_small_enough_to_ship(page_folder: Path) -> None:
    files = list(page_folder.iterdir())
    assert {file.suffix for file in files} == {".gz"}
    assert sum(file.stat().st_size for file in files) < 1_500_000


def test_the_page_is_as_its_checkers_want_it(page_folder: Path) -> None:
    run_script(FOLDER, "check")


@pytest.mark.shows("ghost text")
@pytest.mark.shows("accept all")
@pytest.mark.shows("status")
def test_a_suggestion_is_shown_and_accepted(opened: Open) -> None:
    page = opened().ready()
    assert page.ghost() == "x = x"
    page.press("Tab")
    page.shows("        self.x = x")
    page.no_ghost()
    page.eventually("() => document.querySelector('#answer').textContent.length > 0")
    assert any('"inkling.accepted"' in message for message in page.sent)


@pytest.mark.shows("accept word")
def test_a_word_is_accepted(opened: Open) -> None:
    page = opened().ready()
    page.ghost("x = x")
    page.press("Control+ArrowRight")
    page.shows("        self.x")
    assert page.ghost() == " = x"


@pytest.mark.shows("accept line")
def test_a_line_is_accepted(opened: Open) -> None:
    page = opened().ready()
    page.ghost("x = x")
    page.press("Control+Alt+ArrowRight")
    page.shows("        self.x = x")


@pytest.mark.shows("typed through")
def test_what_is_typed_through_comes_from_the_cache(opened: Open) -> None:
    page = opened().ready()
    page.ghost("x = x")
    for typed, left in (("x", " = x"), (" ", "= x"), ("=", " x")):
        page.type(typed)
        assert page.ghost(left) == left
    assert page.tokens("·=") == ["·=", "·x"]
    assert page.tab.get_attribute("#tokens button", "data-source") == "cache"


@pytest.mark.shows("next, previous")
def test_others_can_be_chosen_and_are_looked_into(opened: Open) -> None:
    page = opened().ready()
    page.ghost("x = x")
    tokens = "".join(page.tokens(".x"))
    page.press("Alt+]")
    page.another_ghost("x = x")
    page.eventually(f"known => ({TOKENS}).join('') !== known", tokens)
    page.press("Alt+[")
    page.ghost("x = x")


def test_the_panel_says_what_the_model_saw(opened: Open) -> None:
    page = opened().ready()
    page.ghost("x = x")
    assert page.tokens(".x") == [".x", "·=", "·x"]
    assert page.panel("answer").startswith("shown")
    assert "the model wrote it (inkling-base)" in page.panel("answer")
    for stage in ("read", "write", "other"):
        assert stage in page.panel("time")
    first = page.tab.locator("#tokens button").first
    assert first.get_attribute("data-source") == "healing"
    assert "%, ln -" in first.get_attribute("title")
    assert page.tab.locator(".candidates li").count() == 5
    assert "12 layers of 12 experts, 2 read each token" in page.panel("experts")
    assert page.tab.locator("#experts rect:not(.row)").count() == 12 * 2


def test_a_look_that_dies_says_so_and_the_next_one_is_there(opened: Open) -> None:
    page = opened().ready()
    page.tokens(".x")
    for process in children_named("multiprocessing.spawn"):
        process.kill()
    page.type("x")
    page.eventually("() => document.querySelector('#tokens').textContent.startsWith('No look: ')")
    page.type(" ")
    page.tokens("·=")


def test_a_reason_stands_there_where_nothing_is_shown(opened: Open) -> None:
    page = opened().ready()
    page.ghost("x = x")
    page.press("Control+a", "Delete")
    page.eventually("() => document.querySelector('.outcome').textContent === 'blank'")
    assert "the document is blank" in page.panel("answer")
    assert page.panel("tokens") == "Nothing is shown."


def test_all_of_it_works_from_the_keyboard(opened: Open) -> None:
    page = opened().ready()
    page.tokens(".x")
    page.press("F6", "ArrowRight")
    assert page.tab.evaluate("document.activeElement.textContent") == "·="
    page.eventually("() => document.querySelector('#token').textContent.includes('the model')")
    page.press("Tab")
    assert page.tab.evaluate("document.activeElement.id") == "all-tokens"
    page.press("Space")
    page.eventually("() => document.querySelectorAll('#experts rect:not(.row)').length > 12")
    page.press("F6", "Escape")
    page.no_ghost()
    page.press("Alt+\\")
    page.ghost("x = x")


def test_each_language_has_a_file_that_is_kept(opened: Open) -> None:
    page = opened().ready()
    page.ghost("x = x")
    page.press("Tab")
    languages = page.tab.eval_on_selector_all("#language option", "all => all.map(o => o.value)")
    assert len(languages) >= 8
    for language in languages:
        page.tab.select_option("#language", language)
        wanted = f'"languageId":"{language}"'
        page.eventually("() => document.querySelector('#editor .view-line') !== null")
        assert any(wanted in message for message in page.sent)
    page.tab.select_option("#language", "python")
    page.shows("        self.x = x")


@pytest.mark.shows("model switch")
def test_another_model_is_chosen_on_the_page(open_page: Open, address: str, tmp_path: Path) -> None:
    installed = tmp_path / "data" / "inkling" / "models" / "other"
    shutil.copytree(embedded_folder(), installed)
    page = open_page(address).ready()
    page.ghost("x = x")
    assert page.tab.eval_on_selector_all("#model option", "all => all.map(o => o.value)") == [
        "embedded",
        "other",
    ]
    begun = len(page.sent)
    page.tab.select_option("#model", "other")
    page.eventually("() => document.querySelector('#status').dataset.state !== 'ready'")
    page.ready()
    page.ghost("x = x")
    methods = [json.loads(message).get("method") for message in page.sent[begun:]]
    assert methods.count("initialize") == 1
    assert not (tmp_path / "data" / "inkling" / "model").exists()  # nobody else's choice changes


def test_a_tab_that_is_loaded_again_is_let_in_and_another_is_not(
    open_page: Open, address: str
) -> None:
    page = open_page(address).ready()
    page.tab.reload()
    page.ready()
    page.ghost("x = x")
    other = open_page(address)
    other.tab.wait_for_selector("#status[data-state=failed]")
    assert "has let in a tab already" in other.tab.inner_text("#notice")
    other.faults.clear()  # the browser itself says that the answer was 401


def test_a_server_that_goes_is_noticed(open_page: Open, page_folder: Path, tmp_path: Path) -> None:
    with command(tmp_path) as address:
        page = open_page(address).ready()
        page.ghost("x = x")
    page.tab.wait_for_selector("#status[data-state=closed]")
    assert "The server has gone" in page.tab.inner_text("#notice")
    page.press("Escape")
    page.type("y")  # what is typed is not lost
    page.shows("        self.y")


def test_nothing_leaves_the_origin(open_page: Open, address: str) -> None:
    page = open_page(address).ready()
    page.tokens(".x")
    origin = address.partition("#")[0]
    assert len(page.requested) >= 5
    assert [url for url in page.requested if not url.startswith(origin)] == []
    assert page.tab.evaluate("location.href") == origin
    blocked = "url => fetch(url).then(() => 'sent', error => error.name)"
    assert page.tab.evaluate(blocked, "http://127.0.0.1:9/") == "TypeError"
    socket = (
        "url => { try { new WebSocket(url); return 'opened' } catch (error) { return error.name } }"
    )
    page.tab.evaluate(socket, "ws://127.0.0.1:9/")
    page.eventually("() => true")
    assert all("Content Security Policy" in fault for fault in page.faults)
    assert len(page.faults) >= 2
    page.faults.clear()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_as_light_as_the_system(opened: Open, scheme: str) -> None:
    page = opened(scheme=scheme).ready()
    page.ghost("x = x")
    colours = [
        page.tab.evaluate(f"getComputedStyle(document.querySelector('{name}')).backgroundColor")
        for name in ("body", "#panel", "#editor .monaco-editor-background")
    ]
    levels = [int(colour.partition("(")[2].partition(",")[0]) for colour in colours]
    assert all(level > 200 for level in levels) if scheme == "light" else max(levels) < 60
