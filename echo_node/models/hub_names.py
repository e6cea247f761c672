"""DINOv2's and DINOv3's weights as the Hugging Face hub has them, under the names of Meta's own files.

Both are the same numbers. The hub's have queries, keys and values apart, and of DINOv3 neither a bias of the keys,
which is zero, nor the periods of the rotary positions, which no training changes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

_NAMES: tuple[tuple[str, str], ...] = (
    (r"^embeddings\.(cls_token|mask_token|register_tokens)$", r"\1"),
    (r"^embeddings\.position_embeddings$", "pos_embed"),
    (r"^embeddings\.patch_embeddings\.(?:projection\.)?", "patch_embed.proj."),
    (r"^(?:encoder\.|model\.)?layer\.(\d+)\.", r"blocks.\1."),
    (r"\.attention\.(?:attention\.query|q_proj)\.", ".attn.q."),
    (r"\.attention\.(?:attention\.key|k_proj)\.", ".attn.k."),
    (r"\.attention\.(?:attention\.value|v_proj)\.", ".attn.v."),
    (r"\.attention\.(?:output\.dense|o_proj)\.", ".attn.proj."),
    (r"\.layer_scale([12])\.lambda1$", r".ls\1.gamma"),
    (r"\.mlp\.up_proj\.", ".mlp.fc1."),
    (r"\.mlp\.down_proj\.", ".mlp.fc2."),
    (r"^layernorm\.", "norm."),
)
_QUERY = re.compile(r"^(blocks\.\d+\.attn\.)q\.(weight|bias)$")
HEAD_WIDTH = 64  # of every size that is published
_BASE = 100.0  # of the periods, of every DINOv3 that is published


def by_their_own_names(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same weights as Meta names them; those that are none of the hub's as they are."""
    if "embeddings.cls_token" not in weights:
        return dict(weights)
    renamed = {}
    for name, value in weights.items():
        for pattern, replacement in _NAMES:
            name = re.sub(pattern, replacement, name)
        renamed[name] = value
    for match in [found for name in renamed if (found := _QUERY.match(name))]:
        block, kind = match.groups()
        query = renamed.pop(match[0])
        key, value = (renamed.pop(f"{block}{part}.{kind}", torch.zeros_like(query)) for part in "kv")
        renamed[f"{block}qkv.{kind}"] = torch.cat([query, key, value])
    if "pos_embed" not in renamed:
        renamed["rope_embed.periods"] = _BASE ** torch.arange(0, 1, 4 / HEAD_WIDTH)
    return renamed
