"""Find a checkpoint's family and read its config into a spec.

A family is one file here and one name in FAMILIES. It refuses config values that it does not
implement; keys that it neither reads nor lists as harmless, and that `bookkeeping` does not know,
are refused by name.
"""

from collections.abc import Collection, Sequence
from typing import Final

import msgspec

from export.architectures import (
    bailing_moe,
    deepseek_v2,
    deepseek_v3,
    ernie4_5_moe,
    gemma,
    gemma2,
    gemma3_text,
    gemma4_text,
    glm4_moe,
    glm4_moe_lite,
    gpt_bigcode,
    gpt_oss,
    granite,
    granitemoe,
    granitemoehybrid,
    granitemoeshared,
    grok_1,
    hunyuan_v1_dense,
    hunyuan_v1_moe,
    internlm2,
    kimi_k2,
    laguna,
    lfm2,
    lfm2_moe,
    llama,
    mellum,
    mimo,
    minicpm3,
    minimax_m2,
    ministral3,
    mistral,
    mixtral,
    nemotron_h,
    olmo2,
    olmo3,
    olmoe,
    phi3,
    phimoe,
    qwen2,
    qwen2_moe,
    qwen3,
    qwen3_5,
    qwen3_5_moe,
    qwen3_moe,
    qwen3_next,
    smollm3,
    stablelm,
    starcoder2,
)
from export.architectures.common.bookkeeping import check_unread
from export.architectures.common.family import Family
from export.architectures.common.missing import MISSING
from export.architectures.common.predicting import Predictor, read_predictor
from export.architectures.common.storage import read_storage
from export.architectures.common.wrapper import SEEING, check_wrapper, language_config
from export.checkpoint.config import Config
from export.checkpoint.gptq_awq import Grouping
from export.checkpoint.plan import Plan, Rule, plan, unplaced
from export.checkpoint.safetensors import Reading
from export.errors import CheckpointError, UnsupportedError
from export.spec.decoder import (
    Attention,
    DecoderSpec,
    GroupedQuery,
    Latent,
    SparseMoE,
    slots,
)
from export.spec.recurrence import GatedDelta, ShortConvolution, StateSpace

FAMILIES: Final[tuple[Family, ...]] = (
    qwen3_moe.FAMILY,
    qwen3_next.FAMILY,
    qwen3_5_moe.FAMILY,
    qwen3_5.FAMILY,
    laguna.FAMILY,
    mellum.FAMILY,
    gpt_oss.FAMILY,
    deepseek_v2.FAMILY,
    deepseek_v3.FAMILY,
    glm4_moe.FAMILY,
    glm4_moe_lite.FAMILY,
    ernie4_5_moe.FAMILY,
    mixtral.FAMILY,
    olmoe.FAMILY,
    qwen2_moe.FAMILY,
    qwen3.FAMILY,
    qwen2.FAMILY,
    llama.FAMILY,
    mistral.FAMILY,
    granite.FAMILY,
    granitemoe.FAMILY,
    granitemoehybrid.FAMILY,
    granitemoeshared.FAMILY,
    phimoe.FAMILY,
    starcoder2.FAMILY,
    gemma2.FAMILY,
    gemma3_text.FAMILY,
    gemma4_text.FAMILY,
    grok_1.FAMILY,
    gemma.FAMILY,
    olmo2.FAMILY,
    olmo3.FAMILY,
    smollm3.FAMILY,
    stablelm.FAMILY,
    gpt_bigcode.FAMILY,
    ministral3.FAMILY,
    kimi_k2.FAMILY,
    minimax_m2.FAMILY,
    hunyuan_v1_dense.FAMILY,
    hunyuan_v1_moe.FAMILY,
    phi3.FAMILY,
    internlm2.FAMILY,
    mimo.FAMILY,
    bailing_moe.FAMILY,
    lfm2.FAMILY,
    lfm2_moe.FAMILY,
    minicpm3.FAMILY,
    nemotron_h.FAMILY,
)

MAX_LAYERS: Final = 1024
HEAD_STEP: Final = 16


class CheckpointArchitecture(msgspec.Struct, frozen=True, kw_only=True):
    """`grouping` is how GPTQ or AWQ stored the matrices, None for what neither did.

    `predictor` is the one that checkpoints of this model may hold.
    """

    family: Family
    spec: DecoderSpec
    rules: tuple[Rule, ...]
    grouping: Grouping | None = None
    predictor: Predictor | None = None

    @property
    def reading(self) -> Reading:
        return Reading(grouping=self.grouping, spelling=self.family.spelling)

    def plan(self, names: Collection[str]) -> Plan:
        """Assign a checkpoint's tensors to the slots of its model.

        Raises CheckpointError naming a tensor without a place, or a slot without its tensors.
        """
        used = self.family.used(names, self.spec)
        return plan(self.rules, used, slots(self.spec), aliases=self._aliases)

    def plan_predictor(self, predictor: Predictor, names: Collection[str], model: Plan) -> Plan:
        """Assign its tensors to the slots of a predictor; embedding and head are the model's.

        Raises CheckpointError as `plan`.
        """
        shared = [*model.parts["embedding"], *model.parts.get("head", ())]
        needed = slots(predictor.spec)
        return plan(predictor.rules, [*predictor.own(names), *shared], needed, aliases={})

    def without_place(self, names: Collection[str]) -> list[str]:
        """Return the tensors that no rule of the family names for a slot of this model."""
        return unplaced(
            self.rules,
            self.family.used(names, self.spec),
            slots(self.spec).keys() | self._aliases.keys(),
        )

    @property
    def _aliases(self) -> dict[str, str]:
        return {"head": "embedding"} if self.spec.tie_word_embeddings else {}


