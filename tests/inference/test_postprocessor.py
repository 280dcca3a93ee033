"""From the network's output to predictions, of batches and of one slice on a server."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser
from monai.data import decollate_batch
from PIL import Image

from braintumor_ext.inference import Postprocessd, Postprocessor, Predictor, class_probabilities, mask_on_grid
from braintumor_ext.transforms import read_slice, restore_grid


def test_probabilities_are_the_softmax_of_the_class_logits():
    logits = torch.tensor([[2.0, 0.0, -1.0, 0.5], [0.0, 0.0, 0.0, 0.0]])
    found = class_probabilities({"class": logits})
    exponentials = np.exp(logits.numpy().astype(np.float64))
    np.testing.assert_allclose(found, exponentials / exponentials.sum(axis=1, keepdims=True), rtol=1e-12)
    assert found.dtype == torch.float64


def test_probabilities_of_half_precision_and_huge_logits_still_sum_to_one():
    logits = torch.tensor([[200.0, -200.0, 3.0, 199.5]], dtype=torch.float16, requires_grad=True)
    found = class_probabilities({"class": logits})
    assert abs(float(found.sum()) - 1) < 1e-12
    assert not found.requires_grad


def half_pixel_bilinear(values: np.ndarray, height: int, width: int) -> np.ndarray:
    """Bilinear interpolation with pixel centres at (i + 0.5) / n, edges repeated, written out by hand."""

    def weights(size: int, wanted: int) -> np.ndarray:
        table = np.zeros((wanted, size))
        for k in range(wanted):
            position = min(max((k + 0.5) * size / wanted - 0.5, 0.0), size - 1.0)
            low = int(position)
            table[k, low] += 1 - (position - low)
            table[k, min(low + 1, size - 1)] += position - low
        return table

    return weights(values.shape[0], height) @ values @ weights(values.shape[1], width).T


@pytest.mark.parametrize("size", [(9, 7), (20, 31), (5, 40)])
def test_the_probability_is_brought_to_the_grid_before_it_is_cut(size):
    logits = torch.randn(3, 1, 9, 7, generator=torch.Generator().manual_seed(1)) * 3
    expected = half_pixel_bilinear(1 / (1 + np.exp(-logits[1, 0].double().numpy())), *size)
    found = mask_on_grid({"mask": logits}, 1, *size).numpy()
    sure = np.abs(expected - 0.5) > 1e-5  # float32 may fall on either side
    assert found.shape == size
    assert found.dtype == bool
    assert sure.mean() > 0.99
    np.testing.assert_array_equal(found[sure], (expected > 0.5)[sure])


def test_a_threshold_keeps_what_is_more_probable():
    logits = torch.tensor([[[[-3.0, -1.0, 0.0, 1.0, 3.0]]]])  # probabilities 0.05, 0.27, 0.5, 0.73, 0.95
    assert mask_on_grid({"mask": logits}, 0, 1, 5).tolist() == [[False, False, False, True, True]]
    assert mask_on_grid({"mask": logits}, 0, 1, 5, threshold=0.9).tolist() == [[False, False, False, False, True]]


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
