"""llama.cpp as a peer: our checkpoints in its file format, and its server in this process.

Only Qwen3-MoE is written. Weights stay float32, so that both compute with the same numbers.
Sources: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md and the names of the `gguf`
package, which is llama.cpp's own.
"""

import json
import urllib.request
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import gguf
import xllamacpp

from export.checkpoint.safetensors import Float32
from export.spec.decoder import DecoderSpec, GroupedQuery, SparseMoE

_TENSORS: Final[Mapping[str, str]] = {
    "attention_norm": "attn_norm",
    "attention.query": "attn_q",
    "attention.key": "attn_k",
    "attention.value": "attn_v",
    "attention.query_norm": "attn_q_norm",
    "attention.key_norm": "attn_k_norm",
    "attention.output": "attn_output",
    "feed_forward_norm": "ffn_norm",
    "moe.router": "ffn_gate_inp",
    "moe.gate": "ffn_gate_exps",
    "moe.up": "ffn_up_exps",
    "moe.down": "ffn_down_exps",
}


def write_gguf(
    path: Path, spec: DecoderSpec, weights: Mapping[str, Float32], tokenizer: Path
) -> None:
    """Write a Qwen3-MoE decoder and its byte-level BPE, a tokenizer.json, as one GGUF file."""
    writer = gguf.GGUFWriter(path, "qwen3moe")
    _write_shape(writer, spec)
    _write_tokenizer(writer, json.loads(tokenizer.read_text("utf-8")))
    writer.add_tensor("token_embd.weight", weights["embedding"])
    writer.add_tensor("output_norm.weight", weights["norm"])
    tied = "embedding" if spec.tie_word_embeddings else "head"
    writer.add_tensor("output.weight", weights[tied])
    for layer in range(len(spec.layers)):
        for slot, name in _TENSORS.items():
            writer.add_tensor(f"blk.{layer}.{name}.weight", weights[f"layers.{layer}.{slot}"])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _write_shape(writer: gguf.GGUFWriter, spec: DecoderSpec) -> None:
    layer = spec.layers[0]
    attention, moe = layer.attention, layer.feed_forward
    assert isinstance(attention, GroupedQuery), "not Qwen3-MoE"
    assert isinstance(moe, SparseMoE), "not Qwen3-MoE"
    writer.add_block_count(len(spec.layers))
    writer.add_context_length(spec.max_position_embeddings)
    writer.add_embedding_length(spec.hidden_size)
    writer.add_feed_forward_length(moe.moe_intermediate_size)
    writer.add_head_count(attention.num_attention_heads)
    writer.add_head_count_kv(attention.num_key_value_heads)
    writer.add_key_length(attention.head_dim)
    writer.add_value_length(attention.head_dim)
    writer.add_rope_freq_base(attention.rope.theta)
    writer.add_layer_norm_rms_eps(layer.norm.epsilon)
    writer.add_expert_count(moe.num_experts)
    writer.add_expert_used_count(moe.router.num_experts_per_tok)
    writer.add_expert_feed_forward_length(moe.moe_intermediate_size)
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)


def _write_tokenizer(writer: gguf.GGUFWriter, tokenizer: Mapping[str, Any]) -> None:
    """Write the vocabulary in the order of ids, and the merges; special tokens are control ones."""
    model = tokenizer["model"]
    special = {token["id"]: token["content"] for token in tokenizer["added_tokens"]}
    names = {token_id: name for name, token_id in model["vocab"].items()} | special
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list([names[token_id] for token_id in range(len(names))])
    kinds = (
        gguf.TokenType.CONTROL if token_id in special else gguf.TokenType.NORMAL
        for token_id in range(len(names))
    )
    writer.add_token_types(list(kinds))
    merges = (merge if isinstance(merge, str) else " ".join(merge) for merge in model["merges"])
    writer.add_token_merges(list(merges))
    writer.add_add_bos_token(False)
    writer.add_eos_token_id(next(i for i, name in special.items() if name == "<|endoftext|>"))


def server_parameters(
    path: Path, *, context_length: int, num_threads: int
) -> xllamacpp.CommonParams:
    """Return llama.cpp's own defaults but for context and threads, for one request at a time."""
    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(path)
    parameters.n_ctx = context_length
    parameters.n_parallel = 1
    parameters.cpuparams.n_threads = num_threads
    parameters.cpuparams_batch.n_threads = num_threads
    return parameters


class LlamaCpp:
    """llama.cpp's server on one model; keys and values are float32 too.

    It answers `num_parallel` requests at a time, each with a context of `context_length`.
    """

    def __init__(
        self, path: Path, *, context_length: int, num_threads: int, num_parallel: int = 1
    ) -> None:
        total = context_length * num_parallel
        parameters = server_parameters(path, context_length=total, num_threads=num_threads)
        parameters.n_parallel = num_parallel
        parameters.cache_type_k = parameters.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
        parameters.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
        parameters.warmup = False
        self._server = xllamacpp.Server(parameters)

    @property
    def address(self) -> str:
        """Where it listens, on this machine."""
        return self._server.listening_address

    def greedy_tokens(
        self, prompt: Sequence[int], num_tokens: int, *, banned: Collection[int] = ()
    ) -> list[int]:
        """Return the likeliest tokens but the `banned` ones, up to an end token."""
        return self._answer(
            "completion",
            {
                "prompt": list(prompt),
                "n_predict": num_tokens,
                "temperature": 0,
                "return_tokens": True,  # all of them, those of half a character too
                "cache_prompt": False,
                "logit_bias": [[token_id, False] for token_id in banned],
            },
        )

    def tokens(self, text: str) -> list[int]:
        """Return the tokens of a text that is nothing but text."""
        asked = {"content": text, "add_special": False, "parse_special": False}
        return self._answer("tokenize", asked)

    def _answer(self, route: str, asked: Mapping[str, Any]) -> list[int]:
        request = urllib.request.Request(
            f"{self._server.listening_address}/{route}",
            json.dumps(asked).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)["tokens"]
