"""Image and mask files: read whole and in one frame, or refused with their name."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image

from synthseg.datasets.palette import ids_of_colors, voc_colors
from synthseg.datasets.pictures import read_image, read_mask, read_pair
from synthseg.errors import CorruptData
from synthseg.taxonomy import taxonomy

VOC, COCO = taxonomy("voc"), taxonomy("coco")
IDS = np.array([[0, 1, 20], [15, 255, 7]], np.uint8)


def palette_image(indices: np.ndarray, colors: np.ndarray) -> Image.Image:
    image = Image.fromarray(indices, "P")
    image.putpalette(colors.astype(np.uint8).ravel().tolist())
    return image


def encoded(image: Image.Image, kind: str, **options) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def texture(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3)).astype(np.uint8)


def test_masks_are_indices_never_colors(tmp_path):
    indices = np.array([[0, 1], [15, 255]], np.uint8)
    palette = Image.fromarray(indices, "P")
    palette.putpalette([channel for i in range(256) for channel in (255 - i, i // 2, 7)])
    palette.save(tmp_path / "palette.png")
    Image.fromarray(indices).save(tmp_path / "grey.png")
    Image.fromarray(np.zeros((2, 2, 3), np.uint8)).save(tmp_path / "color.png")
    (tmp_path / "torn.png").write_bytes((tmp_path / "palette.png").read_bytes()[:60])
    assert read_mask(tmp_path / "palette.png", VOC).tolist() == indices.tolist()
    assert read_mask(tmp_path / "grey.png", VOC).tolist() == indices.tolist()
    with pytest.raises(CorruptData, match=r"color\.png.*'RGB'"):
        read_mask(tmp_path / "color.png", COCO)
    with pytest.raises(CorruptData, match=r"torn\.png"):
        read_mask(tmp_path / "torn.png", VOC)


def test_the_palette_is_voc_s():
    # Devkit, VOCcolormap: aeroplane, person, potted plant, tv monitor and void.
    assert voc_colors()[[0, 1, 15, 16, 20, 255]].tolist() == [
        [0, 0, 0],
        [128, 0, 0],
        [192, 128, 128],
        [0, 64, 0],
        [0, 64, 128],
        [224, 224, 192],
    ]


@settings(deadline=None)
@given(st.lists(st.sampled_from([*range(21), 255]), min_size=1, max_size=40))
def test_colors_and_ids_are_one_to_one(ids):
    assert ids_of_colors(voc_colors()[np.array([ids])]).tolist() == [ids]


def test_a_mask_in_voc_s_colors_is_read_by_them(tmp_path):
    path = tmp_path / "mask.png"
    palette_image(IDS, voc_colors()).convert("RGB").save(path)
    assert read_mask(path, VOC).tolist() == IDS.tolist()
    with pytest.raises(CorruptData, match=r"mask\.png: is a 'RGB' image"):
        read_mask(path, COCO)


@pytest.mark.parametrize("color", [(128, 0, 1), (127, 0, 0), (64, 64, 64), (255, 255, 255)])
def test_a_color_that_no_class_has_is_named(color, tmp_path):
    picture = np.zeros((2, 3, 3), np.uint8)
    picture[1, 2] = color
    Image.fromarray(picture).save(tmp_path / "mask.png")
    with pytest.raises(CorruptData, match=rf"mask\.png: color \({color[0]}, {color[1]}, {color[2]}\) at row 1, column 2"):
        read_mask(tmp_path / "mask.png", VOC)


def test_a_mask_that_went_through_luminance_is_refused(tmp_path):
    # The issue's own input: VOC's colors turned to grey give 38 for an aeroplane and 147 for a person.
    palette_image(IDS, voc_colors()).convert("RGB").convert("L").save(tmp_path / "mask.png")
    with pytest.raises(CorruptData, match=r"mask\.png: holds 38, .*which voc has no class for"):
        read_mask(tmp_path / "mask.png", VOC)


@pytest.mark.parametrize(("classes", "value"), [(VOC, 21), (VOC, 150), (VOC, 254), (COCO, 81), (COCO, 90)])
@pytest.mark.parametrize("kind", ["P", "L"])
def test_a_value_without_a_class_is_named(kind, classes, value, tmp_path):
    ids = np.array([[0, classes.num_classes, 255, value]], np.uint8)
    image = palette_image(ids, voc_colors()) if kind == "P" else Image.fromarray(ids)
    image.save(tmp_path / "mask.png")
    with pytest.raises(CorruptData, match=rf"mask\.png: holds {value}, which {classes.name} has no class for"):
        read_mask(tmp_path / "mask.png", classes)


def test_the_last_class_is_fine(tmp_path):
    Image.fromarray(np.array([[80, 255]], np.uint8)).save(tmp_path / "mask.png")
    assert read_mask(tmp_path / "mask.png", COCO).tolist() == [[80, 255]]


def png(width: int, depth: int, color_type: int, *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG of one row with these chunks after its header, written by the specification: Pillow writes no grey of 2 or 4 bits."""
    header = struct.pack(">IIBBBBB", width, 1, depth, color_type, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
        for name, content in ((b"IHDR", header), *chunks, (b"IEND", b""))
    )


