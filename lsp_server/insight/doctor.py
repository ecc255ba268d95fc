"""Check that Inkling can do its work here, and say in plain words what to do where it cannot."""

import asyncio
import os
import stat
import sys
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path
from typing import Final, Literal

import msgspec

from inference import (
    InklingError,
    ModelNotFoundError,
    ModelReport,
    RuntimeReport,
    inspect_model,
    inspect_runtime,
)
from lsp_server.insight.editors import ADVICE, FoundEditor, find_editors
from lsp_server.insight.journal import SWITCH, append, state_folder
from lsp_server.insight.self_test import SelfTest, read_holes, self_test

Verdict = Literal["ok", "note", "problem"]

EXPECTED_SHARE: Final = 0.75
"""A model that is not the one that ships begins so many of the holes as any code model would."""

FILLED_SHARE: Final = 0.5
"""Any model at all has something to say for so many of them."""


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One line. A "note" is worth knowing and breaks nothing; a "problem" is a failure."""

    name: str
    verdict: Verdict
    finding: str
    advice: str = ""


class Diagnosis(msgspec.Struct, frozen=True, kw_only=True):
    checks: list[Check]
    model: ModelReport | None
    runtime: RuntimeReport
    self_test: SelfTest | None
    editors: list[FoundEditor]

    @property
    def is_well(self) -> bool:
        return all(check.verdict != "problem" for check in self.checks)


def diagnose(named: str | None = None) -> Diagnosis:
    """Look at everything, with the model of that name or folder or the one that answers.

    Loads the model in a process of its own and has it write: some seconds for a large one.
    """
    runtime, editors = inspect_runtime(), find_editors(Path.home())
    model, filled = None, None
    checks = [*environment_checks(runtime, sys.version_info[:2])]
    try:
        model = inspect_model(named)
    except ModelNotFoundError as error:
        checks.append(Check(name="model", verdict="problem", finding=str(error), advice=ADD_MODEL))
    else:
        checks += model_checks(model)
        if not model.problem:
            filled, check = _filled(model, named)
            checks += [check] if filled is None else self_test_checks(model, filled)
    checks += [state_check(state_folder()), *editor_checks(editors)]
    return Diagnosis(checks=checks, model=model, runtime=runtime, self_test=filled, editors=editors)


ADD_MODEL: Final = "`inkling model list` shows what there is, `inkling model use NAME` chooses"


def environment_checks(runtime: RuntimeReport, python: tuple[int, int]) -> Iterator[Check]:
    versions = runtime.versions | {name: metadata.version(name) for name in ("pygls", "lsprotocol")}
    yield Check(
        name="environment",
        verdict="ok" if python >= (3, 11) else "problem",
        finding=f"Python {runtime.python} on {runtime.platform}",
        advice="" if python >= (3, 11) else "Inkling needs Python 3.11 or later",
    )
    yield Check(
        name="libraries",
        verdict="ok",
        finding=", ".join(f"{name} {version}" for name, version in versions.items()),
    )
    yield Check(
        name="providers",
        verdict="problem" if runtime.problem else "ok",
        finding=runtime.problem or f"onnxruntime was built for {', '.join(runtime.providers)}",
        advice="install inkling-lsp anew" if runtime.problem else "",
    )


def model_checks(model: ModelReport) -> Iterator[Check]:
    """Say which model answers and why, whether it is whole, and what is known of it."""
    yield Check(
        name="model",
        verdict="note" if model.is_embedded else "ok",
        finding=f"{model.name or model.folder}: {model.reason}",
        advice=("it is small; `inkling model list` shows better ones" if model.is_embedded else ""),
    )
    yield Check(
        name="package",
        verdict="problem" if model.problem else "ok",
        finding=model.problem
        or f"all files match their hashes ({model.num_bytes / 1e6:,.0f} MB, {model.precision})",
        advice="`inkling model remove` and `add` it again" if model.problem else "",
    )
    if not model.problem:
        yield from _manifest_checks(model)


def self_test_checks(model: ModelReport, test: SelfTest) -> Iterator[Check]:
    """Say whether the model fills holes as it should, and how fast this machine is with it."""
    number = len(test.filled)
    shipped, needed = model.is_embedded, FILLED_SHARE if model.is_embedded else EXPECTED_SHARE
    count = test.num_filled if shipped else test.num_expected
    is_well = count >= needed * number
    yield Check(
        name="fill self-test",
        verdict="ok" if is_well else "problem",
        finding=f"{test.num_filled} of {number} holes filled, {test.num_expected} as expected",
        advice="" if is_well else "the model or its package is not right; export or add it again",
    )
    is_slow = test.speed_class in {"slow", "very slow"}
    yield Check(
        name="speed",
        verdict="note" if is_slow else "ok",
        finding=(
            f"{test.speed_class}: {test.ms_per_token:.1f} ms a token, "
            f"{test.tokens_read_per_second:,.0f} tokens read a second, "
            f"loaded in {test.load_ms / 1000:.1f} s"
        ),
        advice="on a machine that is not busy otherwise, a smaller model answers sooner"
        if is_slow
        else "",
    )


def state_check(folder: Path) -> Check:
    """Say whether the journal can be written, by writing nothing to it."""
    if os.environ.get(SWITCH, "").lower() == "off":
        return Check(name="state folder", verdict="ok", finding=f"{SWITCH} is off: nothing written")
    try:
        append(folder, b"")
        mode = stat.S_IMODE(folder.stat().st_mode)
    except OSError as error:
        return Check(
            name="state folder",
            verdict="note",
            finding=f"{folder} cannot be written: {error.strerror}",
            advice="completions work; `inkling stats` and `inkling explain` have nothing to show",
        )
    is_open = os.name == "posix" and bool(mode & 0o077)
    return Check(
        name="state folder",
        verdict="note" if is_open else "ok",
        finding=f"{folder} is {f'open to others ({mode:04o})' if is_open else 'writable'}",
        advice=f"chmod 700 {folder}" if is_open else "",
    )


def editor_checks(editors: Sequence[FoundEditor]) -> Iterator[Check]:
    if not editors:
        yield Check(name="editors", verdict="note", finding="none found on PATH", advice=ADVICE)
    for editor in editors:
        yield Check(
            name=editor.name,
            verdict="ok" if editor.is_set_up else "note",
            finding=f"set up in {editor.where}" if editor.is_set_up else "found, not set up",
            advice="" if editor.is_set_up else ADVICE,
        )


def _manifest_checks(model: ModelReport) -> Iterator[Check]:
    quality = model.quality
    measured = [
        f"{label} {quality[name]}"
        for name, label in (
            ("agreement", "same next token as the original"),
            ("perplexity_ratio", "perplexity to the original's"),
        )
        if name in quality
    ]
    yield Check(
        name="quality",
        verdict="ok" if measured else "note",
        finding=f"at export: {', '.join(measured)}" if measured else "not measured at export",
        advice="" if measured else "`inkling verify` measures it beside the original",
    )
    yield Check(
        name="holes",
        verdict="ok" if model.order_of_hole else "note",
        finding=(
            f"filled in {model.order_of_hole} order"
            if model.order_of_hole
            else "the model was not taught to fill holes; it only goes on from the text before"
        ),
        advice="" if model.order_of_hole else "a model trained for it completes better",
    )
    yield Check(
        name="training",
        verdict="note" if model.training == "instruct" else "ok",
        finding=model.training,
        advice=(
            "models that were taught to chat complete code less well than their base"
            if model.training == "instruct"
            else ""
        ),
    )
    yield Check(
        name="tokenizer",
        verdict="problem" if model.tokenizer_problem else "ok",
        finding=model.tokenizer_problem or "texts come back as they were",
        advice="export or add the model again" if model.tokenizer_problem else "",
    )


def _filled(model: ModelReport, named: str | None) -> tuple[SelfTest | None, Check]:
    """Run the self-test; where no engine gets ready, return the check that says so instead."""
    try:
        test = asyncio.run(self_test(named, read_holes()))
    except InklingError as error:
        check = Check(
            name="fill self-test",
            verdict="problem",
            finding=str(error),
            advice=f"try `inkling complete` with --model {model.name} for more",
        )
        return None, check
    return test, Check(name="fill self-test", verdict="ok", finding="")
