"""Qwen3-MoE in plain torch: exactly transformers' mathematics, written for training speed.

Weights are kept in float32 and used in the dtype of the computation; norms, router and loss are
computed in float32. Names of parameters are the checkpoint's, but for the experts, which are kept
stacked. Knows no optimizer and no data.
"""

from collections.abc import Callable
from typing import Final, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.model.configuration import Shape
from training.model.experts import LOOPED, Grouping, mixture_of_experts

_QUERY_BLOCK: Final = 128


class Routing(NamedTuple):
    """What one layer's router did: both losses are scalars, `load` is [num_experts], a share."""

    load_balance: Tensor
    z_loss: Tensor
    load: Tensor


class Losses(NamedTuple):
    """`prediction` is in nats per token, both others summed over layers, `load` one a layer."""

    prediction: Tensor
    load_balance: Tensor
    z_loss: Tensor
    load: Tensor


class Decoder(nn.Module):
    def __init__(
        self, shape: Shape, dtype: torch.dtype = torch.float32, grouping: Grouping = LOOPED
    ) -> None:
        super().__init__()
        self.shape = shape
        self.dtype = dtype
        self.embed_tokens = nn.Parameter(torch.empty(shape.vocab_size, shape.hidden_size))
        self.layers = nn.ModuleList(Layer(shape, grouping) for _ in range(shape.num_hidden_layers))
        self.norm = nn.Parameter(torch.ones(shape.hidden_size))
        self.run_as(grouping, is_compiled=False)

    def run_as(self, grouping: Grouping, *, is_compiled: bool) -> None:
        """Choose how experts are multiplied, and whether layers and the loss are compiled.

        A layer is compiled, once for all of them, not the whole model, which takes minutes.
        """
        for layer in self.layers:
            cast("Layer", layer).grouping = grouping
        self._run_layers: list[Callable[..., tuple[Tensor, ...]]] = [
            torch.compile(layer, dynamic=False) if is_compiled else layer for layer in self.layers
        ]
        self._prediction_loss: Callable[[Tensor, Tensor, Tensor], Tensor] = (
            torch.compile(prediction_loss, dynamic=False) if is_compiled else prediction_loss
        )

    def hidden_states(self, token_ids: Tensor) -> tuple[Tensor, list[Routing]]:
        """Return [batch, length, hidden] behind the last norm, and what the routers did."""
        rotation = rotary(self.shape, token_ids.shape[1], token_ids.device)
        x = functional.embedding(token_ids, self.embed_tokens.to(self.dtype))
        routings: list[Routing] = []
        for run_layer in self._run_layers:
            x, *routing = run_layer(x, *rotation)
            routings.append(Routing(*routing))
        return rms_norm(x, self.norm, self.shape.rms_norm_eps), routings

    def forward(self, token_ids: Tensor) -> Tensor:
        """Return logits, [batch, length, vocab_size], in float32."""
        x, _ = self.hidden_states(token_ids)
        return functional.linear(x, self.embed_tokens.to(x.dtype)).float()

    def losses(self, windows: Tensor) -> Losses:
        """Predict each id of [batch, length + 1] from those before it."""
        x, routings = self.hidden_states(windows[:, :-1])
        prediction = self._prediction_loss(x, self.embed_tokens, windows[:, 1:])
        load_balance, z_loss, load = (torch.stack(part) for part in zip(*routings, strict=True))
        return Losses(prediction, load_balance.sum(), z_loss.sum(), load)


