"""int8: written only where it predicts as well, and never with the calibration of float32."""

from __future__ import annotations

import logging
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from braintumor_ext import Predictor
from braintumor_ext.backends import (
    BACKENDS,
    Description,
    ExportedNetwork,
    Quantisation,
    export_int8,
    load_exported,
    usable_calibration,
)
from braintumor_ext.backends.heads_and_features import HeadsAndFeatures
from braintumor_ext.classes import Classes
from braintumor_ext.errors import InputError
from braintumor_ext.keys import UNKNOWN
from braintumor_ext.metrics import SliceRecord
from braintumor_ext.networks import ClassificationHead, SegmentationDecoder
from scripts.export import main, records_of
from tests.conftest import REPOSITORY
from tests.inference.bright_square_model import square_slice

pytestmark = pytest.mark.slow

DESCRIPTION = Description(Classes(("a", "b", "c", "d")), 3, 64, {}, "model.pt", "0" * 64, "0.0.0")
CHANNELS = (8, 12, 16, 24)


def answers(right: int, dice: float, other_class: int = 2) -> list[SliceRecord]:
    """1,000 slices of class 0, so many right; the last of those that are wrong are taken for ``other_class``."""
    found = [0] * right + [1] * (990 - right) + [other_class] * 10
    return [
        SliceRecord("x.png", None, 0, tuple(np.eye(4)[index].tolist()), True, 50, 50, dice, dice) for index in found
    ]


SAME = answers(900, 0.8)


class SmallEncoder(nn.Module):
    """Four stages of one convolution each."""

    def __init__(self) -> None:
        super().__init__()
        sizes = zip((3, *CHANNELS), CHANNELS, (4, 2, 2, 2), strict=False)
        self.stages = nn.ModuleList(
            nn.Sequential(nn.Conv2d(a, b, 5, stride=s, padding=2), nn.BatchNorm2d(b), nn.ReLU()) for a, b, s in sizes
        )

    def forward(self, x):
        found = []
        for stage in self.stages:
            x = stage(x)
            found.append(x)
        return found


class SmallNetwork(nn.Module):
    """As ``BrainTumorNet`` looks to an export."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.encoder = SmallEncoder()
        self.classifier = ClassificationHead(CHANNELS[-1], 4, hidden=16)
        self.decoder = SegmentationDecoder(CHANNELS, 8)


@pytest.fixture(scope="module")
def slices() -> list[torch.Tensor]:
    return list(torch.randn(12, 3, 64, 64, generator=torch.Generator().manual_seed(1)))


def export(path: Path, slices, found: list[list[SliceRecord]]) -> Quantisation:
    left = iter(found)
    return export_int8(SmallNetwork().eval(), path, DESCRIPTION, slices, lambda _: next(left))


def test_an_export_computes_in_int8_and_tells_what_it_costs(tmp_path, slices):
    pytest.importorskip("nncf")
    path = tmp_path / "model_int8.xml"
    found = export(path, slices, [SAME, answers(896, 0.81, other_class=3)])
    assert (found.slices, found.n, found.same_class) == (12, 1000, 0.986)  # 4 no longer right, 10 wrong otherwise
    assert found.accuracy == pytest.approx((0.9, 0.896))
    assert found.dice == pytest.approx((0.8, 0.81))
    network = load_exported(BACKENDS["openvino"], "no.pt", path)
    told = {**asdict(found), "accuracy": list(found.accuracy), "dice": list(found.dice)}
    assert network.description.quantisation == told
    assert network.checkpoint_sha256 == "0" * 64
    assert 'type="FakeQuantize"' in path.read_text()
    images = torch.stack(slices)
    with torch.no_grad():
        exact = HeadsAndFeatures(SmallNetwork().eval())(images)
    for name, value in exact.items():
        error = (network(images)[name] - value).abs().max() / value.abs().max()
        assert 1e-5 < error < 0.3  # 256 levels in each layer, on noise


@pytest.mark.parametrize(
    "after",
    [answers(894, 0.8), answers(900, 0.794)],
    ids=["accuracy", "Dice"],
)
def test_one_that_loses_more_than_half_a_point_is_not_kept(tmp_path, slices, after):
    pytest.importorskip("nncf")
    with pytest.raises(
        InputError, match=r"model_int8\.xml: is worse than float32 on 1000 validation slices: .*0\.\d{4}"
    ):
        export(tmp_path / "model_int8.xml", slices, [SAME, after])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("accuracy", "dice", "good"),
    [
        ((0.9, 0.895), (0.8, 0.795), True),
        ((0.9, 0.8949), (0.8, 0.9), False),
        ((0.9, 0.95), (0.8, 0.7949), False),
        ((0.9, float("nan")), None, False),
        (None, (0.8, 0.8), True),
        (None, None, False),
    ],
)
def test_half_a_point_may_be_lost(accuracy, dice, good):
    assert (Quantisation(300, 200, accuracy, dice, 0.99).problem is None) is good


def test_the_calibration_of_float32_is_not_used(caplog):
    def exported(quantisation):
        known = DESCRIPTION if quantisation is None else replace(DESCRIPTION, quantisation=quantisation)
        return ExportedNetwork(lambda x: {}, known, Path("model.xml"), "openvino")

    assert usable_calibration("calibration.json", exported(None)) == "calibration.json"
    assert usable_calibration("calibration.json", nn.Identity()) == "calibration.json"
    assert usable_calibration(None, exported(None)) is None
    assert usable_calibration("calibration.json", nn.Identity(), loaded=False) == "none"
    with caplog.at_level(logging.WARNING, "braintumor_ext"):
        assert usable_calibration("calibration.json", exported({"n": 5})) == "none"
    assert len(caplog.records) == 1


@pytest.mark.parametrize("arguments", [["--format", "onnx", "--calibration_data", "D"], ["--format", "openvino"]])
def test_the_command_needs_openvino_and_a_data_set(arguments, example_models, capsys):
    assert main(["--checkpoint", str(example_models / "model.pt"), "--precision", "int8", *arguments]) == 1
    assert "--format openvino and --calibration_data" in capsys.readouterr().err


def test_a_section_is_scored_by_class_and_by_masks_on_the_slices_own_grid(example_models, tmp_path):
    predictor = Predictor.from_bundle(REPOSITORY, example_models / "model.pt", "cpu", calibration="none")
    items, dice = [], []
    for number, side in enumerate((0.25, 0.3, 0)):
        image, square = square_slice(70 + 10 * number, 90, top=0.2, left=0.3, side=side, seed=number)
        paths = [tmp_path / f"{name}{number}.png" for name in ("image", "mask")]
        for path, values in zip(paths, (image, square), strict=True):
            Image.fromarray(np.round(values * 255).astype(np.uint8)).save(path)
        prediction = predictor(paths[0])
        if side:
            dice.append(2 * (prediction.mask & square).sum() / (prediction.mask.sum() + square.sum()))
        # one slice right, one wrong, one of unknown class
        true = (prediction.class_index, (prediction.class_index + 1) % 4, -1)[number]
        items.append({"image": str(paths[0]), "label": str(paths[1]), "class": true})
    records = records_of(predictor, items)
    found = Quantisation.of(12, records, records)
    assert (found.slices, found.n, found.accuracy, found.same_class) == (12, 3, (0.5, 0.5), 1)
    assert found.dice == pytest.approx([np.mean(dice)] * 2, abs=1e-6)
    unknown = [replace(record, true_class=UNKNOWN, true_area_px=0) for record in records]
    assert Quantisation.of(12, unknown, unknown) == Quantisation(12, 3, None, None, 1)
