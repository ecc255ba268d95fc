"""Say what can be known of a model package without running it: is it whole, and what is it."""

import re
from pathlib import Path
from typing import Any, Final

import msgspec

from inference.errors import InklingError, InvalidModelError
from inference.package.manifest import (
    TOKENIZER_FILE,
    ModelManifest,
    read_manifest,
    verify_files,
)
from inference.package.store import (
    EMBEDDED,
    chosen,
    data_folder,
    embedded_folder,
    find_model,
    installed,
)

__all__ = [
    "ModelReport",
    "RuntimeReport",
    "data_folder",
    "inspect_model",
    "inspect_runtime",
    "is_embedded",
    "model_names",
    "num_syntax_errors",
]

LIBRARIES: Final = ("onnxruntime-gpu", "onnxruntime", "tokenizers", "msgspec", "numpy")

SAMPLES: Final = (
    "def f(x):\n\treturn x  # it's\r\n",
    "    if a != b and c >= 0x1F:\n        print(f'{a!r:>10}')\n",
    "caf\u00e9 \u4f60\u597d \U0001f600 <|endoftext|>\n",
    "const x = {a: [1, 2], ...b} ?? null; // ok\n",
)
"""What a tokenizer has to give back as it was."""

_INSTRUCTED: Final = re.compile(r"instruct|chat|(?<![a-z])it(?![a-z])", re.IGNORECASE)


class ModelReport(msgspec.Struct, kw_only=True):
    """What a package says of itself, and what is wrong with it.

    `reason` says why it is the one that answers. `problem` is empty where all files are there and
    match their hashes, `tokenizer_problem` where texts come back as they were. `training` is
    "base", "instruct", or "unknown". `quality` is what was measured at export beside the original.
    """

    folder: str
    reason: str
    name: str = ""
    is_embedded: bool = False
    installed: list[str] = []
    num_bytes: int = 0
    precision: str = ""
    context_length: int = 0
    parameters: int = 0
    active_parameters: int = 0
    devices: list[str] = []
    order_of_hole: str = ""
    training: str = "unknown"
    quality: dict[str, Any] = {}
    problem: str = ""
    tokenizer_problem: str = ""


class RuntimeReport(msgspec.Struct, kw_only=True):
    """What the engine computes with. `providers` are onnxruntime's, best first."""

    python: str
    platform: str
    versions: dict[str, str]
    providers: list[str] = []
    problem: str = ""


def inspect_model(named: str | None = None) -> ModelReport:
    """Look at the package that answers, or at the named one; read its files, load no weights.

    What is wrong stands in the report. Raises ModelNotFoundError where there is no such model.
    """
    choice = find_model(named)
    report = ModelReport(
        folder=str(choice.folder),
        reason=choice.reason,
        is_embedded=choice.folder == embedded_folder(),
        installed=installed(),
    )
    try:
        manifest = read_manifest(choice.folder)
        _describe(report, manifest)
        verify_files(manifest, choice.folder)
    except InklingError as error:
        report.problem = str(error)
        return report
    report.tokenizer_problem = _tokenizer_problem(choice.folder, manifest)
    return report


def inspect_runtime() -> RuntimeReport:
    """Say which libraries there are, and load onnxruntime to ask it what it can compute on."""
    import platform  # late, as importlib.metadata is: the server starts without either

    report = RuntimeReport(
        python=platform.python_version(),
        platform=platform.platform(),
        versions={name: version for name in LIBRARIES if (version := _version(name))},
    )
    try:
        from inference.runtime.onnx import available_providers

        report.providers = available_providers()
    except (ImportError, OSError) as error:
        report.problem = f"onnxruntime cannot be loaded: {error}"
    return report


def is_embedded(name: str) -> bool:
    """Return whether a model of this name is the one that ships."""
    try:
        return read_manifest(embedded_folder()).name == name
    except InklingError:
        return False


def model_names() -> list[str]:
    """Return what models there are, by the names that open them; first the one that answers."""
    there = [EMBEDDED, *installed()]
    return sorted(there, key=lambda name: name != chosen())


def _describe(report: ModelReport, manifest: ModelManifest) -> None:
    report.name, report.num_bytes = manifest.name, manifest.num_bytes
    report.precision, report.context_length = manifest.precision, manifest.context_length
    report.parameters = manifest.parameters.total
    report.active_parameters = manifest.parameters.active
    report.devices, report.quality = list(manifest.devices), manifest.quality
    report.order_of_hole = manifest.fim.order if manifest.fim else ""
    report.training = _training(manifest)


def _training(manifest: ModelManifest) -> str:
    """Return what the model was taught last, as far as its names and files tell."""
    if any(_INSTRUCTED.search(name) for name in (manifest.source.name, manifest.name)):
        return "instruct"
    return "unknown" if "chat_template.jinja" in manifest.files else "base"


def _tokenizer_problem(folder: Path, manifest: ModelManifest) -> str:
    """Return what a tokenizer does wrong, or ""."""
    from inference.runtime.tokenizer import Tokenizer

    named = frozenset(manifest.eos_token_ids) | frozenset(manifest.leading_token_ids)
    layout = manifest.fim.special_token_ids if manifest.fim else frozenset[int]()
    try:
        tokenizer = Tokenizer.load(folder / TOKENIZER_FILE, named=named | layout)
    except InvalidModelError as error:
        return str(error)
    for sample in SAMPLES:
        if tokenizer.decode(tokenizer.encode(sample)) != sample:
            return f"{sample!r} does not come back from the tokenizer as it was"
    return ""


def _version(name: str) -> str:
    from importlib import metadata

    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def num_syntax_errors(text: str, language_id: str) -> int | None:
    """Count what a grammar had to skip or to invent; None where no grammar is known."""
    from inference.syntax import num_errors  # late: a server that is asked for nothing needs none

    return num_errors(text, language_id)
