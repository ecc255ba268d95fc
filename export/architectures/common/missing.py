"""Model types that people have and no family here reads: the mathematics that is missing.

In brackets is the config's key that asks for it. A type that is in neither list is only not written
yet.
"""

from collections.abc import Mapping
from typing import Final

MISSING: Final[Mapping[str, str]] = {
    "deepseek_v32": "attention to few tokens, which an indexer chooses at each step (index_topk)",
    "deepseek_v4": "keys compressed over tokens (compress_ratios), several streams (hc_mult)",
    "glm_moe_dsa": "attention to few tokens, which an indexer chooses at each step (index_topk)",
    "kimi_linear": "a delta rule that forgets each channel by itself (linear_attn_config)",
    "llama4_text": "attention within chunks of the text (attention_chunk_size)",
    "mimo_v2_flash": "values smaller than keys in grouped attention (v_head_dim)",
    "minimax_m3": "sparse attention (sparse_attention_config)",
    "muse_glimmer_text": (
        "norms of embeddings and of heads without weights (qk_scale_factor), norms behind a part "
        "with an epsilon of their own (post_norm_eps), gates of heads in a matrix of their own"
    ),
    "nemotron-nas": "layers that lack parts, each in its own way (block_configs)",
    "step3p7": "gates and ups that are cut off at a limit of each layer (swiglu_limits)",
}
