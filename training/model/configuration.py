"""The configurations: a model's shape, how it is trained, and what a document is turned into.

Read from configurations/*.toml; nothing has a second source. Knows no torch.
"""

import tomllib
from pathlib import Path
from typing import Any, Final

import msgspec

from training.corpus.holes import Mixture
from training.corpus.tokenizer import VOCAB_SIZE
from training.errors import TrainingError

CONFIGURATIONS: Final = Path(__file__).parents[1] / "configurations"


class Shape(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A Qwen3-MoE decoder, in the words of its config.json. One expert makes it dense."""

    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int = 64
    num_experts: int
    num_experts_per_tok: int
    moe_intermediate_size: int
    vocab_size: int = VOCAB_SIZE
    max_position_embeddings: int = 4096
    rope_theta: float = 10_000.0
    rms_norm_eps: float = 1e-6

    @property
    def num_parameters(self) -> int:
        """All parameters; the tied embedding counts once."""
        return self._with_experts(self.num_experts)

    @property
    def num_active_parameters(self) -> int:
        """Parameters that one token meets; the tied embedding counts once, as the head."""
        return self._with_experts(self.num_experts_per_tok)

    def _with_experts(self, num_experts: int) -> int:
        hidden, head_dim = self.hidden_size, self.head_dim
        heads = 2 * self.num_attention_heads + 2 * self.num_key_value_heads
        expert = 3 * hidden * self.moe_intermediate_size
        norms_and_router = 2 * hidden + 2 * head_dim + hidden * self.num_experts
        layer = hidden * heads * head_dim + num_experts * expert + norms_and_router
        return self.vocab_size * hidden + self.num_hidden_layers * layer + hidden


class Schedule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`batch_tokens` go into a step. Shares are of the whole run, by time where it has a budget.

    The last `quantized_share` is trained quantization-aware and, from `long_share` on, windows are
    `long_sequence_length` tokens long.
    """

    sequence_length: int
    batch_tokens: int
    micro_batch_tokens: int
    muon_learning_rate: float = 0.02
    adam_learning_rate: float = 0.003
    weight_decay: float = 0.01
    warm_up_steps: int = 40
    decay_share: float = 0.35
    quantized_share: float = 0.12
    long_share: float = 1.0
    long_sequence_length: int = 0
    load_balance_loss: float = 0.01
    router_z_loss: float = 0.001
    max_gradient_norm: float = 1.0


class Configuration(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    shape: Shape
    schedule: Schedule
    mixture: Mixture = Mixture()
    seed: int = 0


def read_configuration(name_or_path: str) -> Configuration:
    """Read a configuration by its name, or from a file. Raises TrainingError."""
    named = CONFIGURATIONS / f"{name_or_path}.toml"
    path = named if named.exists() else Path(name_or_path)
    if not path.exists():
        names = ", ".join(sorted(file.stem for file in CONFIGURATIONS.glob("*.toml")))
        raise TrainingError(f"no configuration {name_or_path}; use one of {names} or a file")
    try:
        configuration = msgspec.convert(tomllib.loads(path.read_text("utf-8")), Configuration)
    except (msgspec.ValidationError, tomllib.TOMLDecodeError) as error:
        raise TrainingError(f"{path.name} is not understood: {error}") from error
    _check(configuration)
    return configuration


def to_config_json(shape: Shape) -> dict[str, Any]:
    """Return the config.json by which transformers and the exporter know the checkpoint."""
    return {
        "architectures": ["Qwen3MoeForCausalLM"],
        "model_type": "qwen3_moe",
        **{name: getattr(shape, name) for name in Shape.__struct_fields__},
        "intermediate_size": shape.moe_intermediate_size,
        "norm_topk_prob": True,
        "decoder_sparse_step": 1,
        "mlp_only_layers": [],
        "hidden_act": "silu",
        "tie_word_embeddings": True,
        "attention_bias": False,
        "attention_dropout": 0.0,
        "use_sliding_window": False,
        "sliding_window": None,
        "router_aux_loss_coef": 0.01,
        "output_router_logits": False,
        "bos_token_id": 0,
        "eos_token_id": 0,
        "pad_token_id": 4,
        "initializer_range": 0.02,
        "use_cache": True,
        "torch_dtype": "bfloat16",
    }


def from_config_json(config: dict[str, Any]) -> Shape:
    """Read a shape back. Raises TrainingError for what the model here does not compute."""
    required = {"model_type": "qwen3_moe", "norm_topk_prob": True, "tie_word_embeddings": True}
    for key, value in required.items():
        if config.get(key) != value:
            raise TrainingError(f"{key} is {config.get(key)!r}; only {value!r} can be trained")
    return Shape(**{name: config[name] for name in Shape.__struct_fields__})


def _check(configuration: Configuration) -> None:
    shape, schedule = configuration.shape, configuration.schedule
    for name in ("hidden_size", "moe_intermediate_size"):
        if getattr(shape, name) % 128:
            raise TrainingError(f"{name} {getattr(shape, name)} is no multiple of 128")
    if schedule.batch_tokens % schedule.micro_batch_tokens:
        raise TrainingError("batch_tokens is no multiple of micro_batch_tokens")
    if schedule.micro_batch_tokens % schedule.sequence_length:
        raise TrainingError("micro_batch_tokens is no multiple of sequence_length")
