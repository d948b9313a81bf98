from __future__ import annotations

import torch

from synthseg.method.masks.par import _kernel, refine


def two_halves(edge: int) -> torch.Tensor:
    image = torch.zeros(1, 3, 32, 32)
    image[..., edge:] = 1.0
    return image + 0.02 * torch.rand(image.shape, generator=torch.Generator().manual_seed(0))


def test_kernel_sums_to_one_over_neighbours() -> None:
    kernel = _kernel(two_halves(16), [(0, 1), (1, 0), (-1, 0), (0, -4)])
    torch.testing.assert_close(kernel.sum(dim=0), torch.ones(1, 1, 32, 32))


def test_kernel_by_the_formula_at_one_pixel() -> None:
    image, offsets = two_halves(16), [(0, 1), (0, -2), (4, 0), (-1, -1)]
    around = torch.stack([image[0, :, 8 + dy, 15 + dx] for dy, dx in offsets], dim=1)
    color = -(((around - image[0, :, 8, 15, None]) / (0.3 * around.std(dim=1, keepdim=True))) ** 2).mean(dim=0)
    distance = torch.tensor([1.0, 2.0, 4.0, 2**0.5])
    position = -((distance / (0.3 * distance.std())) ** 2)
    expected = (color.softmax(dim=0) + 0.01 * position.softmax(dim=0)) / 1.01
    torch.testing.assert_close(_kernel(image, offsets)[:, 0, 0, 8, 15], expected, atol=1e-4, rtol=1e-3)


def test_scores_snap_to_the_edge_of_the_image() -> None:
    edge = 19
    scores = torch.zeros(1, 2, 32, 32)
    scores[:, 1, :, 16:] = 1.0  # three pixels off
    scores[:, 0] = 1 - scores[:, 1]
    wrong_before = (scores.argmax(dim=1)[0, :, 16:edge] == 1).float().mean()
    wrong_after = (refine(two_halves(edge), scores, 20).argmax(dim=1)[0, :, 16:edge] == 1).float().mean()
    assert wrong_before == 1
    assert wrong_after < 0.2


def test_batch_and_stride_keep_shape_and_independence() -> None:
    images, scores = torch.rand(2, 3, 20, 28), torch.rand(2, 3, 5, 7)
    whole = refine(images, scores, 3, stride=2)
    assert whole.shape == (2, 3, 20, 28)
    torch.testing.assert_close(whole[:1], refine(images[:1], scores[:1], 3, stride=2))


def test_no_iterations_only_resize() -> None:
    assert refine(torch.rand(1, 3, 8, 8), torch.ones(1, 2, 2, 2), 0).eq(1).all()