def read_architecture(config: Config) -> CheckpointArchitecture:
    """Turn a config into a spec.

    Raises UnsupportedError naming the key and value that is not implemented, CheckpointError where
    the config contradicts itself.
    """
    language = language_config(config)
    family = find_family(language)
    if language is not config:
        language.assume(family.text_defaults)
    num_layers = language.spelling("num_hidden_layers", "n_layer")
    if language.has(num_layers) and language.integer(num_layers) > MAX_LAYERS:
        raise UnsupportedError(f"config.json says more than {num_layers} = {MAX_LAYERS}")
    spec = family.read_spec(language)
    rules = (*family.rules, *family.further_rules(language, spec))
    grouping = read_storage(language)
    check_unread(language, spec, harmless=family.ignored)
    check_wrapper(config, language)
    _check(spec)
    return CheckpointArchitecture(
        family=family,
        spec=spec,
        rules=rules,
        grouping=grouping,
        predictor=_predictor(family, language, spec, rules),
    )


def _predictor(
    family: Family, config: Config, spec: DecoderSpec, rules: Sequence[Rule]
) -> Predictor | None:
    if family.predicting is None:
        return None
    predictor = read_predictor(family.predicting, config, spec, rules)
    _check(predictor.spec)
    return predictor


def find_family(config: Config) -> Family:
    """Find the family of a config by its model_type, and refuse what is no language model of it.

    Code that comes with a checkpoint is never run: the class that `auto_map` names for language
    models is read by the family as its own.
    """
    model_type = config.text("model_type")
    family = next((family for family in FAMILIES if model_type in family.model_types), None)
    if family is None:
        known = ", ".join(family.model_type for family in FAMILIES)
        why = MISSING.get(model_type)
        raise UnsupportedError(
            f"{config.name} says model_type = {model_type!r}"
            f"{f', for which {why} is missing' if why else ''}; implemented are: {known}"
        )
    names = [*family.class_names, *_own_class_names(config)]
    if model_type in family.text_types:  # the config of a model that also sees may lie beside it
        names += [name for name in config.texts("architectures") if name.endswith(SEEING)]
    config.require("architectures", *([name] for name in names))
    return family


def _own_class_names(config: Config) -> list[str]:
    name = config.section("auto_map").text("AutoModelForCausalLM", default="")
    name = name.rpartition(".")[2]
    return [name] if name.endswith("ForCausalLM") else []


def _check(spec: DecoderSpec) -> None:
    for index, layer in enumerate(spec.layers):
        _check_attention(layer.attention)
        match layer.feed_forward:
            case SparseMoE(num_experts=experts, router=router):
                if router.num_experts_per_tok > experts:
                    raise CheckpointError(
                        f"config.json says num_experts_per_tok = {router.num_experts_per_tok} of "
                        f"{experts} experts in layer {index}"
                    )
            case _:
                pass


def _check_attention(attention: Attention) -> None:
    match attention:
        case GroupedQuery(num_attention_heads=heads, num_key_value_heads=kv):
            if heads % kv:
                raise CheckpointError(
                    f"config.json says num_attention_heads = {heads}, which is no multiple of "
                    f"num_key_value_heads = {kv}"
                )
            _check_size("head_dim", attention.head_dim, HEAD_STEP)
            _check_size("rotary_dim", attention.rotary_dim, 2)
        case Latent(head_dim=size, value_head_dim=value):
            if value > size:
                raise UnsupportedError(
                    f"config.json says v_head_dim = {value}, more than qk_nope_head_dim and "
                    f"qk_rope_head_dim together, {size}"
                )
            _check_size("head_dim", size, HEAD_STEP)
            _check_size("rotary_dim", attention.rotary_dim, HEAD_STEP)
        case StateSpace(num_key_heads=keys, num_value_heads=values):
            if values % keys:
                raise CheckpointError(
                    f"config.json says mamba_n_heads = {values}, which is no multiple of "
                    f"mamba_n_groups = {keys}"
                )
        case GatedDelta(num_key_heads=keys, num_value_heads=values):
            if values % keys:
                raise CheckpointError(
                    f"config.json says linear_num_value_heads = {values}, which is no multiple of "
                    f"linear_num_key_heads = {keys}"
                )
        case ShortConvolution():
            pass


def _check_size(name: str, size: int, step: int) -> None:
    """Refuse heads that GroupQueryAttention refuses when it runs (onnxruntime 1.31)."""
    if size % step:
        raise UnsupportedError(
            f"config.json gives {name} = {size}; only multiples of {step} are implemented"
        )
