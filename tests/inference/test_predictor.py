"""Predictions from Python: the same predictions as the bundle's inference, typed, whatever form the slice comes in."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from ignite.engine import Events
from PIL import Image

from braintumor_ext import Predictor
from braintumor_ext.calibration import Calibration, write_calibration
from braintumor_ext.errors import InputError
from braintumor_ext.explain import METHODS, Explainer
from braintumor_ext.files import sha256_of
from braintumor_ext.networks import write_settings
from braintumor_ext.prediction import Prediction
from braintumor_ext.visualize import save_overlay
from tests.conftest import REPOSITORY
from tests.inference.bright_square_model import SIZE, square_slice
from tests.inference.conftest import inference_workflow
from tests.transforms.files import write_dicom

CLASS_NAMES = ("glioma", "meningioma", "pituitary", "no_tumor")


@pytest.fixture(scope="module")
def slices(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Slices of several formats and sizes, and one broken file."""
    folder = tmp_path_factory.mktemp("slices")
    for number, (height, width) in enumerate(((70, 90), (96, 64), (64, 64))):
        image, _ = square_slice(height, width, top=0.2 + 0.15 * number, seed=number)
        Image.fromarray(np.round(image * 255).astype(np.uint8)).save(folder / f"{number}.png")
    image, _ = square_slice(76, 68, top=0.3, left=0.1)
    write_dicom(folder / "head.dcm", np.round(image * 1000).astype(np.int16))
    volume = np.stack([square_slice(66, 74, top=0.1 + 0.2 * n, seed=n)[0] for n in range(3)], axis=2)
    nibabel.save(nibabel.Nifti1Image(volume * 3000, np.diag([0.9, 0.8, 6, 1])), folder / "volume.nii.gz")
    (folder / "broken.png").write_bytes(b"\x89PNG and nothing more")
    return folder


@pytest.fixture(scope="module")
def predictor(ckpt_dir: Path) -> Predictor:
    return Predictor.from_bundle(REPOSITORY, ckpt_dir / "model.pt", "cpu", image_size=SIZE)


