"""Nemotron-H and Nemotron 3: layers that keep a state by Mamba 2's rule, a few that attend.

A block holds one part: a state, attention, a dense part or experts. A block of the first two and
one of the last two behind it are one layer here, or the first alone. Experts have no gate; those of
Super and Ultra read and give latents.

Source: the model type `nemotron_h` of transformers and Nemotron-H (arXiv:2504.03624). Transformers
keeps each step above `time_step_min`, which the code published with the checkpoints does not.
"""

from collections.abc import Iterator, Sequence
from typing import Final, Literal

from export.architectures.common.family import Family
from export.architectures.common.keys import read_decoder
from export.architectures.common.routed import read_num_experts, read_sigmoid_router
from export.checkpoint.config import Config
from export.checkpoint.plan import Rule, Share
from export.errors import CheckpointError, UnsupportedError
from export.spec.decoder import (
    Absent,
    Attention,
    DecoderSpec,
    FeedForward,
    GroupedQuery,
    Layer,
    RmsNorm,
    SharedExpert,
    SparseMoE,
    Ungated,
)
from export.spec.recurrence import StateSpace

Kind = Literal["state", "attention", "dense", "experts"]

KINDS: Final[dict[str, Kind]] = {
    **dict.fromkeys(("M", "mamba", "linear_attention"), "state"),
    **dict.fromkeys(("*", "attention", "full_attention"), "attention"),
    **dict.fromkeys(("-", "mlp"), "dense"),
    **dict.fromkeys(("E", "moe"), "experts"),
}
"""Blocks by the characters of a pattern, the published names and those of transformers 5."""

LARGEST: Final = 3.4e38
"""No step is longer, as it is a number of float32."""

MIXING: Final = frozenset({"state", "attention"})
"""Blocks in which tokens see others."""


def read_spec(config: Config) -> DecoderSpec:
    norm = RmsNorm(epsilon=config.number("layer_norm_epsilon", default=1e-5))
    for key in ("norm_eps", "rms_norm_eps"):
        config.require(key, norm.epsilon)
    config.require("use_bias", False)
    pairs = [kinds for _, kinds in _layers(_read_kinds(config))]
    used = {kind for pair in pairs for kind in pair}
    if "attention" not in used:
        raise UnsupportedError("config.json has no layer that attends; only a mixture is read")
    mixing: dict[str, Attention] = {"attention": _attention(config)}
    if "state" in used:
        mixing["state"] = _state_space(config, norm)
    others: dict[str, FeedForward] = {}
    if "dense" in used:
        others["dense"] = _dense(config)
    if "experts" in used:
        others["experts"] = _experts(config)
    layers = [
        Layer(
            attention=mixing[first],
            feed_forward=others[rest[0]] if rest else Absent(),
            norm=norm,
        )
        for first, *rest in pairs
    ]
    return read_decoder(config, layers)


def _read_kinds(config: Config) -> Sequence[Kind]:
    blocks = tuple(config.text("hybrid_override_pattern", default=""))
    blocks = blocks or config.texts(config.spelling("layers_block_type", "layer_types"))
    unknown = sorted(set(blocks) - KINDS.keys())
    if unknown:
        raise UnsupportedError(f"config.json has a block {unknown[0]!r}, which is not implemented")
    num_blocks = config.integer("num_hidden_layers", default=len(blocks))
    if len(blocks) != num_blocks:
        raise CheckpointError(f"config.json says {len(blocks)} blocks for {num_blocks} layers")
    return [KINDS[block] for block in blocks]


def _layers(kinds: Sequence[Kind]) -> Iterator[tuple[int, tuple[Kind, ...]]]:
    """Yield the blocks of each layer: the first one's number, and the kinds of one or two."""
    index = 0
    while index < len(kinds):
        if kinds[index] not in MIXING:
            raise UnsupportedError(
                f"config.json has block {index} of {kinds[index]} behind none in which tokens see "
                "others; only one behind each is implemented"
            )
        size = 2 if index + 1 < len(kinds) and kinds[index + 1] not in MIXING else 1
        yield index, tuple(kinds[index : index + size])
        index += size


def _attention(config: Config) -> GroupedQuery:
    # Tokens learn where they stand from the states.
    size = config.integer(config.spelling("head_dim", "attention_head_dim"), default=128)
    config.require("attention_bias", False)
    num_heads = config.integer("num_attention_heads")
    return GroupedQuery(
        num_attention_heads=num_heads,
        num_key_value_heads=config.integer("num_key_value_heads", default=num_heads),
        head_dim=size,
        rope=None,
    )


def _state_space(config: Config, norm: RmsNorm) -> StateSpace:
    config.require("mamba_proj_bias", False)
    config.require("mamba_hidden_act", "silu")
    least, most = config.values("time_step_limit") or (0.0, LARGEST)
    if least != 0.0 or most < LARGEST:
        raise UnsupportedError("config.json has a time_step_limit, which is not implemented")
    return StateSpace(
        num_key_heads=config.integer("n_groups", default=8),
        num_value_heads=config.integer("mamba_num_heads", default=128),
        key_head_dim=config.integer("ssm_state_size", default=128),
        value_head_dim=config.integer("mamba_head_dim", default=64),
        kernel_size=config.integer("conv_kernel", default=4, minimum=2),
        norm_epsilon=norm.epsilon,
        convolution_bias=config.boolean("use_conv_bias", default=True),
    )


