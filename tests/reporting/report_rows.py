"""Rows as an inference writes them, for the tests of the report."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

NAMES = ("glioma", "meningioma", "no_tumor")
HOSTILE = (
    "<script>document.title='ran'</script><img src=x onerror=\"document.title='ran'\"> '\"& {{ pictures }} ü脳.png"
)


def predicted(file: str, shares: Mapping[str, float], **more: Any) -> dict[str, Any]:
    """A predicted slice; ``shares`` in the order of the classes' names."""
    best = max(shares, key=lambda name: shares[name])
    row = {"file": file, "slice": None, "class": best, **{f"p_{name}": shares[name] for name in NAMES}}
    return row | {"area_px": 10, "area_mm2": None, "flags": "", "error": "", "mask": None, "overlay": None} | more


def failed(file: str, error: str) -> dict[str, Any]:
    keys = ("slice", "class", *(f"p_{name}" for name in NAMES), "area_px", "area_mm2", "mask", "overlay")
    return {**dict.fromkeys(keys), "file": file, "flags": "", "error": error}


def picture_files(folder: Path, pictures: Mapping[int, bytes]) -> dict[int, Path]:
    """The pictures as files in a folder of their own."""
    paths = {position: folder / "pictures" / f"{position}.jpg" for position in pictures}
    for position, path in paths.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(pictures[position])
    return paths


def shares(*values: float) -> dict[str, float]:
    return dict(zip(NAMES, values, strict=True))


ROWS = [
    predicted("b/scan10.png", shares(0.9, 0.1, 0.0), area_px=9, area_mm2=900.5, mask="masks/b/scan10.png"),
    predicted("a/scan2.png", shares(0.05, 0.8996, 0.0504), area_px=1000, area_mm2=80.0, flags="upscaled"),
    failed("c/broken.png", "cannot be read: the file is empty"),
    predicted("volume.nii.gz", shares(0.2, 0.3, 0.5), slice=10, area_px=0, flags="class and mask disagree; upscaled"),
    predicted("volume.nii.gz", shares(0.999, 0.001, 0.0), slice=9, area_px=200, area_mm2=7.25),
    predicted(HOSTILE, shares(0.4, 0.35, 0.25), area_px=30, flags="class and mask disagree"),
]