class Layer(nn.Module):
    def __init__(self, shape: Shape, grouping: Grouping) -> None:
        super().__init__()
        self.shape = shape
        self.grouping = grouping
        hidden, size, experts = shape.hidden_size, shape.moe_intermediate_size, shape.num_experts
        query = shape.num_attention_heads * shape.head_dim
        key = shape.num_key_value_heads * shape.head_dim
        self.input_layernorm = nn.Parameter(torch.ones(hidden))
        self.q_proj = nn.Parameter(torch.empty(query, hidden))
        self.k_proj = nn.Parameter(torch.empty(key, hidden))
        self.v_proj = nn.Parameter(torch.empty(key, hidden))
        self.o_proj = nn.Parameter(torch.empty(hidden, query))
        self.q_norm = nn.Parameter(torch.ones(shape.head_dim))
        self.k_norm = nn.Parameter(torch.ones(shape.head_dim))
        self.post_attention_layernorm = nn.Parameter(torch.ones(hidden))
        self.gate = nn.Parameter(torch.empty(experts, hidden))
        self.gate_proj = nn.Parameter(torch.empty(experts, size, hidden))
        self.up_proj = nn.Parameter(torch.empty(experts, size, hidden))
        self.down_proj = nn.Parameter(torch.empty(experts, hidden, size))

    def forward(
        self, x: Tensor, cosine: Tensor, sine: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return the layer's output and the three parts of its Routing."""
        normed = rms_norm(x, self.input_layernorm, self.shape.rms_norm_eps)
        x = x + self._attention(normed, cosine, sine)
        normed = rms_norm(x, self.post_attention_layernorm, self.shape.rms_norm_eps)
        mixed, routing = self._mixture(normed.reshape(-1, x.shape[-1]))
        return x + mixed.reshape(x.shape), routing.load_balance, routing.z_loss, routing.load

    def _attention(self, x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
        batch, length, _ = x.shape
        eps, head_dim = self.shape.rms_norm_eps, self.shape.head_dim
        query, key, value = (
            functional.linear(x, weight.to(x.dtype)).view(batch, length, -1, head_dim)
            for weight in (self.q_proj, self.k_proj, self.v_proj)
        )
        query = rotate(rms_norm(query, self.q_norm, eps), cosine, sine)
        key = rotate(rms_norm(key, self.k_norm, eps), cosine, sine)
        groups = self.shape.num_attention_heads // self.shape.num_key_value_heads
        output = causal_attention(
            query.transpose(1, 2),
            key.transpose(1, 2).repeat_interleave(groups, dim=1),
            value.transpose(1, 2).repeat_interleave(groups, dim=1),
        )
        joined = output.transpose(1, 2).reshape(batch, length, -1)
        return functional.linear(joined, self.o_proj.to(x.dtype))

    def _mixture(self, x: Tensor) -> tuple[Tensor, Routing]:
        logits = functional.linear(x.float(), self.gate)
        probabilities = logits.softmax(dim=-1)
        weights, chosen = probabilities.topk(self.shape.num_experts_per_tok, dim=-1)
        weights = weights / weights.sum(dim=-1, keepdim=True)
        matrices = (
            self.gate_proj.to(x.dtype),
            self.up_proj.to(x.dtype),
            self.down_proj.to(x.dtype),
        )
        mixed = mixture_of_experts(x, chosen, weights, matrices, self.grouping)
        return mixed, routing_of(logits, probabilities, chosen)


def causal_attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Attend from [batch, heads, length, head_dim] to all of the same shape that is not later.

    On a CPU by blocks of queries, each against the keys that it may see: torch's own kernel skips
    them too, but takes 1.3 to 2 times as long forward and back (bf16, one core of an EPYC).
    """
    if query.device.type != "cpu":
        return functional.scaled_dot_product_attention(query, key, value, is_causal=True)
    length, head_dim = query.shape[-2:]
    future = torch.full((length, length), float("-inf")).triu(1)
    outputs: list[Tensor] = []
    for start in range(0, length, _QUERY_BLOCK):
        end = min(start + _QUERY_BLOCK, length)
        scores = query[:, :, start:end] * head_dim**-0.5 @ key[:, :, :end].transpose(-1, -2)
        weights = (scores.float() + future[start:end, :end]).softmax(dim=-1)
        outputs.append(weights.to(query.dtype) @ value[:, :, :end])
    return torch.cat(outputs, dim=2)


def routing_of(logits: Tensor, probabilities: Tensor, chosen: Tensor) -> Routing:
    """Return the routers' losses, from values [num_tokens, num_experts] and the choice of experts.

    Load balance after Switch Transformers (arXiv:2101.03961, equation 4), 1 where all experts are
    used alike; z-loss after ST-MoE (arXiv:2202.08906, equation 5).
    """
    num_experts = logits.shape[-1]
    load = functional.one_hot(chosen, num_experts).float().mean(dim=(0, 1))
    balance = num_experts * (load * probabilities.mean(dim=0)).sum()
    return Routing(balance, logits.logsumexp(dim=-1).square().mean(), load)


def prediction_loss(x: Tensor, head: Tensor, targets: Tensor) -> Tensor:
    """Return the mean cross entropy, in nats, of [batch, length, hidden] and [batch, length]."""
    logits = functional.linear(x.flatten(0, 1), head.to(x.dtype))
    return functional.cross_entropy(logits.float(), targets.flatten())


def rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """Normalize in float32; the weight is applied in the dtype of `x`, as transformers does."""
    wide = x.float()
    normed = wide * torch.rsqrt(wide.square().mean(dim=-1, keepdim=True) + eps)
    return weight.to(x.dtype) * normed.to(x.dtype)


def rotary(shape: Shape, length: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return cosine and sine, [length, 1, head_dim] each, halves alike (arXiv:2104.09864)."""
    exponents = torch.arange(0, shape.head_dim, 2, device=device).float() / shape.head_dim
    angles = torch.arange(length, device=device).float()[:, None] * shape.rope_theta**-exponents
    both = torch.cat([angles, angles], dim=-1)[:, None]
    return both.cos(), both.sin()


def rotate(x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """Turn [batch, length, heads, head_dim]; a pair is an index of each half."""
    first, second = x.chunk(2, dim=-1)
    turned = torch.cat([-second, first], dim=-1)
    return x * cosine.to(x.dtype) + turned * sine.to(x.dtype)


def initialize(decoder: Decoder, seed: int) -> None:
    """Draw the weights: matrices uniform with variance 1 / fan-in, outputs of blocks zero.

    A block that starts as nothing lets the first steps of Muon set its scale; the embedding is
    small because it is the head as well.
    """
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in decoder.named_parameters():
        if parameter.dim() < 2:
            continue
        if name == "embed_tokens":
            values = torch.randn(parameter.shape, generator=generator) * 0.02
        elif name.endswith(("o_proj", "down_proj")):
            values = torch.zeros(parameter.shape)
        else:
            bound = (3 / parameter.shape[-1]) ** 0.5
            values = (torch.rand(parameter.shape, generator=generator) * 2 - 1) * bound
        parameter.data.copy_(values)