@pytest.fixture(scope="module")
def own_ckpt_dir(ckpt_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A copy of the checkpoint's folder, for a training.json and a calibration.json of its own."""
    folder = tmp_path_factory.mktemp("own") / "models"
    shutil.copytree(ckpt_dir, folder)
    yield folder
    shutil.rmtree(folder)


def calibration(ckpt_dir: Path, **values: Any) -> Calibration:
    facts = {
        "temperature": 2.0,
        "confidence_threshold": 0.5,
        "confidence_target": 0.95,
        "detector": None,
        "checkpoint": "model.pt",
        "sha256": sha256_of(ckpt_dir / "model.pt"),
        "class_names": CLASS_NAMES,
        "image_size": SIZE,
        "fitted_on": "validation",
        "slices": 100,
        "groups": 20,
        "date": "2026-01-01",
    }
    return Calibration(**{**facts, **values})


def test_the_same_numbers_as_the_bundle_s_inference(predictor: Predictor, slices: Path, ckpt_dir: Path, tmp_path: Path):
    workflow = inference_workflow(slices, tmp_path / "out", ckpt_dir, slices="all", batch_size=3, explain="gradcam")
    workflow.initialize()
    heat: dict[int, torch.Tensor] = {}

    def keep(engine: Any) -> None:
        maps = engine.state.output["pred"]["heat_map"]
        heat.update(zip(engine.state.batch["index"].tolist(), maps, strict=True))

    workflow.parser.get_parsed_content("evaluator").add_event_handler(Events.ITERATION_COMPLETED, keep)
    workflow.run()
    rows = json.loads((tmp_path / "out" / "predictions.json").read_text())["predictions"]
    assert sum(bool(row["error"]) for row in rows) == 1
    for index, row in enumerate(rows):
        if row["error"]:
            continue
        prediction = predictor(slices / row["file"], explain="gradcam", slice_index=row["slice"])
        assert prediction.label == row["class"]
        assert prediction.class_index == CLASS_NAMES.index(row["class"])
        for name in CLASS_NAMES:
            assert prediction.probabilities[name] == pytest.approx(row[f"p_{name}"], abs=1e-5)
        assert prediction.mask.sum() == row["area_px"] > 0
        assert "; ".join(prediction.flags) == row["flags"]
        expected = F.interpolate(heat[index][None], size=prediction.mask.shape, mode="bilinear", align_corners=False)
        np.testing.assert_allclose(prediction.heat_map, expected[0, 0], atol=1e-3)
        if row["file"].endswith(".png"):
            written = np.asarray(Image.open(tmp_path / "out" / row["mask"])) > 0
            np.testing.assert_array_equal(prediction.mask, written)


def test_the_prediction_s_arrays_lie_on_the_slice_s_own_grid(predictor: Predictor, slices: Path):
    prediction = predictor(slices / "0.png", explain="gradcam")
    image, square = square_slice(70, 90, top=0.2, seed=0)
    assert prediction.mask.dtype == bool
    assert prediction.mask.shape == prediction.heat_map.shape == prediction.image.shape == (70, 90)
    assert 2 * (prediction.mask & square).sum() / (prediction.mask.sum() + square.sum()) > 0.8
    assert (prediction.heat_map.min(), prediction.heat_map.max()) >= (0, 0.9)
    assert prediction.heat_map.max() <= 1
    np.testing.assert_allclose(prediction.image, image, atol=1 / 255)
    assert sum(prediction.probabilities.values()) == pytest.approx(1)
    assert prediction.confidence == max(prediction.probabilities.values())


def test_a_path_an_array_and_a_tensor_of_one_slice_give_one_prediction(predictor: Predictor, slices: Path):
    pixels = np.asarray(Image.open(slices / "0.png"))
    forms = [
        slices / "0.png",
        str(slices / "0.png"),
        pixels,
        torch.from_numpy(pixels.copy()),
        pixels[None],
        pixels / 255,
    ]
    predictions = predictor(forms, explain="gradcam")
    for prediction in predictions[1:]:
        assert prediction.probabilities == pytest.approx(predictions[0].probabilities, abs=1e-5)
        np.testing.assert_array_equal(prediction.mask, predictions[0].mask)
        np.testing.assert_allclose(prediction.heat_map, predictions[0].heat_map, atol=1e-3)


def test_a_list_gives_a_list_and_one_slice_gives_one(predictor: Predictor, slices: Path):
    paths = [slices / f"{n}.png" for n in range(3)]
    together = predictor(paths, explain="gradcam")
    assert [type(prediction) for prediction in together] == [Prediction] * 3
    assert predictor([]) == []
    assert isinstance(predictor([paths[0]]), list)
    for path, prediction in zip(paths, together, strict=True):
        alone = predictor(path, explain="gradcam")
        assert alone.probabilities == pytest.approx(prediction.probabilities, abs=1e-5)
        np.testing.assert_allclose(alone.heat_map, prediction.heat_map, atol=1e-3)


def test_more_slices_than_a_batch_holds_come_in_order(ckpt_dir: Path, slices: Path):
    small = Predictor.from_bundle(REPOSITORY, ckpt_dir / "model.pt", "cpu", image_size=SIZE, batch_size=2)
    paths = [slices / f"{n}.png" for n in (2, 0, 1, 0, 2)]
    assert [prediction.source for prediction in small(paths)] == [str(path) for path in paths]


def test_without_an_explanation_there_is_no_heat_map(predictor: Predictor, slices: Path):
    prediction = predictor(slices / "0.png")
    assert prediction.heat_map is None
    assert prediction.probabilities == pytest.approx(predictor(slices / "0.png", "gradcam").probabilities, abs=1e-6)


def test_one_broken_slice_does_not_stop_the_others(predictor: Predictor, slices: Path):
    predictions = predictor(
        [slices / "0.png", slices / "broken.png", np.zeros((8, 8)), slices / "1.png"], explain="gradcam"
    )
    assert [prediction.error is None for prediction in predictions] == [True, False, False, True]
    assert "truncated or damaged" in predictions[1].error
    assert "constant image" in predictions[2].error
    for bad in predictions[1:3]:
        assert bad.label is bad.class_index is bad.probabilities is bad.mask is bad.heat_map is bad.confidence is None
        with pytest.raises(InputError, match="has no prediction to draw"):
            save_overlay(bad, "never.png")
    alone = predictor(slices / "0.png", explain="gradcam")
    np.testing.assert_allclose(predictions[0].heat_map, alone.heat_map, atol=1e-3)
    assert predictor([slices / "broken.png"])[0].error


def test_a_broken_slice_alone_is_an_error_that_names_it(predictor: Predictor, slices: Path, tmp_path: Path):
    with pytest.raises(InputError, match=r"broken\.png: is truncated or damaged.*Copy it again"):
        predictor(slices / "broken.png")
    with pytest.raises(InputError, match=r"none\.png: no such file"):
        predictor(tmp_path / "none.png")
    with pytest.raises(InputError, match=r"volume\.nii\.gz: holds 3 slices"):
        predictor(slices / "volume.nii.gz")
    with pytest.raises(InputError, match="array 0: could not be read"):
        predictor(np.zeros((2, 3, 4, 5)))


def test_a_prediction_as_plain_values_and_as_a_picture(predictor: Predictor, slices: Path, tmp_path: Path):
    prediction = predictor(slices / "0.png", explain="gradcam")
    content = json.loads(json.dumps(prediction.to_dict()))
    assert content["label"] == prediction.label
    assert content["probabilities"] == prediction.probabilities
    assert (content["size"], content["area_px"]) == ([70, 90], int(prediction.mask.sum()))
    assert content["calibrated"] is False
    save_overlay(prediction, tmp_path / "new folder" / "with.png")
    save_overlay(dataclasses.replace(prediction, heat_map=None), tmp_path / "without.png")
    wide, narrow = (Image.open(tmp_path / name).width for name in ("new folder/with.png", "without.png"))
    assert wide > narrow  # a panel more


@pytest.mark.parametrize("method", [m for m in METHODS if m not in ("occlusion", "smoothgrad")])  # many passes
@pytest.mark.parametrize("head", ["class", "mask"])
def test_each_method_and_head_is_the_explainer_s(method: str, head: str, predictor: Predictor, slices: Path):
    prediction = predictor(slices / "2.png", explain=method, head=head)
    image = predictor.preprocessing({"image": str(slices / "2.png")})["image"].as_tensor()[None]
    expected = Explainer(predictor.network, method, head=head)(image).maps
    grid = F.interpolate(expected, size=prediction.mask.shape, mode="bilinear", align_corners=False)[0, 0]
    np.testing.assert_allclose(prediction.heat_map, grid, atol=1e-3)


def test_another_class_than_the_predicted_one_can_be_explained(predictor: Predictor, slices: Path):
    maps = [predictor(slices / "0.png", explain="gradcam", explain_class=name).heat_map for name in CLASS_NAMES]
    predicted = predictor(slices / "0.png", explain="gradcam")
    np.testing.assert_allclose(maps[predicted.class_index], predicted.heat_map, atol=1e-6)
    assert max(np.abs(one - predicted.heat_map).max() for one in maps) > 0.1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"explain": "lime"}, "Valid are none, gradcam"),
        ({"explain": "gradcam", "layer": "layer4"}, "no layer 'layer4'"),
        ({"explain": "gradcam", "head": "box"}, "valid are class, mask"),
        ({"explain": "gradcam", "explain_class": "oedema"}, "valid are glioma, meningioma"),
    ],
)
def test_what_cannot_be_explained_is_told_with_what_can(
    options: dict, message: str, predictor: Predictor, slices: Path
):
    with pytest.raises(ValueError, match=message):
        predictor(slices / "0.png", **options)


