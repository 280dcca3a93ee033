from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageColor

from braintumor_ext.png_file import write_png
from braintumor_ext.visualize.overlay import HEADER, MARGIN, render_overlay, render_thumbnail
from braintumor_ext.visualize.panels import ON_HEAT, PREDICTED, TRUE

SHARES = {"glioma": 0.9, "meningioma": 0.06, "pituitary": 0.03, "no_tumor": 0.01}


def read(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB")).astype(int)


def draw_overlay(image: np.ndarray, mask: np.ndarray, path: Path, *rest: Any, **more: Any) -> None:
    write_png(path, render_overlay(image, mask, *rest, **more))


def panels(path: Path, shape: tuple[int, int], factor: int = 1) -> list[np.ndarray]:
    """The plain, the outlined and the heated picture of a drawing; the last is blank or bars where there is none."""
    height, width = shape[0] * factor, shape[1] * factor
    pixels = read(path)[HEADER : HEADER + height]
    return [pixels[:, left : left + width] for left in range(MARGIN, 3 * (width + MARGIN), width + MARGIN)]


def of_colour(pixels: np.ndarray, colour: str) -> np.ndarray:
    return (pixels == ImageColor.getrgb(colour)).all(-1)


def square(shape: tuple[int, int] = (64, 96)) -> np.ndarray:
    mask = np.zeros(shape, bool)
    mask[8:24, 60:80] = True
    return mask


def test_rows_run_down_and_columns_to_the_right_in_both_panels(tmp_path: Path) -> None:
    image = np.zeros((64, 96))
    image[:16, :24] = 1  # bright at the top left
    draw_overlay(image, square(), tmp_path / "o.png")
    for panel in panels(tmp_path / "o.png", image.shape, 3)[:2]:
        assert panel[5:40, 5:60].min() == 255
        assert panel[-50:, :80].max() == 0
        assert panel[5:20, -80:].max() == 0


def test_outline_runs_along_the_masks_rim_and_the_plain_panel_has_none(tmp_path: Path) -> None:
    draw_overlay(np.full((64, 96), 0.5), square(), tmp_path / "o.png", "title", SHARES)
    plain, outlined = panels(tmp_path / "o.png", (64, 96), 3)[:2]
    assert not of_colour(plain, PREDICTED).any()
    rows, columns = np.nonzero(of_colour(outlined, PREDICTED))
    # 3 drawn pixels for each of the slice's: rows 8 to 24 and columns 60 to 80.
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (24, 71, 180, 239)
    assert not of_colour(outlined[28:68, 184:236], PREDICTED).any(), "the tumour itself stays visible"


def test_true_outline_has_its_own_colour_and_is_dashed(tmp_path: Path) -> None:
    draw_overlay(np.full((64, 96), 0.5), np.zeros((64, 96), bool), tmp_path / "o.png", true_mask=square())
    outlined = panels(tmp_path / "o.png", (64, 96), 3)[1]
    top_edge = of_colour(outlined, TRUE)[24, 180:240]
    assert 0.3 < top_edge.mean() < 0.7
    assert not of_colour(outlined, PREDICTED).any()


def test_a_single_pixel_of_a_large_slice_is_still_drawn(tmp_path: Path) -> None:
    mask = np.zeros((1024, 1024), bool)
    mask[701, 333] = True
    draw_overlay(np.zeros((1024, 1024)), mask, tmp_path / "o.png")
    assert of_colour(panels(tmp_path / "o.png", mask.shape)[1], PREDICTED).any()


def test_bars_are_as_long_as_the_probabilities(tmp_path: Path) -> None:
    image = np.zeros((64, 64))
    draw_overlay(image, image > 1, tmp_path / "o.png", probabilities={"glioma": 0.75, "no_tumor": 0.25})
    pixels = read(tmp_path / "o.png")[:, 3 * MARGIN + 2 * 256 :]
    best, other, track = (of_colour(pixels, colour).any(0).sum() for colour in ("#0072B2", "#8C8C8C", "#D9D9D9"))
    assert best / other == pytest.approx(3, rel=0.05)
    # The track shows where the bars end: over the longest rest, that of the bar of 0.25.
    assert track / best == pytest.approx(0.75 / 0.75, rel=0.05)


@pytest.mark.parametrize("shape", [(1, 1), (32, 32), (1, 300), (300, 20), (33, 1000)])
def test_any_shape_long_titles_and_many_classes_are_drawn(shape: tuple[int, int], tmp_path: Path) -> None:
    image = np.random.default_rng(0).random(shape)
    image[0, 0] = np.nan
    many = {f"class {k} " * 5: 1 / 20 for k in range(20)}
    draw_overlay(
        image,
        image > 0.5,
        tmp_path / "o.png",
        "ü/" * 300 + "end.png",
        many,
        image > 0.7,
        "note " * 100,
        image,
        "w" * 99,
    )
    assert read(tmp_path / "o.png").shape[2] == 3


@pytest.mark.parametrize(
    ("shape", "factor"), [((255, 200), 2), ((256, 200), 1), ((300, 700), 1), ((64, 96), 3), ((2, 1), 128)]
)
def test_a_slices_pixel_is_a_panels_or_a_square_of_them(shape: tuple[int, int], factor: int, tmp_path: Path) -> None:
    image = (np.indices(shape).sum(0) % 7) / 6
    draw_overlay(image, np.zeros(shape, bool), tmp_path / "o.png")
    plain = panels(tmp_path / "o.png", shape, factor)[0][..., 0]
    if factor == 1:
        np.testing.assert_array_equal(plain, (image * 255).round())
    else:  # the middle of each square, between its neighbours' influence
        averages = plain.reshape(shape[0], factor, shape[1], factor).mean((1, 3))
        assert np.corrcoef(averages.ravel(), image.ravel())[0, 1] > 0.9


def hot_corner(shape: tuple[int, int]) -> np.ndarray:
    heat = np.zeros(shape)
    heat[: shape[0] // 3, : shape[1] // 3] = 1
    return heat


def test_heat_colours_the_slice_where_it_is_high_and_leaves_it_alone_where_it_is_zero(tmp_path: Path) -> None:
    image = np.random.default_rng(0).random((300, 270)) * 0.5
    draw_overlay(image, np.zeros(image.shape, bool), tmp_path / "o.png", heat_map=hot_corner(image.shape))
    plain, outlined, heated = panels(tmp_path / "o.png", image.shape)
    np.testing.assert_array_equal(plain, outlined)
    np.testing.assert_array_equal(heated[100:], plain[100:])
    np.testing.assert_array_equal(heated[:, 90:], plain[:, 90:])
    corner = heated[:100, :90]
    assert (corner[..., 0] - corner[..., 2]).min() > 30, "a colour, not a grey"
    assert np.corrcoef(corner.sum(-1).ravel(), plain[:100, :90].sum(-1).ravel())[0, 1] > 0.99, "anatomy shines through"


def test_more_heat_is_more_light_and_what_lies_outside_its_range_is_clipped(tmp_path: Path) -> None:
    image, heat = np.full((256, 256), 0.3), np.tile(np.linspace(-0.5, 1.5, 256), (256, 1))
    heat[0, 0] = np.nan
    draw_overlay(image, np.zeros(image.shape, bool), tmp_path / "o.png", heat_map=heat)
    plain, _, heated = panels(tmp_path / "o.png", image.shape)
    row = heated[10].sum(-1)
    np.testing.assert_array_equal(heated[10, :64], plain[10, :64])
    assert (row[192:] == row[192]).all()
    assert (np.diff(row[96:192]) >= 0).all()
    assert row[192] > row[64] + 100


def test_the_outline_stands_on_the_heat_too_with_a_dark_rim(tmp_path: Path) -> None:
    image, mask = np.full((256, 256), 0.8), np.zeros((256, 256), bool)
    mask[100:150, 60:90] = True
    draw_overlay(image, mask, tmp_path / "o.png", heat_map=np.ones(image.shape))
    heated = panels(tmp_path / "o.png", image.shape)[2]
    rows, columns = np.nonzero(of_colour(heated, ON_HEAT))
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (100, 149, 60, 89)
    assert heated[99, 75].sum() < heated[90, 75].sum() / 2


def test_words_over_the_bars_change_nothing_but_their_line(tmp_path: Path) -> None:
    image = np.zeros((256, 256))
    bare, worded = (
        np.asarray(render_overlay(image, image > 1, "t", SHARES, probabilities_title=words)).astype(int)
        for words in ("", "not calibrated")
    )
    rows = np.nonzero((bare != worded).any((1, 2)))[0]
    assert HEADER - 24 < rows.min() <= rows.max() < HEADER


@pytest.mark.parametrize("shape", [(512, 400), (40, 60), (1, 300)])
@pytest.mark.parametrize("heated", [False, True])
def test_a_thumbnail_holds_the_panels_in_one_size(shape: tuple[int, int], heated: bool) -> None:
    image, heat = np.random.default_rng(0).random(shape), hot_corner(shape)
    data = render_thumbnail(image, image > 2, heat if heated else None, side=128)
    picture = Image.open(io.BytesIO(data))
    count, scale = 3 if heated else 2, 128 / max(shape)
    assert picture.format == "JPEG"
    assert picture.height == max(1, round(shape[0] * scale))
    assert picture.width == count * max(1, round(shape[1] * scale)) + 2 * (count - 1)


def test_a_thumbnail_of_a_real_slice_is_small_and_shows_its_heat(brain_tumor_mri: Path) -> None:
    slices = sorted((brain_tumor_mri / "Training" / "glioma_tumor").iterdir())[:3]
    for path in slices:
        image = np.asarray(Image.open(path).convert("L")) / 255
        data = render_thumbnail(image, image > 2, hot_corner(image.shape))
        assert 8_000 < len(data) < 40_000
        pixels = np.asarray(Image.open(io.BytesIO(data))).astype(int)
        reddest = (pixels[..., 0] - pixels[..., 2]).argmax()
        row, column = np.unravel_index(reddest, pixels.shape[:2])
        assert row < pixels.shape[0] / 3 + 8
        assert 2 / 3 - 0.02 < column / pixels.shape[1] < 2 / 3 + 1 / 9 + 0.02


def test_a_mask_of_another_shape_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"\(8, 9\) is not the image's \(8, 8\)"):
        draw_overlay(np.zeros((8, 8)), np.zeros((8, 9), bool), tmp_path / "o.png")
    assert not (tmp_path / "o.png").exists()


def test_a_heat_map_of_another_shape_is_refused(tmp_path: Path) -> None:
    image = np.zeros((8, 8))
    with pytest.raises(ValueError, match=r"heat map's shape \(1, 8, 8\) is not the image's \(8, 8\)"):
        draw_overlay(image, image > 1, tmp_path / "o.png", heat_map=image[None])
    with pytest.raises(ValueError, match="heat map"):
        render_thumbnail(image, image > 1, np.zeros((4, 4)))
    assert not (tmp_path / "o.png").exists()


def test_words_grow_with_large_slices_whose_pixels_stay_as_they_are():
    image = np.random.default_rng(0).random((1300, 1250), dtype=np.float32)
    empty, shares = np.zeros(image.shape, dtype=bool), {"glioma": 0.7, "no_tumor": 0.3}
    large = np.asarray(render_overlay(image, empty, "a title", shares, heat_map=np.zeros_like(image)))
    usual = np.asarray(render_overlay(image[:650, :625], empty[:650, :625], "a title", shares))
    grey = (image * 255).round().astype(np.uint8)
    top = next(row for row in range(200) if np.array_equal(large[row, 24 : 24 + 1250, 0], grey[0]))
    np.testing.assert_array_equal(large[top : top + 1300, 24 : 24 + 1250], np.repeat(grey[:, :, None], 3, axis=2))

    def height_of_words(picture: np.ndarray, rows: int) -> int:
        return int((picture[:rows, :600].min(axis=(1, 2)) < 128).sum())

    assert height_of_words(large, top // 2) >= 1.7 * height_of_words(usual, top // 4)


def test_a_name_with_a_line_break_or_without_text_stands_in_one_line():
    image = np.zeros((256, 256))
    odd, escaped = (
        np.asarray(render_overlay(image, image > 1, title)) for title in ("a\nb\udcff.png", r"a\nb\xff.png")
    )
    np.testing.assert_array_equal(odd, escaped)
