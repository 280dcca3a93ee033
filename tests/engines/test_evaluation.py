"""Evaluation: every slice scored in its own grid."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.data import DataLoader, Dataset
from monai.engines import SupervisedEvaluator
from monai.transforms import Compose, Resized
from PIL import Image
from scipy.ndimage import binary_erosion
from scipy.spatial.distance import cdist
from torch import nn

from braintumor_ext.calibration import LOW_CONFIDENCE, UNUSUAL_INPUT, Calibration, FeatureDetector
from braintumor_ext.data.slice_cache import IndexedDataset
from braintumor_ext.engines import EvaluationReport, prepare_slices
from braintumor_ext.inference import Postprocessor, collate_slices
from braintumor_ext.transforms import FillUnknownd, LoadImageSliced, ToBinaryMaskd, ToUnitGreyd

SIZE = 64
# one row of logits for each item, in their order
LOGITS = [[4.0, 1.0, 0.0, 0.0], [0.0, 0.5, 2.0, 1.0], [1.0, 0.0, 0.0, 3.0], [0.0, 3.0, 0.0, 0.0], [0.0, 0.0, 0.0, 2.0]]


class LeftHalf(nn.Module):
    """Calls the left half of every slice tumour, but of the fourth nothing; the classes come from ``LOGITS``."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = 0

    def forward(self, x):
        mask = torch.full((len(x), 1, SIZE, SIZE), -9.0)
        mask[..., : SIZE // 2] = 9.0
        rows = list(range(self.seen, self.seen + len(x)))
        for position, row in enumerate(rows):
            if row == 3:
                mask[position] = -9.0
        self.seen += len(x)
        return {"class": torch.tensor([LOGITS[row] for row in rows]), "mask": mask}


def rectangle(height, width, top, left, rows, columns):
    mask = np.zeros((height, width), dtype=bool)
    mask[top : top + rows, left : left + columns] = True
    return mask


TRUE = {
    "a": rectangle(40, 56, 10, 8, 20, 30),
    "b": rectangle(100, 80, 0, 0, 60, 40),
    "d": rectangle(64, 64, 20, 20, 10, 10),
    "e": np.zeros((72, 90), dtype=bool),
    "v": rectangle(50, 70, 5, 30, 12, 24),
}


def grey(height, width, seed):
    return np.random.default_rng(seed).integers(0, 255, (height, width), dtype=np.uint8)


@pytest.fixture(scope="module")
def items(tmp_path_factory) -> list[dict]:
    """Slices of several sizes: two outlined, one with nothing known, one missed, one empty."""
    folder = tmp_path_factory.mktemp("evaluated")
    for seed, (name, mask) in enumerate(TRUE.items()):
        if name != "v":
            Image.fromarray(grey(*mask.shape, seed)).save(folder / f"{name}.png")
            Image.fromarray(np.uint8(mask) * 255).save(folder / f"{name}_mask.png")
    Image.fromarray(grey(96, 48, 9)).save(folder / "c.png")

    def item(name, *, label=True, **more):
        return {
            "image": str(folder / f"{name}.png"),
            **({"label": str(folder / f"{name}_mask.png")} if label else {}),
            **more,
        }

    return [
        item("a", **{"class": 0, "group": "g1"}),
        item("b", **{"class": 1, "group": "g1"}),
        item("c", label=False, group="g2"),
        item("d", **{"class": 2, "group": "g3"}),
        item("e", **{"class": 3, "group": "g4"}),
    ]


def evaluate(items, folder, batch_size=2, network=None, **kwargs) -> EvaluationReport:
    """Evaluate items with a network whose predictions are known."""
    report = EvaluationReport(folder, items, n_draws=50, **kwargs)
    keys = ("image", "label")
    transform = Compose(
        [
            LoadImageSliced(keys, allow_missing_keys=True),
            ToUnitGreyd("image"),
            ToBinaryMaskd("label", allow_missing_keys=True),
            FillUnknownd(),
            Resized(keys, (SIZE, SIZE), mode=("bilinear", "nearest-exact")),
        ]
    )
    SupervisedEvaluator(
        device=torch.device("cpu"),
        val_data_loader=DataLoader(
            IndexedDataset(Dataset(items, transform)), batch_size=batch_size, collate_fn=collate_slices
        ),
        network=network or LeftHalf(),
        prepare_batch=prepare_slices,
        val_handlers=[report],
        postprocessing=Postprocessor(image_size=SIZE, calibration=kwargs.get("calibration")),
        decollate=False,
    ).run()
    return report


@pytest.fixture(scope="module")
def evaluated(items, tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    return evaluate(items, folder, dataset_dir=Path(items[0]["image"]).parent), folder


def left_half(mask):
    predicted = np.zeros_like(mask)
    predicted[:, : mask.shape[1] // 2] = True
    return predicted


def hausdorff95(one, other, spacing=(1.0, 1.0)):
    """The larger of the two directed 95th percentiles of the distances between edge pixels."""
    edges = [np.argwhere(mask & ~binary_erosion(mask)) * np.asarray(spacing) for mask in (one, other)]
    distances = cdist(*edges)
    return max(np.percentile(distances.min(axis), 95) for axis in (0, 1))


def softmax(row):
    exponentials = np.exp(row)
    return exponentials / exponentials.sum()


def test_each_slice_is_scored_in_its_own_grid(evaluated):
    report, _ = evaluated
    for index, name in ((0, "a"), (1, "b")):
        true, record = TRUE[name], report.records[index]
        predicted = left_half(true)
        overlap = (true & predicted).sum()
        assert record.pred_area_px == predicted.sum()
        assert record.true_area_px == true.sum()
        assert record.dice == pytest.approx(2 * overlap / (true.sum() + predicted.sum()))
        assert record.iou == pytest.approx(overlap / (true | predicted).sum())
        assert record.hd95 == pytest.approx(hausdorff95(predicted, true))
        assert record.hd95_unit == "px"


def test_probabilities_are_those_of_the_slice_whatever_the_batch(items, evaluated, tmp_path):
    report, _ = evaluated
    others = evaluate(items, tmp_path, batch_size=5)
    for index, logits in enumerate(LOGITS):
        assert report.records[index].probabilities == pytest.approx(softmax(logits))
        assert others.records[index].probabilities == report.records[index].probabilities


def test_a_slice_of_which_nothing_is_known_is_predicted_and_left_out_of_the_figures(evaluated):
    report, folder = evaluated
    record = report.records[2]
    assert (record.true_class, record.mask_known, record.group) == (-1, False, "g2")
    assert math.isnan(record.dice)
    assert record.pred_area_px == 96 * 24
    slices = report.metrics["slices"]
    assert (slices["total"], slices["class_known"], slices["mask_known"]) == (5, 4, 4)
    assert json.loads((folder / "metrics.json").read_text()) == report.metrics


def test_a_missed_tumour_has_dice_nought_and_no_distance(evaluated):
    report, _ = evaluated
    record = report.records[3]
    assert (record.dice, record.iou, record.pred_area_px) == (0, 0, 0)
    assert math.isnan(record.hd95)
    tumour = report.metrics["segmentation"]["tumour_slices"]
    assert (tumour["n"], tumour["missed"], tumour["hd95_px"]["n"]) == (3, 1, 2)
    means = [report.records[i].dice for i in (0, 1, 3)]
    assert tumour["dice"]["value"] == pytest.approx(np.mean(means))


def test_a_false_alarm_is_counted_raw_and_gated_by_the_class(evaluated):
    report, _ = evaluated
    empty = report.metrics["segmentation"]["no_tumour_slices"]
    # the left half is outlined, but the class says no tumour
    assert (empty["n"], empty["raw"]["count"], empty["gated"]["count"]) == (1, 1, 0)


def test_the_classes_figures_are_those_of_the_known_slices(evaluated):
    report, _ = evaluated
    # true 0, 1, 2, 3 predicted as 0, 2, 1, 3
    assert report.metrics["classification"]["accuracy"]["value"] == 0.5
    assert report.metrics["confusion_matrix"] == [[1, 0, 0, 0], [0, 0, 1, 0], [0, 1, 0, 0], [0, 0, 0, 1]]
    nll = -np.mean([np.log(softmax(LOGITS[i])[true]) for i, true in ((0, 0), (1, 1), (3, 2), (4, 3))])
    assert report.metrics["calibration"]["nll"]["value"] == pytest.approx(nll)


def test_each_slice_has_a_row_named_by_its_place_in_the_data_set(evaluated):
    _, folder = evaluated
    with (folder / "per_image.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["image"] for row in rows] == ["a.png", "b.png", "c.png", "d.png", "e.png"]
    assert rows[2]["true_class"] == rows[2]["true_area_px"] == ""


def test_slices_smaller_than_the_networks_input_are_flagged(evaluated):
    report, _ = evaluated
    flagged = [index for index, record in report.records.items() if "upscaled" in record.flags]
    assert sorted(flagged) == [0, 2]  # 40 x 56 and 96 x 48, of a network of 64


def test_pictures_tables_and_the_report_are_written(evaluated):
    _, folder = evaluated
    names = {path.name for path in folder.iterdir()}
    assert {"metrics.json", "per_image.csv", "report.md", "confusion_matrix.png", "roc_curves.png"} <= names


def test_a_known_spacing_gives_distances_in_millimetres(tmp_path):
    # column 0 is the patient's right, row 0 is anterior: the axes of a RAS file, both reversed, and transposed
    true, row_mm, column_mm = TRUE["v"], 0.5, 2.0
    affine = np.diag([column_mm, row_mm, 1.0, 1.0])
    for name, picture in (("v.nii.gz", grey(*true.shape, 3)), ("v_mask.nii.gz", true.astype(np.uint8))):
        nib.save(nib.Nifti1Image(picture[::-1, ::-1].T[..., None].copy(), affine), tmp_path / name)
    item = {"image": str(tmp_path / "v.nii.gz"), "label": str(tmp_path / "v_mask.nii.gz"), "class": 0}
    record = evaluate([item], tmp_path / "out").records[0]
    assert record.true_area_px == true.sum()
    predicted = left_half(true)
    assert record.dice == pytest.approx(2 * (true & predicted).sum() / (true.sum() + predicted.sum()))
    assert record.hd95_unit == "mm"
    assert record.spacing == (row_mm, column_mm)
    assert record.hd95 == pytest.approx(hausdorff95(predicted, true, (row_mm, column_mm)))


def test_slices_of_one_volume_are_told_apart(tmp_path):
    volume = np.stack([np.roll(TRUE["v"], -10 * k, axis=1)[::-1, ::-1].T for k in range(3)], axis=-1)
    nib.save(nib.Nifti1Image(np.float32(volume + grey(70, 50, 1)[..., None] / 300), np.eye(4)), tmp_path / "v.nii.gz")
    nib.save(nib.Nifti1Image(np.uint8(volume), np.eye(4)), tmp_path / "m.nii.gz")
    paths = {"image": str(tmp_path / "v.nii.gz"), "label": str(tmp_path / "m.nii.gz")}
    report = evaluate([{**paths, "slice": k, "class": k} for k in (2, 0)], tmp_path / "out", dataset_dir=tmp_path)
    assert [report.records[i].image for i in (0, 1)] == ["v.nii.gz slice 2", "v.nii.gz slice 0"]
    assert [report.records[i].true_class for i in (0, 1)] == [2, 0]
    assert [report.records[i].dice for i in (0, 1)] == pytest.approx(
        [2 * (t & left_half(t)).sum() / (t.sum() + left_half(t).sum()) for t in (np.roll(TRUE["v"], -20, 1), TRUE["v"])]
    )


def test_baselines_stand_beside_the_accuracy_if_the_training_is_given(items, tmp_path):
    known = [item for item in items if "class" in item]
    # a training on the very slices: the nearest neighbour of each is itself
    report = evaluate(items, tmp_path, training_data=known, dataset_dir=Path(items[0]["image"]).parent)
    baselines = report.metrics["trivial_baselines"]
    assert baselines["nearest_neighbour"]["accuracy"] == 1.0
    assert 0 <= baselines["file_properties"]["accuracy"] <= 1
    assert "trivial baseline" in (tmp_path / "report.md").read_text()


def test_an_evaluation_can_be_run_again(items, tmp_path):
    first = evaluate(items, tmp_path)
    before = (tmp_path / "per_image.csv").read_text()
    second = evaluate(items, tmp_path)
    assert (tmp_path / "per_image.csv").read_text() == before
    assert {**first.metrics, "context": None} == {**second.metrics, "context": None}


# --- with a calibration


class WithFeatures(LeftHalf):
    """The same with features: ordinary ones, but of the second item."""

    def forward(self, x):
        first = self.seen
        features = torch.ones(len(x), 6)
        for position in range(len(x)):
            if first + position == 1:
                features[position] = torch.tensor([0.1, 9.0, 0.1, 9.0, 0.1, 9.0])
        return {**super().forward(x), "features": features}


def calibration(**changes):
    ordinary = 1 + np.random.default_rng(0).normal(0, 0.01, (30, 6))
    values = {"temperature": 2.0, "confidence_threshold": 0.6, "confidence_target": 0.95, "checkpoint": "model.pt"}
    facts = {"sha256": "", "class_names": ("a", "b", "c", "d"), "image_size": SIZE, "fitted_on": "validation"}
    counts = {"slices": 30, "groups": 3, "date": "2026-01-31"}
    return Calibration(detector=FeatureDetector.fit(ordinary, ordinary), **{**values, **facts, **counts, **changes})


def test_a_calibration_scales_the_probabilities_and_flags_slices(items, tmp_path):
    report = evaluate(items, tmp_path, network=WithFeatures(), calibration=calibration())
    for index, logits in enumerate(LOGITS):
        expected = softmax(np.array(logits) / 2)
        record = report.records[index]
        assert record.probabilities == pytest.approx(expected)
        assert (LOW_CONFIDENCE in record.flags) == (max(expected) < 0.6)
        assert (UNUSUAL_INPUT in record.flags) == (index == 1)
    assert report.metrics["context"]["calibration"] == "temperature 2, fitted on validation"
    assert report.metrics["slices"]["flags"][UNUSUAL_INPUT] == 1
    assert f"{UNUSUAL_INPUT} 1" in (tmp_path / "report.md").read_text()


def test_without_features_or_a_calibration_an_evaluation_says_so(items, evaluated, tmp_path):
    assert evaluated[0].metrics["context"]["calibration"] == "none (probabilities are not calibrated)"
    report = evaluate(items, tmp_path, calibration=calibration())
    assert not any(UNUSUAL_INPUT in record.flags for record in report.records.values())
