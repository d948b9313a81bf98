"""Two kinds of open_clip image tower behind one view: tokens in, blocks to walk, a way out into the text space.

open_clip's native VisionTransformer and a timm VisionTransformer (inside open_clip's TimmModel, or alone as DINOv2 is) keep the same
pre-norm blocks under other names. The view exposes queries, keys and values, so that a caller can run its own attention.
"""

from __future__ import annotations

from typing import Any, Protocol, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from synthseg.errors import UsageProblem

Grid = tuple[int, int]


class BlockView(Protocol):
    """One pre-norm transformer block."""

    def qkv(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values (B, heads, N, d) of the normed tokens (B, N, C)."""
        ...

    def merge(self, heads: Tensor) -> Tensor:
        """Residual (B, N, C) from attended values (B, heads, N, d)."""
        ...

    def feed_forward(self, x: Tensor) -> Tensor:
        """Residual (B, N, C) of the block's MLP."""
        ...


class Tower(Protocol):
    """A vision transformer, frozen, whose first `num_prefix` tokens are no patches."""

    blocks: list[BlockView]
    num_prefix: int
    width: int
    stride: int

    def embed(self, images: Tensor) -> tuple[Tensor, Grid]:
        """Tokens (B, prefix + h * w, C) before the first block, and (h, w). Sides must be multiples of `stride`."""
        ...

    def project(self, tokens: Tensor) -> Tensor:
        """Any tokens (..., C) to the text space (..., D): last norm, then projection."""
        ...

    def pool(self, tokens: Tensor) -> Tensor:
        """The tower's own image embedding (B, D) from the last tokens (B, prefix + N, C)."""
        ...


def split_heads(x: Tensor, num_heads: int) -> Tensor:
    """(B, N, heads * d) to (B, heads, N, d)."""
    return x.reshape(*x.shape[:-1], num_heads, -1).transpose(1, 2)


def join_heads(x: Tensor) -> Tensor:
    """(B, heads, N, d) to (B, N, heads * d)."""
    return x.transpose(1, 2).flatten(2)


def to_grid(x: Tensor, grid: Grid) -> Tensor:
    """(..., h * w) to (..., h, w)."""
    return x.reshape(*x.shape[:-1], *grid)


def check_size(height: int, width: int, stride: int) -> Grid:
    """The token grid of an image. UsageProblem where a side is no multiple of `stride`."""
    if height % stride or width % stride:
        raise UsageProblem(f"image size: {height}x{width} is not a multiple of the encoder's stride {stride}; resize or pad the image")
    return height // stride, width // stride


def resize_positions(positions: Tensor, grid: Grid) -> Tensor:
    """Position embedding (N, C) of a square grid, bicubically resampled to (h * w, C)."""
    side = round(positions.shape[0] ** 0.5)
    if grid == (side, side):
        return positions
    square = positions.float().T.reshape(1, -1, side, side)
    resized = F.interpolate(square, size=grid, mode="bicubic", antialias=True, align_corners=False)
    return resized.flatten(2)[0].T.to(positions.dtype)


class NativeBlock:
    """open_clip's ResidualAttentionBlock."""

    def __init__(self, block: Any) -> None:
        attention = getattr(block, "attn", None)
        if not isinstance(attention, nn.MultiheadAttention) or attention.in_proj_weight is None:
            raise UsageProblem(f"clip_model: blocks of type {type(block).__name__} are not supported; choose a plain ViT such as ViT-B-16")
        self._block, self._attention = block, attention

    def qkv(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """See BlockView."""
        joint = F.linear(self._block.ln_1(x), self._attention.in_proj_weight, self._attention.in_proj_bias)
        q, k, v = (split_heads(part, self._attention.num_heads) for part in joint.chunk(3, dim=-1))
        return q, k, v

    def merge(self, heads: Tensor) -> Tensor:
        """See BlockView."""
        return cast(Tensor, self._block.ls_1(self._attention.out_proj(join_heads(heads))))

    def feed_forward(self, x: Tensor) -> Tensor:
        """See BlockView."""
        return cast(Tensor, self._block.ls_2(self._block.mlp(self._block.ln_2(x))))


class NativeTower:
    """open_clip's own VisionTransformer: class token first, `ln_post`, then a projection matrix."""

    def __init__(self, visual: Any) -> None:
        if getattr(visual, "attn_pool", None) is not None:
            raise UsageProblem("clip_model: image towers with attention pooling are not supported; choose a plain ViT such as ViT-B-16")
        self._visual = visual
        self.blocks: list[BlockView] = [NativeBlock(b) for b in visual.transformer.resblocks]
        self.num_prefix = 1
        self.width = int(visual.conv1.out_channels)
        self.stride = int(visual.patch_size[0])

    def embed(self, images: Tensor) -> tuple[Tensor, Grid]:
        """See Tower."""
        grid = check_size(images.shape[-2], images.shape[-1], self.stride)
        visual = self._visual
        x = visual.conv1(images).flatten(2).transpose(1, 2)
        positions: Tensor = visual.positional_embedding
        first = visual.class_embedding.expand(x.shape[0], 1, -1) + positions[:1]
        x = torch.cat([first.to(x.dtype), x + resize_positions(positions[1:], grid).to(x.dtype)], dim=1)
        return visual.ln_pre(x), grid

    def project(self, tokens: Tensor) -> Tensor:
        """See Tower."""
        normed = self._visual.ln_post(tokens)
        matrix = self._visual.proj
        return cast(Tensor, normed if matrix is None else normed @ matrix)

    def pool(self, tokens: Tensor) -> Tensor:
        """See Tower."""
        pooled = self._visual._pool(tokens)[0]  # noqa: SLF001 - open_clip has no public way to pool given tokens
        matrix = self._visual.proj
        return cast(Tensor, pooled if matrix is None else pooled @ matrix)


class TimmBlock:
    """timm's Block with its Attention."""

    def __init__(self, block: Any) -> None:
        attention = getattr(block, "attn", None)
        if attention is None or not hasattr(attention, "qkv") or getattr(attention, "gate", None) is not None:
            raise UsageProblem(f"encoder: blocks of type {type(block).__name__} are not supported; choose a plain timm VisionTransformer")
        self._block, self._attention = block, attention

    def qkv(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """See BlockView."""
        attention = self._attention
        q, k, v = (split_heads(part, attention.num_heads) for part in attention.qkv(self._block.norm1(x)).chunk(3, dim=-1))
        return attention.q_norm(q), attention.k_norm(k), v

    def merge(self, heads: Tensor) -> Tensor:
        """See BlockView."""
        attention = self._attention
        return cast(Tensor, self._block.ls1(attention.proj(attention.norm(join_heads(heads)))))

    def feed_forward(self, x: Tensor) -> Tensor:
        """See BlockView."""
        return cast(Tensor, self._block.ls2(self._block.mlp(self._block.norm2(x))))


class TimmTower:
    """A timm VisionTransformer, with or without class token; `head` is open_clip's projection, or nothing (DINOv2).

    `image_size` is the native side that the position embedding was trained for.
    """

    def __init__(self, trunk: Any, image_size: int, head: nn.Module | None = None) -> None:
        positions: Tensor | None = getattr(trunk, "pos_embed", None)
        if not hasattr(trunk, "blocks") or positions is None:
            raise UsageProblem(f"encoder: {type(trunk).__name__} is not a VisionTransformer with learned positions; choose one that is")
        self._trunk = trunk
        self._head = head if head is not None else nn.Identity()
        self.blocks: list[BlockView] = [TimmBlock(b) for b in trunk.blocks]
        self.num_prefix = int(trunk.num_prefix_tokens)
        self.width = int(trunk.embed_dim)
        self._embedded_prefix = 0 if trunk.no_embed_class else self.num_prefix
        self.stride = image_size // round((positions.shape[1] - self._embedded_prefix) ** 0.5)
        # The size is checked against the stride here; timm's own check allows the training size only.
        trunk.patch_embed.strict_img_size = False

    def embed(self, images: Tensor) -> tuple[Tensor, Grid]:
        """See Tower."""
        grid = check_size(images.shape[-2], images.shape[-1], self.stride)
        trunk = self._trunk
        x: Tensor = trunk.patch_embed(images)
        if x.ndim == 4:
            x = x.flatten(1, 2) if x.shape[-1] == self.width else x.flatten(2).transpose(1, 2)
        positions: Tensor = trunk.pos_embed[0]
        patches = x + resize_positions(positions[self._embedded_prefix :], grid).to(x.dtype)
        prefix = [t.expand(x.shape[0], -1, -1) for t in (trunk.cls_token, trunk.reg_token) if t is not None]
        if prefix:
            first = torch.cat(prefix, dim=1)
            if self._embedded_prefix:
                first = first + positions[: self._embedded_prefix]
            patches = torch.cat([first.to(x.dtype), patches], dim=1)
        return trunk.norm_pre(patches), grid

    def project(self, tokens: Tensor) -> Tensor:
        """See Tower."""
        trunk = self._trunk
        normed = trunk.fc_norm(trunk.norm(tokens))
        return cast(Tensor, self._head(trunk.head(normed)))

    def pool(self, tokens: Tensor) -> Tensor:
        """See Tower."""
        trunk = self._trunk
        return cast(Tensor, self._head(trunk.forward_head(trunk.norm(tokens))))


def clip_tower(clip_model: nn.Module) -> Tower:
    """The view of an open_clip model's image tower. UsageProblem for towers that are no vision transformers."""
    visual: Any = clip_model.visual
    if hasattr(visual, "trunk"):
        return TimmTower(visual.trunk, int(visual.image_size[0]), visual.head)
    if not hasattr(visual, "transformer") or not hasattr(visual, "conv1"):
        raise UsageProblem(f"clip_model: an image tower of type {type(visual).__name__} has no patch tokens; choose a ViT")
    return NativeTower(visual)
