"""The configs that owners published: those of our families are read, the others named and refused.

Where they are from: tests/data/published_configs/README.md.
"""

import re
from pathlib import Path

import pytest

from export.architectures import FAMILIES, CheckpointArchitecture, read_architecture
from export.architectures.common.missing import MISSING
from export.architectures.common.wrapper import language_config
from export.checkpoint.config import read_config
from export.errors import UnsupportedError
from export.quantization.scheme import (
    BLOCK_SIZES,
    check_scheme,
    find_scheme,
    fitting_block_size,
    rounded_rows,
)
from export.spec.decoder import num_parameters, slots

FOLDER = Path(__file__).parents[2] / "data" / "published_configs"
CLAIMED = {model_type for family in FAMILIES for model_type in family.model_types}

PUBLISHED = {path.stem: path for path in sorted(FOLDER.glob("*.json"))}
MODEL_TYPES = {
    name: language_config(read_config(path)).text("model_type") for name, path in PUBLISHED.items()
}
OURS = [name for name, model_type in MODEL_TYPES.items() if model_type in CLAIMED]
OTHERS = [name for name, model_type in MODEL_TYPES.items() if model_type not in CLAIMED]

SMALLER_BLOCKS = {
    "HuggingFaceTB__SmolLM2-135M": 64,
    "google__gemma-4-26B-A4B": 64,
    "nvidia__NVIDIA-Nemotron-3-Nano-30B-A3B-BF16": 64,
    "nvidia__NVIDIA-Nemotron-3-Nano-30B-A3B-NVFP4": 64,
    "nvidia__NVIDIA-Nemotron-3.5-Lightning-30B-A3B-NVFP4": 64,
    "openai__gpt-oss-120b": 64,
    "openai__gpt-oss-20b": 64,
    "zai-org__GLM-4.5-Air": 64,
}

SIZES = {
    "Qwen__Qwen3.5-122B-A10B": 122.0,
    "Qwen__Qwen3.5-27B": 27.0,
    "Qwen__Qwen3.5-35B-A3B": 35.0,
    "Qwen__Qwen3.5-397B-A17B": 397.0,
    "Qwen__Qwen3.8-2.4T-A95B": 2400.0,
    "google__gemma-4-26B-A4B": 25.2,
    "zai-org__GLM-4.7-Flash": 30.0,
    "JetBrains__Mellum2.1-12B-A2.5B-Thinking": 12.1,
    "Qwen__Qwen2.5-3B": 3.1,
    "Qwen__Qwen3-Coder-30B-A3B-Instruct": 30.5,
    "Qwen__Qwen3-Coder-480B-A35B-Instruct": 480.2,
    "Qwen__Qwen3-32B-FP8-Static-PerTensor": 32.8,
    "bigcode__starcoder2-7b": 7.2,
    "codellama__CodeLlama-7b-hf": 6.7,
    "deepseek-ai__DeepSeek-R1": 671.0,
    "deepseek-ai__DeepSeek-V2": 235.7,
    "google__gemma-2-9b": 9.2,
    "microsoft__Phi-3.5-MoE-instruct": 41.9,
    "HuggingFaceTB__SmolLM3-3B-Base": 3.08,
    "MiniMaxAI__MiniMax-M2.5": 228.7,
    "XiaomiMiMo__MiMo-7B-Base": 7.6,
    "allenai__OLMo-2-1124-7B-Instruct": 7.3,
    "allenai__Olmo-3.1-32B-Instruct": 32.2,
    "bigcode__starcoderbase-7b": 7.3,
    "google__gemma-7b": 8.54,
    "inclusionAI__Ling-lite.mindie": 16.8,
    "internlm__internlm2-7b": 7.74,
    "microsoft__Phi-3-mini-128k-instruct": 3.82,
    "microsoft__Phi-4-mini-instruct": 3.84,
    "mistralai__Devstral-Small-2-24B-Instruct": 23.6,
    "moonshotai__Kimi-K2-Instruct": 1026.0,
    "nvidia__NVIDIA-Nemotron-3-Nano-30B-A3B-BF16": 31.6,
    "nvidia__Nemotron-H-56B-Base-8K": 56.0,
    "openbmb__MiniCPM3-4B": 4.07,
    "stabilityai__stablelm-3b-4e1t": 2.8,
    "tencent__Hunyuan-A13B": 80.4,
}
"""Thousand millions of parameters, as the models' cards say."""


def read(name: str) -> CheckpointArchitecture:
    return read_architecture(read_config(PUBLISHED[name]))


def check(name: str, *, block_size: int) -> None:
    """It is read, and blocks of that size divide its rows."""
    needed = slots(read(name).spec)
    found = fitting_block_size(BLOCK_SIZES[-1], rounded_rows(needed).values())
    assert found == block_size
    check_scheme(find_scheme("int4", found), needed)


def test_the_folder_is_whole() -> None:
    assert len(OURS) + len(OTHERS) == 118


@pytest.mark.parametrize("name", OURS)
def test_a_config_of_our_families_is_read_as_published(name: str) -> None:
    check(name, block_size=SMALLER_BLOCKS.get(name, BLOCK_SIZES[-1]))


@pytest.mark.parametrize("name", OTHERS)
def test_another_family_is_refused_by_its_name(name: str) -> None:
    because = re.escape(f"says model_type = {MODEL_TYPES[name]!r}") + "(, for which .* is missing)?"
    with pytest.raises(UnsupportedError, match=f"{because}; implemented are: "):
        read(name)


def test_what_is_missing_is_told_of_types_that_nobody_reads() -> None:
    assert not MISSING.keys() & CLAIMED
    assert set(MODEL_TYPES.values()) >= MISSING.keys()


@pytest.mark.parametrize("name", SIZES)
def test_its_size_is_the_published_one(name: str) -> None:
    assert num_parameters(read(name).spec) / 1e9 == pytest.approx(SIZES[name], rel=0.01)
