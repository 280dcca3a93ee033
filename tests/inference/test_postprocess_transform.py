"""The postprocessing of the config, as a server runs it on one slice."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser
from monai.data import decollate_batch
from PIL import Image

from braintumor_ext.inference import Postprocessd, Postprocessor, Predictor
from braintumor_ext.transforms import read_slice, restore_grid


def _predicted(bundle: Path, path: Path) -> dict:
    parser = ConfigParser()
    parser.read_config(str(bundle / "configs" / "inference.json"))
    parser["bundle_root"], parser["device"] = str(bundle), "cpu"
    parser.get_parsed_content("checkpointloader")
    item = parser.get_parsed_content("preprocessing")({"image": str(path)})
    network = parser.get_parsed_content("network").eval()
    with torch.no_grad():
        output = parser.get_parsed_content("inferer")(item["image"][None], network)
    return parser.get_parsed_content("postprocessing")({**item, "pred": decollate_batch(output)[0]})


@pytest.mark.parametrize("form", ["png", "nifti", "nifti_one_slice", "dicom"])
def test_postprocessing_gives_the_predictors_prediction(
    form: str, one_slice: dict[str, Path], packed_bundle: Path
) -> None:
    path = one_slice[form]
    item = _predicted(packed_bundle, path)
    expected = Predictor.from_bundle(packed_bundle, device="cpu")(path, explain="gradcam")
    assert expected.mask is not None
    assert item["result"]["probabilities"] == pytest.approx(expected.probabilities, abs=1e-5)
    assert item["result"]["flags"] == list(expected.flags)
    native, affine = restore_grid(expected.mask, read_slice(path).meta)
    np.testing.assert_array_equal(item["pred"], native.T if form == "png" else native)  # ITK's order: column first
    assert tuple(item["image"].meta["spatial_shape"]) == item["pred"].shape
    np.testing.assert_allclose(item["image"].meta["original_affine"], affine)


def test_calibration_is_read_again_when_it_has_gone(packed_bundle: Path, tmp_path: Path) -> None:
    models = packed_bundle / "models"
    path = tmp_path / "calibration.json"
    path.write_bytes((models / "calibration.json").read_bytes())
    transform = Postprocessd(
        postprocessor=Postprocessor(image_size=64), calibration=path, checkpoint=models / "model.pt"
    )
    image = _ramp(tmp_path)
    output = {"class": torch.tensor([3.0, 1.0, 0.0, 0.0]), "mask": torch.zeros(1, 64, 64)}
    calibrated = transform({"image": image, "pred": output})["result"]
    path.unlink()
    plain = transform({"image": image, "pred": output})["result"]
    assert (calibrated["calibrated"], plain["calibrated"]) == (True, False)
    assert plain["probabilities"]["glioma"] == pytest.approx(float(torch.softmax(output["class"], 0)[0]))
    assert calibrated["probabilities"]["glioma"] < plain["probabilities"]["glioma"]


def _ramp(folder: Path) -> torch.Tensor:
    Image.fromarray(np.tile(np.arange(72, dtype=np.uint8), (88, 1))).save(folder / "ramp.png")
    return read_slice(folder / "ramp.png")
