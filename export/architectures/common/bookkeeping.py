"""The config keys that no family reads: what they may say without changing what is computed.

`PretrainedConfig.to_dict()` of transformers writes most of them, trainers the others. Keys of the
first table may say anything; the others hold for what they say only, and are refused by name and
value for all else. A family's own keys are read in its file and never looked up here.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Final

from export.checkpoint.config import Config
from export.spec.decoder import DecoderSpec, GroupedQuery, window_of
from export.spec.recurrence import Recurrence

_OF_FILES: Final = {
    *("_commit_hash", "_name_or_path", "architectures", "auto_map", "dtype", "model_type"),
    *("tokenizer_class", "torch_dtype", "transformers_version", "transformers_weights"),
    *("transformers.js_config", "trust_remote_code", "unsloth_fixed", "unsloth_version"),
}
"""How the checkpoint was made and stored. `auto_map` names code that is never run."""

_OF_RUNNING: Final = {
    *("_attn_implementation", "_attn_implementation_autoset", "_experts_implementation"),
    *("_flash_attn_2_enabled", "attn_implementation", "use_flash_attention_2", "use_flash_attn"),
    *("cache_implementation", "chunk_size_feed_forward", "num_logits_to_keep", "torchscript"),
    *("output_attentions", "output_hidden_states", "output_router_logits", "return_dict"),
    *("gradient_checkpointing", "is_decoder", "tf_legacy_loss", "use_bfloat16", "use_cache"),
    "use_return_dict",
}
"""How transformers runs a model, and what its caller gets back."""

_OF_TASKS: Final = {
    *("finetuning_task", "id2label", "label2id", "num_labels", "prefix", "problem_type"),
    "task_specific_params",
}

_OF_GENERATION: Final = {
    *("bad_words_ids", "begin_suppress_tokens", "decoder_start_token_id", "diversity_penalty"),
    *("do_sample", "early_stopping", "encoder_no_repeat_ngram_size", "forced_bos_token_id"),
    *("exponential_decay_length_penalty", "forced_eos_token_id", "length_penalty", "max_length"),
    *("max_new_tokens", "min_length", "min_p", "no_repeat_ngram_size", "num_beam_groups"),
    *("num_beams", "num_return_sequences", "output_scores", "remove_invalid_values"),
    *("repetition_penalty", "return_dict_in_generate", "sep_token_id", "suppress_tokens"),
    *("temperature", "top_k", "top_p", "typical_p"),
    # Read from the tokenizer and the generation config, or from here where they say nothing.
    *("bos_token_id", "eos_token_id", "pad_token_id"),
}

_OF_TRAINING: Final = {
    *("attention_dropout", "attn_pdrop", "classifier_dropout", "embd_pdrop", "embedding_dropout"),
    *("hidden_dropout", "hidden_dropout_prob", "output_dropout", "resid_pdrop"),
    *("residual_dropout", "initializer_factor", "initializer_range"),
    # Noise and balance of experts, and on how many machines they were.
    *("aux_loss_alpha", "ep_size", "input_jitter_noise", "router_aux_loss_coef"),
    *("router_jitter_noise", "router_z_loss_coef", "seq_aux"),
    # How weights were cut for several machines, and by which trainer.
    *("is_llama_config", "pretraining_tp"),
}

_OF_OTHER_PARTS: Final = {
    *("audio_config", "downsample_ratio", "mm_tokens_per_image", "multimodal_projector_bias"),
    *("projector_hidden_act", "spatial_merge_size", "use_unified_vision_chunk", "vision_config"),
    *("vision_feature_layer", "vision_feature_select_strategy", "vision_soft_tokens_per_image"),
    *("ignore_index", "image_seq_length", "language_model_only", "video_placeholder"),
    *("audio_token_id", "audio_token_index", "boa_token_id", "boi_token_id", "boi_token_index"),
    *("eoa_token_id", "eoa_token_index", "eoi_token_id", "eoi_token_index", "image_token_id"),
    *("image_token_index", "media_placeholder_token_id", "video_token_id", "video_token_index"),
    *("vision_end_token_id", "vision_start_token_id", "vision_token_id"),
}
"""What sees and hears, and the tokens whose places are kept for it."""

BOOKKEEPING: Final = frozenset(
    _OF_FILES
    | _OF_RUNNING
    | _OF_TASKS
    | _OF_GENERATION
    | _OF_TRAINING
    | _OF_OTHER_PARTS
    | {"cross_attention_hidden_size"}
)

_ONLY: Final[Mapping[str, tuple[object, ...]]] = {
    "add_cross_attention": (False,),
    "attention_softmax_in_fp32": (True,),
    "is_encoder_decoder": (False,),
    "n_shared_experts": (0,),
    "num_mtp_layers": (0,),
    "num_nextn_predict_layers": (0,),
    "pruned_heads": ({},),
    "rope_interleaved": (False,),
    "scale_attention_softmax_in_fp32": (True,),
    "scale_attn_weights": (True,),
    "shared_expert_intermediate_size": (0,),
    "shared_intermediate_size": (0,),
    "tie_encoder_decoder": (False,),
    "use_mrope": (False,),
}
"""What a family does that reads no such key."""

_SAME_AS: Final[Mapping[str, str]] = {
    "activation_function": "hidden_act",
    "experts_per_token": "num_experts_per_tok",
    "hidden_activation": "hidden_act",
    "layer_norm_epsilon": "norm_epsilon",
    "sliding_window_size": "sliding_window",
}
"""Other spellings of a key that is read."""


def _has_input_biases(spec: DecoderSpec) -> bool:
    return any(part.input_bias for part in _grouped(spec))


def _has_head_norms(spec: DecoderSpec) -> bool:
    return any(part.query_key_norm is not None for part in _grouped(spec))


def _has_windows(spec: DecoderSpec) -> bool:
    attentions = [layer.attention for layer in spec.layers]
    return any(
        window_of(attention) is not None
        for attention in attentions
        if not isinstance(attention, Recurrence)
    )


def _grouped(spec: DecoderSpec) -> Iterator[GroupedQuery]:
    return (layer.attention for layer in spec.layers if isinstance(layer.attention, GroupedQuery))


_OF_THE_SPEC: Final[Mapping[str, Callable[[DecoderSpec], bool]]] = {
    "qkv_bias": _has_input_biases,
    "use_qk_norm": _has_head_norms,
    "use_qkv_bias": _has_input_biases,
    "use_sliding_window": _has_windows,
}
"""What the layers have, where the family decides and not the key."""


def check_unread(config: Config, spec: DecoderSpec, *, harmless: frozenset[str]) -> None:
    """Hold the keys that the family neither reads nor has for `harmless` against what it computes.

    Raises UnsupportedError naming the first key and value that would change it, or is not known.
    """
    for key in config.unread():
        if key in harmless:
            continue
        if key in _ONLY:
            config.require(key, *_ONLY[key])
        elif key in _SAME_AS and config.has(_SAME_AS[key]):
            config.require_same(key, _SAME_AS[key])
        elif key in _OF_THE_SPEC:
            config.require(key, _OF_THE_SPEC[key](spec))
    config.refuse_unread(BOOKKEEPING | harmless)