def test_a_folder_that_is_no_bundle_and_a_checkpoint_that_is_none(tmp_path: Path):
    with pytest.raises(InputError, match="is no bundle"):
        Predictor.from_bundle(tmp_path)
    with pytest.raises(InputError, match="no such checkpoint"):
        Predictor.from_bundle(REPOSITORY, tmp_path / "model.pt", "cpu")


def test_the_settings_of_the_training_are_used(own_ckpt_dir: Path, predictor: Predictor, slices: Path):
    names = ["a", "b", "c", "none"]
    settings = {"class_names": names, "empty_class": "none", "in_channels": 3, "image_size": SIZE}
    write_settings(own_ckpt_dir / "model.pt", settings)
    try:
        own = Predictor.from_bundle(REPOSITORY, own_ckpt_dir / "model.pt", "cpu")
    finally:
        (own_ckpt_dir / "training.json").unlink()
    prediction, usual = own(slices / "0.png"), predictor(slices / "0.png")
    assert list(prediction.probabilities.values()) == pytest.approx(list(usual.probabilities.values()))
    assert prediction.label == names[usual.class_index]


def test_a_calibration_beside_the_checkpoint_is_used(own_ckpt_dir: Path, predictor: Predictor, slices: Path):
    write_calibration(own_ckpt_dir / "calibration.json", calibration(own_ckpt_dir, confidence_threshold=0.999))
    try:
        own = Predictor.from_bundle(REPOSITORY, own_ckpt_dir / "model.pt", "cpu", image_size=SIZE)
    finally:
        (own_ckpt_dir / "calibration.json").unlink()
    prediction, usual = own(slices / "0.png"), predictor(slices / "0.png")
    rooted = np.sqrt(list(usual.probabilities.values()))  # softmax(logits / 2)
    np.testing.assert_allclose(list(prediction.probabilities.values()), rooted / rooted.sum(), rtol=1e-5)
    assert prediction.calibrated
    assert not usual.calibrated
    assert "low confidence" in prediction.flags


def test_a_calibration_of_another_checkpoint_is_refused(own_ckpt_dir: Path):
    write_calibration(own_ckpt_dir / "calibration.json", calibration(own_ckpt_dir, sha256="0" * 64))
    try:
        with pytest.raises(InputError, match=r"fitted to another model\.pt"):
            Predictor.from_bundle(REPOSITORY, own_ckpt_dir / "model.pt", "cpu", image_size=SIZE)
        uncalibrated = Predictor.from_bundle(
            REPOSITORY, own_ckpt_dir / "model.pt", "cpu", image_size=SIZE, calibration="none"
        )
    finally:
        (own_ckpt_dir / "calibration.json").unlink()
    assert uncalibrated.postprocessor.calibration is None


def test_a_prediction_that_is_not_finite_is_an_error_alone_and_in_a_list(ckpt_dir: Path, slices: Path):
    predictor = Predictor.from_bundle(REPOSITORY, ckpt_dir / "model.pt", "cpu", image_size=SIZE)
    with torch.no_grad():
        for weights in predictor.network.parameters():
            weights.fill_(float("nan"))
    path = slices / "0.png"
    with pytest.raises(InputError, match="not finite"):
        predictor(path)
    (prediction,) = predictor([path])
    assert "not finite" in str(prediction.error)
    assert prediction.label is None