def grey_png(depth: int, samples: list[int]) -> bytes:
    """A PNG of one row, grey with `depth` bits."""
    bits = "".join(f"{sample:0{depth}b}" for sample in samples)
    row = int(bits.ljust(-(-len(bits) // 8) * 8, "0"), 2).to_bytes(-(-len(bits) // 8), "big")
    return png(len(samples), depth, 0, (b"IDAT", zlib.compress(b"\0" + row)))


@pytest.mark.parametrize("depth", [1, 2, 4, 16])
def test_grey_of_other_depths_is_refused(depth, tmp_path):
    # Pillow reads the value 1 of 4 bits as 17, sheep, and that of 2 bits as 85.
    (tmp_path / "mask.png").write_bytes(grey_png(depth, [0, 1]))
    with pytest.raises(CorruptData, match=rf"mask\.png: is a '.*' image of {depth} bits"):
        read_mask(tmp_path / "mask.png", VOC)
    (tmp_path / "mask.png").write_bytes(grey_png(8, [0, 1]))
    assert read_mask(tmp_path / "mask.png", VOC).tolist() == [[0, 1]]


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_palette_images_of_any_depth_are_indices(bits, tmp_path):
    ids = np.array([[0, 1]], np.uint8)
    (tmp_path / "mask.png").write_bytes(encoded(palette_image(ids, voc_colors()[: 1 << bits]), "PNG", bits=bits))
    assert read_mask(tmp_path / "mask.png", VOC).tolist() == ids.tolist()


@pytest.mark.parametrize("mode", ["RGBA", "LA", "1", "I;16"])
def test_other_kinds_of_masks_are_refused(mode, tmp_path):
    Image.new(mode, (3, 2)).save(tmp_path / "mask.png")
    with pytest.raises(CorruptData, match=r"mask\.png: is a '.*' image .*must be a palette or 8-bit grey PNG"):
        read_mask(tmp_path / "mask.png", VOC)


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "BMP", "GIF"])
def test_a_mask_is_a_png(kind, tmp_path):
    (tmp_path / "mask.png").write_bytes(encoded(Image.fromarray(np.zeros((4, 4), np.uint8)), kind))
    with pytest.raises(CorruptData, match=r"mask\.png: cannot be read \(no PNG file\)"):
        read_mask(tmp_path / "mask.png", VOC)


def test_grey_images_are_stacked_and_torn_ones_named(tmp_path):
    Image.fromarray(np.full((3, 4), 9, np.uint8)).save(tmp_path / "grey.png")
    assert read_image(tmp_path / "grey.png").shape == (3, 4, 3)
    (tmp_path / "torn.jpg").write_bytes(b"torn")
    with pytest.raises(CorruptData, match=r"torn\.jpg"):
        read_image(tmp_path / "torn.jpg")


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA"])
def test_images_of_any_mode_become_rgb(mode, tmp_path):
    Image.new("RGB", (5, 3), (255, 255, 255)).convert(mode).save(tmp_path / "image.png")
    assert read_image(tmp_path / "image.png").tolist() == np.full((3, 5, 3), 255).tolist()


def test_a_cmyk_jpeg_becomes_rgb(tmp_path):
    Image.new("CMYK", (5, 3), (0, 0, 0, 0)).save(tmp_path / "image.jpg", quality=95)
    assert (read_image(tmp_path / "image.jpg") > 250).all()


def test_a_deep_image_is_refused(tmp_path):
    Image.new("I;16", (5, 3), 700).save(tmp_path / "image.png")
    with pytest.raises(CorruptData, match=r"image\.png: is a 'I;16' image"):
        read_image(tmp_path / "image.png")


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_an_image_cut_anywhere_is_refused_or_whole(kind, tmp_path):
    path = tmp_path / f"image.{kind.lower()}"
    content = encoded(Image.fromarray(texture(24, 16)), kind)
    path.write_bytes(content)
    whole = read_image(path)
    refused = 0
    for length in range(len(content)):
        path.write_bytes(content[:length])
        try:
            assert (read_image(path) == whole).all(), length
        except CorruptData as error:
            assert str(path) in str(error)  # noqa: PT017 - both ends are right, and this is one of them
            refused += 1
    assert refused > len(content) * 0.9


def test_a_jpeg_cut_in_half_is_refused(tmp_path):
    path = tmp_path / "image.jpg"
    content = encoded(Image.fromarray(texture(200, 160)), "JPEG")
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(CorruptData, match=r"image\.jpg: cannot be read \(image file is truncated"):
        read_image(path)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
@settings(deadline=None)
@given(st.data())
def test_a_damaged_mask_is_never_another_one(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("masks") / "mask.png"
    ids = np.random.default_rng(1).choice(np.array([*range(21), 255], np.uint8), (9, 14))
    content = bytearray(encoded(palette_image(ids, voc_colors()), "PNG"))
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    try:
        assert read_mask(path, VOC).tolist() == ids.tolist()
    except CorruptData as error:
        assert str(path) in str(error)  # noqa: PT017 - as above


@settings(deadline=None)
@given(st.binary(max_size=400), st.sampled_from([b"", b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", b"RIFF\x10\0\0\0WEBPVP8 "]))
def test_any_bytes_are_refused_in_our_words(tmp_path_factory, rest, start):
    path = tmp_path_factory.mktemp("images") / "image.png"
    path.write_bytes(start + rest)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for read in (read_image, lambda path: read_mask(path, VOC)):
            with pytest.raises(CorruptData, match=r"image\.png"):
                read(path)


@pytest.mark.parametrize(
    "content",
    [png(1, 8, 0), png(1, 8, 3, (b"tRNS", b"\0"), (b"IDAT", zlib.compress(b"\0\1")))],
    ids=["no pixels", "no palette"],
)
def test_a_png_without_its_parts_is_refused(content, tmp_path):
    (tmp_path / "image.png").write_bytes(content)
    with pytest.raises(CorruptData, match=r"image\.png: cannot be read \("):
        read_image(tmp_path / "image.png")


def with_orientation(image: Image.Image, orientation: int) -> bytes:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    return encoded(image, "PNG", exif=exif)


def pair(tmp_path: Path, image: bytes, mask: np.ndarray) -> tuple[Path, Path]:
    (tmp_path / "image.png").write_bytes(image)
    Image.fromarray(mask).save(tmp_path / "mask.png")
    return tmp_path / "image.png", tmp_path / "mask.png"


TURNS = {5: lambda a: a.transpose(1, 0, 2), 6: lambda a: np.rot90(a, -1), 7: lambda a: np.rot90(a, 2).transpose(1, 0, 2), 8: np.rot90}


@pytest.mark.parametrize("orientation", range(1, 9))
def test_pixels_are_as_stored_where_the_mask_is(orientation, tmp_path):
    stored = texture(4, 6)
    files = pair(tmp_path, with_orientation(Image.fromarray(stored), orientation), np.zeros((4, 6), np.uint8))
    assert (read_pair(*files, VOC)[0] == stored).all()


@pytest.mark.parametrize("orientation", TURNS)
def test_an_image_is_turned_where_its_mask_was_drawn_on_the_turned_one(orientation, tmp_path):
    stored = texture(4, 6)
    files = pair(tmp_path, with_orientation(Image.fromarray(stored), orientation), np.zeros((6, 4), np.uint8))
    assert (read_pair(*files, VOC)[0] == TURNS[orientation](stored)).all()


@pytest.mark.parametrize("orientation", [5, 6, 8])
def test_a_square_image_stays_as_stored(orientation, tmp_path):
    stored = texture(5, 5)
    files = pair(tmp_path, with_orientation(Image.fromarray(stored), orientation), np.zeros((5, 5), np.uint8))
    assert (read_pair(*files, VOC)[0] == stored).all()


@pytest.mark.parametrize("orientation", [1, 3, 6])
@pytest.mark.parametrize("shape", [(4, 5), (5, 4), (8, 12)])
def test_a_mask_of_another_size_is_refused_with_both_names(shape, orientation, tmp_path):
    image, mask = pair(tmp_path, with_orientation(Image.fromarray(texture(4, 6)), orientation), np.zeros(shape, np.uint8))
    with pytest.raises(CorruptData, match=rf"{image}: is 4 x 6 \(rows x columns\), its mask {mask} is {shape[0]} x {shape[1]}"):
        read_pair(image, mask, VOC)


def test_a_broken_orientation_turns_nothing(tmp_path):
    content = encoded(Image.fromarray(texture(4, 6)), "JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff torn")
    (tmp_path / "image.jpg").write_bytes(content)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert read_image(tmp_path / "image.jpg", (4, 6)).shape == (4, 6, 3)
        with pytest.raises(CorruptData, match=r"image\.jpg: is 4 x 6"):
            read_image(tmp_path / "image.jpg", (6, 4), "its annotations say")
