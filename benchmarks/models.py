"""Write the tables of docs/models.md that need no measuring: what is read, and why the rest is not.

`python -m benchmarks.models --write` asks the registry, the GGUF table, the tests' tiny models and
the published configs under tests/data:

    layers       a mixture of experts, or dense, as the family's tiny models are
    GGUF         the architecture that llama.cpp calls it, where files of it are read
    configs      how many of the published configs that are of this family are read, of how many
    held to      what its tokens and logits are the same as, in the tests: transformers' class, that
                 of another family that computes the same, or the publisher's own mathematics; and
                 llama.cpp, where there is GGUF
    predictor    whether a layer that predicts the token behind the next one is read, where there
                 is one
    fills holes  models of the family that were trained to, by their cards
    tried        real weights that we exported and put to work

`python -m benchmarks.families` measures the rest of the page. The last line is one JSON object.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import click

from benchmarks.report import print_json, print_report, write_table
from export.architectures import FAMILIES, read_architecture
from export.architectures.common.family import Family
from export.architectures.common.wrapper import language_config
from export.checkpoint.config import Config, read_config
from export.checkpoint.gguf.architectures import ARCHITECTURES
from export.errors import ExportError
from export.spec.decoder import SparseMoE
from tests.support.equivalents import EQUIVALENTS
from tests.support.gguf_conversions import CONVERSIONS
from tests.support.gguf_models import GGUF_MODELS
from tests.support.golden import ALL_MODELS, PUBLISHED_MODELS

ROOT: Final = Path(__file__).parent.parent
PAGE: Final = ROOT / "docs" / "models.md"
CONFIGS: Final = ROOT / "tests" / "data" / "published_configs"
FAMILIES_COMMAND: Final = "python -m benchmarks.models --write: families"
REASONS_COMMAND: Final = "python -m benchmarks.models --write: configs"
COLUMNS: Final = ("layers", "GGUF", "configs", "held to", "predictor", "fills holes", "tried")

HOLES: Final[Mapping[str, str]] = {
    "deepseek_v2": "DeepSeek-Coder-V2",
    "gemma": "CodeGemma",
    "gpt_bigcode": "StarCoder, SantaCoder, Granite Code 20B and 34B",
    "granite": "Granite 3.3",
    "granitemoe": "Granite 3.1 MoE",
    "llama": "Code Llama, DeepSeek-Coder, Granite Code 3B and 8B, Mellum",
    "mellum": "Mellum 2",
    "mistral": "Codestral",
    "qwen2": "Qwen2.5-Coder",
    "qwen3_moe": "Qwen3-Coder, and what ships",
    "qwen3_next": "Qwen3-Coder-Next",
    "starcoder2": "StarCoder2",
}
TRIED: Final[Mapping[str, str]] = {
    "qwen2": "Qwen2.5-Coder-0.5B",
    "qwen3_moe": "what ships",
}


@click.command()
@click.option("--write", is_flag=True, help="Write the tables into docs/models.md.")
def main(*, write: bool) -> None:
    families, refused = family_rows(), refusals()
    print_report("families", COLUMNS, families)
    print_report("published configs that are not read", ("reason",), refused)
    if write:
        write_page(PAGE)
    print_json("models", {"families": len(families), "refused": len(refused)})


def write_page(page: Path) -> None:
    refused = refusals()
    write_table(page, FAMILIES_COMMAND, families_title(), COLUMNS, family_rows())
    write_table(page, REASONS_COMMAND, reasons_title(refused), ("reason",), refused)


def family_rows() -> dict[str, list[str]]:
    return {f"`{family.model_type}`": _row(family) for family in _by_name()}


def families_title() -> str:
    num_gguf = sum(_gguf(family) != "" for family in FAMILIES)
    return f"{len(FAMILIES)} families are read from safetensors, {num_gguf} of them from GGUF too."


def refusals() -> dict[str, list[str]]:
    """Return why each published config is refused that is, by OWNER/NAME."""
    reasons = {_title(path): _reason(path) for path in sorted(CONFIGS.glob("*.json"))}
    return {name: [reason] for name, reason in reasons.items() if reason is not None}


def reasons_title(refused: Mapping[str, object]) -> str:
    total = len(list(CONFIGS.glob("*.json")))
    return (
        f"Of {total} published configs {total - len(refused)} are read as published. "
        f"The others are refused, each for this reason:"
    )


def _row(family: Family) -> list[str]:
    name = family.model_type
    read, total = _counts().get(name, (0, 0))
    return [
        "mixture" if _is_mixture(name) else "dense",
        _gguf(family),
        f"{read} of {total}" if total else "",
        _held_to(name),
        "" if family.predicting is None else "read",
        HOLES.get(name, ""),
        TRIED.get(name, ""),
    ]


def _by_name() -> list[Family]:
    return sorted(FAMILIES, key=lambda family: family.model_type)


def _is_mixture(model_type: str) -> bool:
    return any(
        isinstance(layer.feed_forward, SparseMoE)
        for model in ALL_MODELS
        if model.full_config["model_type"] == model_type
        for layer in read_architecture(Config(model.full_config, "config.json")).spec.layers
    )


def _gguf(family: Family) -> str:
    written = {model.full_config["model_type"] for model in GGUF_MODELS}
    name = CONVERSIONS[family.model_type][0] if family.model_type in written else ""
    return f"`{name}`" if name in ARCHITECTURES else ""


def _held_to(model_type: str) -> str:
    if model_type in {model.full_config["model_type"] for model in PUBLISHED_MODELS}:
        held = "its publisher's mathematics"
    elif model_type in EQUIVALENTS:
        held = "transformers' class of another family"
    else:
        held = "transformers"
    is_gguf = any(model.full_config["model_type"] == model_type for model in GGUF_MODELS)
    return f"{held}, llama.cpp" if is_gguf else held


def _counts() -> dict[str, tuple[int, int]]:
    """Return how many published configs of each family are read, and how many there are."""
    counts: dict[str, tuple[int, int]] = {}
    for path, family in _of_families():
        read, total = counts.get(family, (0, 0))
        counts[family] = (read + (_reason(path) is None), total + 1)
    return counts


def _of_families() -> Iterator[tuple[Path, str]]:
    names = {kind: family.model_type for family in FAMILIES for kind in family.model_types}
    for path in CONFIGS.glob("*.json"):
        model_type = language_config(read_config(path)).text("model_type")
        if model_type in names:
            yield path, names[model_type]


def _reason(path: Path) -> str | None:
    try:
        read_architecture(read_config(path))
    except ExportError as error:
        reason, is_unknown, _ = str(error).partition("; implemented are")
        more = ", which no file reads yet" if is_unknown and " is missing" not in reason else ""
        return reason.replace(path.name, "config.json").replace("|", "\\|") + more
    return None


def _title(path: Path) -> str:
    return path.stem.replace("__", "/", 1)


if __name__ == "__main__":
    main()
