"""Hunyuan-A13B and its kin: the dense model's attention before experts and a shared one.

Source: https://github.com/Tencent-Hunyuan/Hunyuan-A13B, whose configs say `hunyuan`, and the model
type `hunyuan_v1_moe` of transformers.
"""

from typing import Final

from export.architectures.common.family import Family
from export.architectures.common.keys import read_decoder, read_norm
from export.architectures.hunyuan_v1_dense import HUNYUAN_RULES, read_hunyuan_attention
from export.checkpoint.config import Config
from export.checkpoint.plan import Rule
from export.errors import CheckpointError
from export.spec.decoder import DecoderSpec, Layer, SharedExpert, SparseMoE
from export.spec.routers import Router


def read_spec(config: Config) -> DecoderSpec:
    config.require("hidden_act", "silu")
    config.require("norm_type", "rms")
    for key in ("mlp_bias", "use_cla", "use_mla", "group_limited_greedy"):
        config.require(key, False)
    config.require("use_mixed_mlp_moe", True)
    config.require("norm_topk_prob", True)
    config.require("moe_layer_num_skipped", 0)
    config.require("routed_scaling_factor", 1.0)
    attention, norm = read_hunyuan_attention(config), read_norm(config, default_epsilon=1e-5)
    return read_decoder(
        config,
        [
            Layer(attention=attention, feed_forward=experts, norm=norm)
            for experts in _experts(config)
        ],
    )


def _experts(config: Config) -> list[SparseMoE]:
    """Read each layer's, whose sizes are lists or the same for all."""
    num_experts = config.integer("num_experts")
    size = config.integer("intermediate_size")
    sizes = _of_each_layer(config, "moe_intermediate_size", default=size)
    shared = _of_each_layer(config, "num_shared_expert", default=1)
    chosen = _of_each_layer(config, config.spelling("moe_topk", "num_experts_per_tok"), default=1)
    return [
        SparseMoE(
            num_experts=num_experts,
            moe_intermediate_size=own,
            router=Router(num_experts_per_tok=num_chosen, renormalize=True),
            shared=SharedExpert(intermediate_size=num_shared * size, gate="none"),
        )
        for own, num_shared, num_chosen in zip(sizes, shared, chosen, strict=True)
    ]


def _of_each_layer(config: Config, key: str, *, default: int) -> tuple[int, ...]:
    num_layers = config.integer("num_hidden_layers")
    found = config.integers(key) or (default,)
    found = found * num_layers if len(found) == 1 else found
    if len(found) != num_layers or min(found) < 1:
        raise CheckpointError(
            f"config.json says {key} = {list(found)}, which is not a number above zero for each of "
            f"{num_layers} layers"
        )
    return found


FAMILY: Final = Family(
    model_type="hunyuan_v1_moe",
    class_names=("HunYuanMoEV1ForCausalLM",),
    text_types=("hunyuan",),
    read_spec=read_spec,
    rules=(
        *HUNYUAN_RULES,
        Rule("model.layers.{layer}.mlp.gate.wg.weight", "layers.{layer}.moe.router"),
        *(
            Rule(
                f"model.layers.{{layer}}.mlp.experts.{{expert}}.{name}_proj.weight",
                f"layers.{{layer}}.moe.{name}",
                stack="expert",
            )
            for name in ("gate", "up", "down")
        ),
        *(
            Rule(
                f"model.layers.{{layer}}.mlp.shared_mlp.{name}_proj.weight",
                f"layers.{{layer}}.moe.shared.{name}",
            )
            for name in ("gate", "up", "down")
        ),
    ),
    ignored=frozenset(
        {
            # Of what is switched off: shared keys, latents, groups.
            *("cla_share_factor", "dense_list", "position_embedding_xdrope", "use_rotary_pos_emb"),
            # How experts were filled in training.
            *("moe_drop_tokens", "moe_random_routing_dropped_token"),
            # Of other tasks, and of models that see.
            *("add_classification_head", "class_num", "pool_type", "skip_cls_token"),
            *("anyres_pooling_size", "anyres_vit_two_views", "num_media_embeds", "mask_init_id"),
            *("vit_add_patchemb_bias", "vit_input_resolution", "vit_mapping_type", "vit_norm_type"),
            *("vit_patch", "vit_remove_prenorm", "vit_token", "vit_used_rms_norm"),
            # Tokens that the tokenizer says.
            *("eod_token_id", "im_end_id", "im_newline_id", "im_start_id", "image_token_id"),
            *("org_vocab_size", "pad_id", "text_end_id", "text_start_id", "video_end_id"),
            "video_start_id",
        }
    ),
)
