import timm
import torch
from torch import nn

from synthseg.method.networks.hybrid_vit import MODEL_NAME, STRIDE


def tower() -> nn.Module:
    torch.manual_seed(0)
    return timm.create_model(MODEL_NAME).eval()


def test_any_multiple_of_the_stride_gives_one_token_a_cell():
    model = tower()
    for height, width in ((96, 96), (128, 128), (160, 96)):
        tokens = model.forward_features(torch.zeros(2, 3, height, width))
        assert tokens.shape == (2, (height // STRIDE) * (width // STRIDE), 192)


def test_mean_of_projected_patches_is_the_image_embedding():
    model, head = tower(), nn.Linear(192, 32, bias=False)
    images = torch.randn(2, 3, 128, 128)
    with torch.no_grad():
        pooled = head(model.forward_head(model.forward_features(images), pre_logits=True))
        patches = head(model.forward_features(images))
    torch.testing.assert_close(patches.mean(dim=1), pooled, atol=1e-5, rtol=1e-4)


def test_size_stays_small_and_every_block_shows_its_attention():
    model = tower()
    assert 2e6 < sum(p.numel() for p in model.parameters()) < 5e6
    assert not any(block.attn.fused_attn for block in model.blocks)
