"""What annotators get from both servers, compared with the predictor of this environment."""

from __future__ import annotations

import io
from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image

from braintumor_ext.inference import Predictor
from braintumor_ext.prediction import Prediction
from braintumor_ext.transforms import read_slice, restore_grid, restore_volume
from tests.label.conftest import Server
from tests.one_slice import shown_slice, write_series
from tests.same_mask import assert_same_mask

pytestmark = pytest.mark.label

FORMS = ("png", "nifti", "nifti_one_slice", "dicom")


@pytest.fixture(scope="module", params=["stock", "own"])
def server(request: pytest.FixtureRequest) -> Server:
    """Either server."""
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="module")
def predictor(packed_bundle: Path) -> Predictor:
    """The same bundle in this environment."""
    return Predictor.from_bundle(packed_bundle, device="cpu")


@pytest.fixture(scope="module")
def volume(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three unlike slices, stacked along the second axis of the file, with an affine that mirrors and moves."""
    shown = shown_slice()
    planes = [shown, shown[:, ::-1], np.roll(shown, 20, axis=0)]
    array = np.stack([plane.T for plane in planes], axis=1).astype(np.float32)
    affine = np.array([[-0.6, 0, 0, 10], [0, 0, -0.9, 20], [0, 5, 0, -7], [0, 0, 0, 1]], dtype=float)
    path = tmp_path_factory.mktemp("volume") / "volume.nii.gz"
    nibabel.Nifti1Image(array, affine).to_filename(path)
    return path


def _native(prediction: Prediction, path: Path) -> np.ndarray:
    assert prediction.mask is not None
    assert 0 < prediction.mask.sum() < prediction.mask.size
    return restore_grid(prediction.mask, read_slice(path).meta)[0]


def _same_shares(got: dict[str, float], expected: Prediction) -> None:
    assert expected.probabilities is not None
    assert got == pytest.approx(expected.probabilities, abs=1e-4)


def _loaded(content: bytes, tmp_path: Path) -> nibabel.Nifti1Image:
    path = tmp_path / ("mask.nii.gz" if content[:2] == b"\x1f\x8b" else "mask.nii")
    path.write_bytes(content)
    return nibabel.load(path)


def test_info_names_the_model(server: Server) -> None:
    told = server.ask("/info/").json
    assert server.model in told["models"]
    assert told["models"][server.model]["type"] == "segmentation"
    assert server.model in told["trainers"]


@pytest.mark.parametrize("form", FORMS)
def test_predictions_are_the_predictors(
    server: Server, form: str, one_slice: dict[str, Path], predictor: Predictor
) -> None:
    expected = predictor(one_slice[form])
    told = server.infer(one_slice[form], "json").json
    _same_shares(told["probabilities"], expected)
    assert (told["label"], told["calibrated"], told["flags"]) == (expected.label, True, list(expected.flags))


def test_mask_of_a_picture_is_a_picture(server: Server, one_slice: dict[str, Path], predictor: Predictor) -> None:
    response = server.infer(one_slice["png"], "image")
    assert response.status == 200
    mask = np.array(Image.open(io.BytesIO(response.body)))
    assert_same_mask(mask, _native(predictor(one_slice["png"]), one_slice["png"]))


@pytest.mark.parametrize("form", ["nifti", "nifti_one_slice"])
def test_mask_of_a_nifti_has_its_shape(
    server: Server, form: str, one_slice: dict[str, Path], predictor: Predictor, tmp_path: Path
) -> None:
    mask = _loaded(server.infer(one_slice[form], "image").body, tmp_path)
    expected = _native(predictor(one_slice[form]), one_slice[form])
    assert mask.shape == expected.shape
    assert_same_mask(np.asarray(mask.dataobj), expected)


@pytest.mark.parametrize("form", ["nifti", "nifti_one_slice", "dicom"])
def test_own_app_keeps_the_geometry(
    own: Server, form: str, one_slice: dict[str, Path], predictor: Predictor, tmp_path: Path
) -> None:
    mask = _loaded(own.infer(one_slice[form], "image").body, tmp_path)
    assert_same_mask(np.asarray(mask.dataobj), _native(predictor(one_slice[form]), one_slice[form]))
    np.testing.assert_allclose(mask.affine, read_slice(one_slice[form]).meta["native_affine"], atol=1e-5)


def test_volume_is_predicted_slice_by_slice(own: Server, volume: Path, predictor: Predictor, tmp_path: Path) -> None:
    expected = [predictor(volume, slice_index=index) for index in range(3)]
    told = own.infer(volume, "json").json
    assert [one["label"] for one in told["slices"]] == [one.label for one in expected]
    for got, one in zip(told["slices"], expected, strict=True):
        _same_shares(got["probabilities"], one)
    assert told["series"]["slices"] == 3
    mask, source = _loaded(own.infer(volume, "image").body, tmp_path), nibabel.load(volume)
    masks = {index: one.mask for index, one in enumerate(expected) if one.mask is not None}
    assert_same_mask(np.asarray(mask.dataobj), restore_volume(masks, read_slice(volume, 0).meta)[0])
    np.testing.assert_allclose(mask.affine, source.affine, atol=1e-5)


def test_folder_of_a_series_is_one_volume(own: Server, predictor: Predictor, tmp_path: Path) -> None:
    shown = shown_slice()
    files = write_series(tmp_path / "series", [shown, shown[:, ::-1], shown[::-1]])
    response = own.ask(f"/infer/{own.model}?image={tmp_path / 'series'}&output=image", "POST", params="{}")
    mask = _loaded(response.body, tmp_path)
    assert mask.shape == (shown.shape[1], shown.shape[0], 3)
    for index, file in enumerate(files):  # each at the place that its own header tells
        assert_same_mask(np.asarray(mask.dataobj)[:, :, index], _native(predictor(file), file)[:, :, 0])
        place = np.asarray(read_slice(file).meta["native_affine"])[:3, 3]
        np.testing.assert_allclose(mask.affine[:3] @ [0, 0, index, 1], place, atol=1e-4)


def test_heat_map_is_the_predictors(
    own: Server, one_slice: dict[str, Path], predictor: Predictor, tmp_path: Path
) -> None:
    path = one_slice["nifti_one_slice"]
    expected = predictor(path, explain="gradcam").heat_map
    assert expected is not None
    got = np.asarray(_loaded(own.infer(path, "image", f"{own.model}_gradcam").body, tmp_path).dataobj)
    np.testing.assert_allclose(got[::-1, ::-1, 0].T, expected, atol=1e-3)


def test_bad_requests_are_told_and_survived(own: Server, one_slice: dict[str, Path], tmp_path: Path) -> None:
    no_image = tmp_path / "no_image.png"
    no_image.write_text("this is a text")
    asked = {
        "no model": own.infer(one_slice["png"], "json", "no_such_model"),
        "no image": own.ask(f"/infer/{own.model}?image=no_such_image&output=json", "POST", params="{}"),
        "no picture": own.infer(no_image, "json"),
        "no JSON": own.infer(one_slice["png"], "json", params="{broken"),
        "no strategy": own.ask("/activelearning/no_such_strategy", "POST", content={}),
    }
    for what, response in asked.items():
        assert 400 <= response.status < 500, f"{what}: {response}"
        assert response.json["detail"], what
    assert own.infer(one_slice["png"], "json").status == 200


def test_stock_app_survives_bad_requests(stock: Server, one_slice: dict[str, Path], tmp_path: Path) -> None:
    no_image = tmp_path / "no_image.png"
    no_image.write_text("this is a text")
    assert stock.infer(one_slice["png"], "json", "no_such_model").status >= 400
    assert stock.infer(no_image, "json").status >= 400
    assert stock.infer(one_slice["png"], "json", params="{broken").status >= 400
    assert stock.infer(one_slice["png"], "json").status == 200


def test_next_sample_is_the_least_certain(own: Server) -> None:
    told = own.ask("/scoring/uncertainty?run_sync=true", "POST", content={}).json
    assert told["failed"] == 0
    images = own.ask("/datastore/?output=all").json["objects"]
    scores = {
        name: entry["image"]["info"]["uncertainty"]
        for name, entry in images.items()
        if "uncertainty" in entry["image"]["info"]
    }
    assert len(scores) == told["scored"] > 1
    chosen = own.ask("/activelearning/uncertainty", "POST", content={}).json
    assert scores[chosen["id"]] == max(scores.values())


@pytest.mark.real_data
def test_real_series(own: Server, dicom_head: Path, predictor: Predictor, tmp_path: Path) -> None:
    told = own.ask(f"/infer/{own.model}?image={dicom_head}&output=json", "POST", params="{}").json
    assert len(told["slices"]) == 32
    mask = _loaded(own.ask(f"/infer/{own.model}?image={dicom_head}&output=image", "POST", params="{}").body, tmp_path)
    files = {path.name: path for path in dicom_head.rglob("*") if path.is_file()}
    paths = [files[one["source"]] for one in told["slices"]]
    for index, (path, expected) in enumerate(zip(paths, predictor([*paths]), strict=True)):
        meta = read_slice(path).meta
        _same_shares(told["slices"][index]["probabilities"], expected)
        assert expected.mask is not None
        assert_same_mask(np.asarray(mask.dataobj)[:, :, index], restore_grid(expected.mask, meta)[0][:, :, 0])
        np.testing.assert_allclose(mask.affine[:3] @ [0, 0, index, 1], meta["native_affine"][:3, 3], atol=0.05)
