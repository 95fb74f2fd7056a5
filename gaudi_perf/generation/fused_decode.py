"""One token through BLOOM with as few kernels as PyTorch allows: what ``graphs`` runs on GPUs, with the KV cache.

transformers' forward pass is written for every case: a mask made anew in every layer, a GELU of nine kernels, a bias
folded into products where torch.compile can then no longer fuse or tune them. At batch 1 every kernel of a token is a
pause in reading weights. The arithmetic here is the same but for the order of rounding.

Of a model that DeepSpeed has cut, each rank has some heads and some columns of the MLP; its layers know in which group
the parts are added up.
"""

from __future__ import annotations

import torch
from torch.nn import functional

from gaudi_perf.generation.static import CachedStaticGeneration


class FusedDecodeGeneration(CachedStaticGeneration):
    """Generation with static shapes, of which every token but the first is a fused decode step."""

    def _make_buffers(self) -> None:
        super()._make_buffers()
        transformer = self._model.transformer
        # (batch x heads, 1, positions): the further back a key is, the smaller its score.
        self._alibi = transformer.build_alibi_tensor(self.mask, transformer.num_heads, dtype=self._model.dtype)
        self._keys_at = torch.arange(self.mask.shape[1], device=self._model.device)

    def _decode(self, token: torch.Tensor, position: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        transformer = self._model.transformer
        hidden = transformer.word_embeddings_layernorm(transformer.word_embeddings(token[:, 0]))
        bias = self._alibi.masked_fill(self._keys_at > position, torch.finfo(hidden.dtype).min)
        for block, layer in zip(transformer.h, self._cache.layers, strict=True):
            normal = block.input_layernorm(hidden)
            residual = normal if block.apply_residual_connection_post_layernorm else hidden
            hidden = residual + self._attend(block.self_attention, normal, bias, layer.keys, layer.values, position)
            normal = block.post_attention_layernorm(hidden)
            residual = normal if block.apply_residual_connection_post_layernorm else hidden
            inner = functional.gelu(self._linear(block.mlp.dense_h_to_4h, normal), approximate="tanh")
            hidden = residual + self._summed(block.mlp.dense_4h_to_h, inner)
        normal = transformer.ln_f(hidden)
        # DeepSpeed's head takes three dimensions.
        logits = self._model.lm_head(normal) if self._ranks == 1 else self._model.lm_head(normal[:, None])[:, 0]
        return logits.argmax(-1, keepdim=True), logits

    def _attend(
        self,
        attention: torch.nn.Module,
        normal: torch.Tensor,
        bias: torch.Tensor,
        keys: torch.Tensor,
        values: torch.Tensor,
        position: torch.Tensor,
    ) -> torch.Tensor:
        """Attention of one position, whose key and value are put into the cache (batch, heads, positions, width)."""
        batch, heads, length, width = keys.shape
        query, key, value = self._linear(attention.query_key_value, normal).view(batch, heads, 3, width).unbind(2)
        keys.index_copy_(2, position, key[:, :, None])
        values.index_copy_(2, position, value[:, :, None])
        products = torch.bmm(
            query.reshape(batch * heads, 1, width), keys.view(batch * heads, length, width).transpose(1, 2)
        )
        scores = torch.add(bias, products, alpha=attention.inv_norm_factor)
        weights = functional.softmax(scores, dim=-1, dtype=torch.float32).to(values.dtype)
        context = torch.bmm(weights, values.view(batch * heads, length, width))
        return self._summed(attention.dense, context.view(batch, heads * width))

    def _summed(self, module: torch.nn.Module, value: torch.Tensor) -> torch.Tensor:
        """A product to which every rank adds its part; the bias is added once."""
        if self._ranks == 1:
            return self._linear(module, value)
        product = functional.linear(value, module.weight)
        torch.distributed.all_reduce(product, group=module.mp_group)
        return product + module.bias

    def _linear(self, module: torch.nn.Module, value: torch.Tensor) -> torch.Tensor:
        # torch.compile makes kernels of its own of matrix-vector products where a bias is added after them, not within
        # them (torch/_inductor/decomposition.py takes ``mm`` apart, not ``addmm``).
        if torch.compiler.is_compiling():
            return functional.linear(value, module.weight) + module.bias
        return functional.linear(value, module.weight, module.bias)
