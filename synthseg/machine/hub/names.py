"""Which repository of the hub holds the weights that open_clip and timm know by names of their own.

Both libraries take seconds to import, so the names of the presets are answered from a table, which a test holds to the libraries.
"""

from __future__ import annotations

from typing import Final

HF_HUB_PREFIX: Final = "hf-hub:"
_CLIP: Final = {
    ("ViT-B-16", "openai"): "timm/vit_base_patch16_clip_224.openai",
    ("ViT-B-16-quickgelu", "openai"): "timm/vit_base_patch16_clip_224.openai",
    ("ViT-B-32", "openai"): "timm/vit_base_patch32_clip_224.openai",
    ("ViT-B-32-quickgelu", "openai"): "timm/vit_base_patch32_clip_224.openai",
    ("ViT-B-32", "laion2b_s34b_b79k"): "laion/CLIP-ViT-B-32-laion2B-s34B-b79K",
    ("ViT-B-16", "laion2b_s34b_b88k"): "laion/CLIP-ViT-B-16-laion2B-s34B-b88K",
    ("ViT-L-14", "openai"): "timm/vit_large_patch14_clip_224.openai",
    ("ViT-L-14-quickgelu", "openai"): "timm/vit_large_patch14_clip_224.openai",
}
_TIMM: Final = {
    name: f"timm/{name}"
    for name in (
        "deit_small_patch16_224.fb_in1k",
        "vit_base_patch14_dinov2.lvd142m",
        "vit_base_patch16_224.augreg_in21k",
        "vit_small_patch14_dinov2.lvd142m",
        "vit_small_patch16_224.augreg_in21k",
    )
}


def hub_id_of_clip(name: str, tag: str) -> str:
    """Repository of open_clip's model `name` with its weights `tag`; `hf-hub:ORG/REPO` names its own. Empty when there is none."""
    if name.startswith(HF_HUB_PREFIX):
        return name.removeprefix(HF_HUB_PREFIX)
    if (name, tag) in _CLIP:
        return _CLIP[name, tag]
    import open_clip

    settings = open_clip.get_pretrained_cfg(name, tag)
    return str(settings.get("hf_hub", "")).rpartition("/")[0]


def hub_id_of_timm(name: str) -> str:
    """Repository of timm's model `name`, tag included; `hf-hub:ORG/REPO` names its own. Empty when there is none."""
    if name.startswith(HF_HUB_PREFIX):
        return name.removeprefix(HF_HUB_PREFIX)
    if name in _TIMM:
        return _TIMM[name]
    import timm

    try:
        settings = timm.models.get_pretrained_cfg(name)
    except RuntimeError:  # the architecture is known, the tag is not
        return ""
    return str(settings.hf_hub_id or "") if settings else ""
