from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageColor

from braintumor_ext.visualize import draw_overlay
from braintumor_ext.visualize.overlay import HEADER, MARGIN, PANEL, PREDICTED, TRUE

SHARES = {"glioma": 0.9, "meningioma": 0.06, "pituitary": 0.03, "no_tumor": 0.01}


def read(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB")).astype(int)


def panels(path: Path, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """The plain and the outlined picture of a drawing."""
    scale = PANEL / max(shape)
    height, width = round(shape[0] * scale), round(shape[1] * scale)
    pixels = read(path)[HEADER : HEADER + height]
    return pixels[:, MARGIN : MARGIN + width], pixels[:, 2 * MARGIN + width : 2 * MARGIN + 2 * width]


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
    for panel in panels(tmp_path / "o.png", image.shape):
        assert panel[10:50, 10:80].min() == 255
        assert panel[-50:, :80].max() == 0
        assert panel[10:20, -80:].max() == 0 or of_colour(panel, PREDICTED).any()


def test_outline_runs_along_the_masks_rim_and_the_plain_panel_has_none(tmp_path: Path) -> None:
    draw_overlay(np.full((64, 96), 0.5), square(), tmp_path / "o.png", "title", SHARES)
    plain, outlined = panels(tmp_path / "o.png", (64, 96))
    assert not of_colour(plain, PREDICTED).any()
    rows, columns = np.nonzero(of_colour(outlined, PREDICTED))
    # 4 drawn pixels for each of the slice's: rows 8 to 24 and columns 60 to 80.
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (32, 95, 240, 319)
    assert not of_colour(outlined[40:88, 248:312], PREDICTED).any(), "the tumour itself stays visible"


def test_true_outline_has_its_own_colour_and_is_dashed(tmp_path: Path) -> None:
    draw_overlay(np.full((64, 96), 0.5), np.zeros((64, 96), bool), tmp_path / "o.png", true_mask=square())
    outlined = panels(tmp_path / "o.png", (64, 96))[1]
    top_edge = of_colour(outlined, TRUE)[32, 240:320]
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
    pixels = read(tmp_path / "o.png")[:, 3 * MARGIN + 2 * PANEL :]
    best, other, track = (of_colour(pixels, colour).any(0).sum() for colour in ("#0072B2", "#8C8C8C", "#D9D9D9"))
    assert best / other == pytest.approx(3, rel=0.05)
    # The track shows where the bars end: over the longest rest, that of the bar of 0.25.
    assert track / best == pytest.approx(0.75 / 0.75, rel=0.05)


@pytest.mark.parametrize("shape", [(32, 32), (1, 300), (300, 20), (33, 1000)])
def test_any_shape_long_titles_and_many_classes_are_drawn(shape: tuple[int, int], tmp_path: Path) -> None:
    image = np.random.default_rng(0).random(shape)
    image[0, 0] = np.nan
    many = {f"class {k} " * 5: 1 / 20 for k in range(20)}
    draw_overlay(image, image > 0.5, tmp_path / "o.png", "ü/" * 300 + "end.png", many, image > 0.7, "note " * 100)
    assert read(tmp_path / "o.png").shape[2] == 3


def test_a_mask_of_another_shape_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"\(8, 9\) is not the image's \(8, 8\)"):
        draw_overlay(np.zeros((8, 8)), np.zeros((8, 9), bool), tmp_path / "o.png")
    assert not (tmp_path / "o.png").exists()


def test_drawing_a_slice_is_fast(tmp_path: Path) -> None:
    image, mask = np.random.default_rng(0).random((512, 512)), np.zeros((512, 512), bool)
    mask[100:200, 100:300] = True
    draw_overlay(image, mask, tmp_path / "o.png", "warm-up", SHARES, mask)
    start = time.process_time()
    for _ in range(3):
        draw_overlay(image, mask, tmp_path / "o.png", "title", SHARES, mask)
    assert (time.process_time() - start) / 3 < 0.5
