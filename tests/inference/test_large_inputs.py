"""Very large but valid pictures: predicted in seconds and little memory, on their own grid."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.inference.writing import table
from tests.memory import run_measured

pytestmark = pytest.mark.slow

SETUP = """
import sys
from pathlib import Path
from tests.inference.writing import block, run, with_heat
from PIL import Image
folder = Path(sys.argv[1])
(folder / "first").mkdir()
Image.fromarray(block()).save(folder / "first" / "a.png")
run(folder / "first", folder / "first_out", network=with_heat)
"""
PREDICT = "run(folder / 'in', folder / 'out', network=with_heat, batch_size=1)"


@pytest.mark.slow
@pytest.mark.parametrize(("height", "width"), [(8_192, 8_192), (274, 65_535)], ids=["square", "wide"])
def test_a_very_large_picture_is_predicted_on_its_own_grid_in_little_memory(
    tmp_path: Path, height: int, width: int
) -> None:
    picture = np.full((height, width), 20, np.uint8)
    picture[0] = 0
    top, left = height // 4, width // 2
    bottom, right = top + height // 2, left + width // 4
    picture[top:bottom, left:right] = 250
    (tmp_path / "in").mkdir()
    Image.fromarray(picture).save(tmp_path / "in" / "a.png", compress_level=1)
    _, took = run_measured(SETUP, PREDICT, tmp_path)
    assert took < 1_000, f"{took} MiB"
    (row,) = table(tmp_path / "out")
    assert row["error"] == ""
    mask = np.asarray(Image.open(tmp_path / "out" / "masks" / "a.png")) > 0
    assert mask.shape == (height, width)
    true = picture == 250
    assert (mask & true).sum() / (mask | true).sum() > 0.85, "the network sees 32 x 32 pixels"
    overlay = Image.open(tmp_path / "out" / "overlays" / "a.png")
    assert max(overlay.size) < 8_000, "drawn on the shrunk slice"