def _dense(config: Config) -> Ungated:
    config.require("mlp_hidden_act", "relu2")
    return Ungated(
        intermediate_size=config.integer("intermediate_size"),
        activation="relu2",
        bias=config.boolean("mlp_bias", default=False),
    )


def _experts(config: Config) -> SparseMoE:
    config.require("mlp_hidden_act", "relu2")
    config.require("mlp_bias", False)
    config.require("n_shared_experts", 1)
    latent = config.integer("moe_latent_size") if config.has("moe_latent_size") else None
    return SparseMoE(
        num_experts=read_num_experts(config),
        moe_intermediate_size=config.integer("moe_intermediate_size"),
        router=read_sigmoid_router(config, default_scale=1.0, default_groups=(1, 1)),
        shared=SharedExpert(
            intermediate_size=config.integer("moe_shared_expert_intermediate_size"), gate="none"
        ),
        activation="relu2",
        gated=False,
        latent_size=latent,
    )


def _further_rules(config: Config, spec: DecoderSpec) -> tuple[Rule, ...]:
    """Return those of blocks, whose numbers are not those of layers."""
    rules: list[Rule] = []
    for layer, (block, kinds) in enumerate(_layers(_read_kinds(config))):
        attention = spec.layers[layer].attention
        for index, kind in enumerate(kinds):
            part = "attention" if kind in MIXING else "feed_forward"
            slot, name = f"layers.{layer}.", f"backbone.layers.{block + index}."
            rules.append(Rule(f"{name}norm.weight", f"{slot}{part}_norm"))
            rules += [Rule(f"{name}mixer.{end}", slot + to) for end, to in _MIXERS[kind].items()]
            if isinstance(attention, StateSpace) and kind == "state":
                rules += _projection_rules(f"{name}mixer.in_proj.weight", slot, attention)
            if kind == "experts":
                rules += _expert_rules(f"{name}mixer.experts.", slot)
    return tuple(rules)


def _projection_rules(name: str, slot: str, state: StateSpace) -> list[Rule]:
    sizes = (state.value_size, state.num_channels, state.num_value_heads)
    return [
        Rule(name, f"{slot}attention.{part}", share=Share(axis=0, index=index, sizes=sizes))
        for index, part in enumerate(("gate", "value_key_query", "step"))
    ]


def _expert_rules(name: str, slot: str) -> list[Rule]:
    return [
        Rule(f"{name}{{expert}}.{part}_proj.weight", f"{slot}moe.{part}", stack="expert")
        for part in ("up", "down")
    ]


_MIXERS: Final[dict[Kind, dict[str, str]]] = {
    "state": {
        "conv1d.weight": "attention.convolution",
        "conv1d.bias": "attention.convolution_bias",
        "dt_bias": "attention.step_bias",
        "A_log": "attention.decay_log",
        "D": "attention.value_scale",
        "norm.weight": "attention.state_norm",
        "out_proj.weight": "attention.state_output",
    },
    "attention": {
        **{f"{part[0]}_proj.weight": f"attention.{part}" for part in ("query", "key", "value")},
        "o_proj.weight": "attention.output",
    },
    "dense": {
        **{f"{part}_proj.weight": f"mlp.{part}" for part in ("up", "down")},
        **{f"{part}_proj.bias": f"mlp.{part}_bias" for part in ("up", "down")},
    },
    "experts": {
        "gate.weight": "moe.router",
        "gate.e_score_correction_bias": "moe.router_correction",
        "fc1_latent_proj.weight": "moe.latent_in",
        "fc2_latent_proj.weight": "moe.latent_out",
        **{f"shared_experts.{part}_proj.weight": f"moe.shared.{part}" for part in ("up", "down")},
    },
}

FAMILY: Final = Family(
    model_type="nemotron_h",
    class_names=("NemotronHForCausalLM",),
    read_spec=read_spec,
    rules=(
        Rule("backbone.embeddings.weight", "embedding"),
        Rule("backbone.norm_f.weight", "norm"),
        Rule("lm_head.weight", "head"),
    ),
    further_rules=_further_rules,
    ignored=frozenset(
        {
            # How tokens are computed together, and how training began.
            *("chunk_size", "expand", "num_logits_to_keep", "use_mamba_kernels"),
            *("rescale_prenorm_residual", "residual_in_fp32", "moe_shared_expert_overlap"),
            *("time_step_floor", "time_step_max", "time_step_min", "time_step_rank"),
            *("mamba_ssm_cache_dtype", "time_step_limit"),
            # A rotation that no layer has, sizes of blocks that are not there.
            *("rope_theta", "partial_rotary_factor", "sliding_window", "intermediate_size"),
            *("n_group", "topk_group", "n_routed_experts", "n_shared_experts"),
            *("num_experts_per_tok", "norm_topk_prob", "routed_scaling_factor"),
            *("moe_intermediate_size", "moe_shared_expert_intermediate_size", "moe_latent_size"),
            # Layers that predict further tokens.
            *("num_nextn_predict_layers", "mtp_hybrid_override_pattern", "mtp_layers_block_type"),
        }
    ),
    unused=("mtp.",),
)
