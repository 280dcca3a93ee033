from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from braintumor_ext.classes import CLASSES
from braintumor_ext.errors import InputError
from braintumor_ext.saliency_metrics.map_evaluation import MapEvaluation, checked_methods, spread_order, tumour_slices
from braintumor_ext.saliency_metrics.map_summary import summarise_maps
from braintumor_ext.transforms import LoadImageSlice, ToUnitGrey
from tests.bundle.workflows import read_table
from tests.saliency_metrics.quadrant_net import QuadrantNet

SIZE = 32
HALF = SIZE // 2


def load(item: dict[str, Any]) -> dict[str, Any]:
    return {"image": ToUnitGrey()(LoadImageSlice()(item["image"])).repeat(3, 1, 1)}


def quadrant(index: int, share: float = 1.0) -> np.ndarray:
    """True in a quadrant's left part."""
    found = np.zeros((SIZE, SIZE), dtype=bool)
    row, column = divmod(index, 2)
    found[row * HALF : (row + 1) * HALF, column * HALF : column * HALF + int(share * HALF)] = True
    return found


class Folder:
    """Slices and masks of 32 px, written as they are asked for."""

    def __init__(self, path: Path) -> None:
        self.path, self.count = path, 0

    def item(self, image: np.ndarray, mask: np.ndarray, **keys: Any) -> dict[str, Any]:
        self.count += 1
        paths = {key: self.path / f"{self.count:03d}_{key}.png" for key in ("image", "label")}
        for path, values in zip(paths.values(), (image, mask), strict=True):
            Image.fromarray(np.rint(values * 255.0).astype(np.uint8)).save(path)
        return {**{key: str(path) for key, path in paths.items()}, "group": f"g{self.count}", **keys}

    def bright(self, seen: int, true: int, share: float = 1.0) -> dict[str, Any]:
        """A slice whose bright quadrant says ``seen``, with a mask in the quadrant of its true class."""
        noise = np.random.default_rng(self.count).random((SIZE, SIZE))
        image = 0.4 + 0.1 * quadrant(seen) + 0.4 * noise  # a head that fills the slice: its centre is the slice's
        return self.item(image, quadrant(true, share), **{"class": true})


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    (tmp_path / "data").mkdir()
    return Folder(tmp_path / "data")


def evaluation(
    folder: Folder, data: list, validation: list, network: QuadrantNet | None = None, **options: Any
) -> MapEvaluation:
    defaults = {"methods": ["smoothgrad"], "layer": "features", "batch_size": 4, "steps": 4, "n_draws": 200}
    return MapEvaluation(
        network or QuadrantNet(),
        data,
        validation,
        load,
        folder.path.parent / "out",
        dataset_dir=folder.path,
        **{**defaults, **options},
    )


def evaluate(folder: Folder, data: list, validation: list, *args: Any, **options: Any) -> Any:
    found = evaluation(folder, data, validation, *args, **options).evaluate()
    return {"settings": found.settings, **summarise_maps(found.slices, found.sanity, found.thresholds, CLASSES, 200)}


def values(result: Any, part: str, name: str) -> dict[str, float]:
    return {score: found["value"] for score, found in result["scores"][part]["maps"][name].items()}


def test_known_evidence_has_known_scores_and_right_and_wrong_stand_apart(folder: Folder) -> None:
    # The gradient of a class's logit is the same within its quadrant and 0 elsewhere. The mask is the left half of the
    # true class's quadrant: half of the equal maxima hit, half of the energy and of the union is in it. A wrong
    # prediction's map lies in another quadrant.
    right = [folder.bright(k, k, 0.5) for k in (0, 1, 2, 0, 1)]
    wrong = [folder.bright(1, 2, 0.5), folder.bright(3, 2, 0.5)]
    result = evaluate(folder, right + wrong, [folder.bright(0, 0)], tolerance=0)
    assert (result["slices"]["right"], result["slices"]["wrong"]) == (5, 2)
    for score in ("pointing", "pointing_tolerant", "energy_share", "iou"):
        assert values(result, "right", "smoothgrad")[score] == pytest.approx(0.5, abs=0.01), score
        assert values(result, "wrong", "smoothgrad")[score] == pytest.approx(0, abs=0.01), score
    assert values(result, "pituitary", "smoothgrad")["energy_share"] == pytest.approx(1 / 6, abs=0.01)
    assert result["scores"]["pituitary"]["n"] == 3
    assert result["scores"]["all"]["area_share"]["value"] == pytest.approx(1 / 8)


def test_deletion_and_insertion_are_of_the_predicted_class(folder: Folder) -> None:
    data = [folder.bright(1, 2), folder.bright(0, 0)]
    result = evaluate(folder, data, [])
    curves = result["curves"]["smoothgrad"]
    expected = []
    for item in data:
        logits = QuadrantNet()(torch.as_tensor(load(item)["image"])[None])["class"]
        expected.append(logits.softmax(1).max().item())
    assert curves["deletion"][0] == pytest.approx(np.mean(expected), abs=1e-5)
    assert curves["insertion"][-1] == pytest.approx(np.mean(expected), abs=1e-5)
    assert curves["deletion"][1] < 0.01  # a quarter of the pixels is all the evidence: gone after one of four steps
    scores = {name: values(result, "all", name)["deletion"] for name in ("smoothgrad", "random", "centre")}
    assert scores["smoothgrad"] < min(scores["random"], scores["centre"])


def test_thresholds_come_from_validation_only(folder: Folder) -> None:
    # Grad-CAM of a layer that passes brightness on is the brightness, here a ramp i / 31 along the columns. On
    # validation the mask is where it exceeds 0.7: 0.7 is the one threshold with IoU 1. On the split the mask is where
    # it exceeds 0.3, columns 10 to 31: cut at 0.7, columns 22 to 31 are left, IoU 10 / 22.
    ramp = np.tile(np.arange(SIZE) / (SIZE - 1), (SIZE, 1))
    validation = [folder.item(ramp, ramp > 0.7, **{"class": 1})]
    data = [folder.item(ramp, ramp > 0.3, **{"class": 1}), folder.item(ramp, ramp > 0.3, **{"class": 1})]
    result = evaluate(folder, data, validation, methods=["gradcam"])
    assert result["thresholds"]["gradcam"] == {"value": 0.7, "validation_iou": pytest.approx(1.0)}
    assert values(result, "all", "gradcam")["iou"] == pytest.approx(10 / 22)
    assert result["settings"]["validation_slices_scored_too"] == 0
    result = evaluate(folder, validation, validation, methods=["gradcam"])
    assert result["settings"]["validation_slices_scored_too"] == 1
    result = evaluate(folder, data, [], methods=["gradcam"])
    assert result["thresholds"]["gradcam"] == {"value": 0.5, "validation_iou": None}


def well_pointed(folder: Folder) -> list[dict[str, Any]]:
    """Slices whose mask is the outer part of the bright quadrant: out of the centre baseline's reach."""
    return [folder.bright(k, k, 0.75) for k in (0, 2) * 3]


def test_a_method_that_points_well_and_knows_the_weights_is_trusted(folder: Folder) -> None:
    data = well_pointed(folder)
    result = evaluate(folder, data, data[:2])
    verdict = result["verdicts"]["smoothgrad"]
    assert verdict["trustworthy"], verdict
    assert result["reading"][0] == "Trust SmoothGrad."
    assert result["sanity"]["stages"] == ["classifier", "features"]


def test_a_method_whose_maps_outlive_the_weights_is_not_trusted_however_well_it_points(folder: Folder) -> None:
    data = well_pointed(folder)
    result = evaluate(folder, data, [], QuadrantNet(stubborn=True), max_sanity_slices=3)
    stages = result["sanity"]["methods"]["smoothgrad"]
    assert [stage["ssim"]["value"] for stage in stages] == pytest.approx([1, 1])
    assert [stage["spearman"]["value"] for stage in stages] == pytest.approx([1, 1])
    assert {stage["ssim"]["n"] for stage in stages} == {3}
    verdict = result["verdicts"]["smoothgrad"]
    assert (verdict["beats_baselines"], verdict["sane"], verdict["trustworthy"]) == (True, False, False)
    assert result["reading"][0].startswith("Trust none")


def test_the_network_is_left_as_it_was(folder: Folder) -> None:
    network = QuadrantNet().train()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    evaluate(folder, [folder.bright(0, 0)], [], network)
    assert network.training
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())


def test_the_batch_size_does_not_matter(folder: Folder) -> None:
    data = [folder.bright(k, k, 0.5) for k in (0, 1, 2)]
    results = [evaluate(folder, data, data[:1], batch_size=n) for n in (1, 2)]
    for part in ("all", "glioma"):
        for name in ("smoothgrad", "random", "centre"):
            assert values(results[0], part, name) == pytest.approx(values(results[1], part, name), abs=1e-5)
    for one, other in zip(*(result["sanity"]["methods"]["smoothgrad"] for result in results), strict=True):
        assert one["ssim"]["value"] == pytest.approx(other["ssim"]["value"], abs=1e-4)


# --- which slices


def test_only_tumour_slices_with_a_known_class_and_a_mask_are_explained(folder: Folder) -> None:
    good = folder.bright(0, 0)
    no_mask = {key: value for key, value in folder.bright(0, 0).items() if key != "label"}
    no_class = {key: value for key, value in folder.bright(0, 0).items() if key != "class"}
    empty = folder.item(np.eye(SIZE), np.zeros((SIZE, SIZE)), **{"class": 1})
    no_tumour = folder.bright(3, 3)
    found = evaluation(folder, [no_mask, no_class, empty, no_tumour, good], []).evaluate()
    assert [(one.image, one.true_class) for one in found.slices] == [("001_image.png", 0)]
    with pytest.raises(InputError, match="none of the split's slices has a known class of tumour and a mask"):
        evaluate(folder, [no_mask, no_class, empty, no_tumour], [])


def test_a_cap_spreads_over_classes_and_groups(folder: Folder) -> None:
    # Class 0 has one patient of six slices and two of one slice; class 1 one patient of three.
    groups = [(0, "many")] * 6 + [(0, "b"), (0, "c")] + [(1, "d")] * 3
    data = [{**folder.bright(k, k), "group": group} for k, group in groups]
    chosen = tumour_slices(data, CLASSES, max_slices=6)
    assert [item["class"] for item in chosen].count(1) == 3
    assert sorted(item["group"] for item in chosen if item["class"] == 0) == ["b", "c", "many"]
    assert len(tumour_slices(data, CLASSES, max_slices=0)) == len(tumour_slices(data, CLASSES, None)) == 11
    assert tumour_slices(data, CLASSES, 6, seed=0) == chosen
    assert [data.index(item) for item in chosen] == sorted(data.index(item) for item in chosen)


def test_every_slice_comes_once_and_those_without_a_group_are_groups_by_themselves() -> None:
    items = [{"class": i % 2, **({"group": "a"} if i < 4 else {})} for i in range(9)]
    order = spread_order(items, seed=1)
    assert sorted(order) == list(range(9))
    of_class_0 = [i for i in order if i % 2 == 0]
    assert sum(i < 4 for i in of_class_0[:4]) == 1  # its groups: "a" of two slices, and three single ones


# --- options


def test_methods_are_given_as_a_list_or_as_text() -> None:
    assert checked_methods(["gradcam", "GradCAM++", "gradcam"]) == ["gradcam", "gradcam++"]
    assert checked_methods("gradcam, smoothgrad") == ["gradcam", "smoothgrad"]


@pytest.mark.parametrize("methods", [["gradcam", "lime"], "lime", []])
def test_unknown_methods_are_refused_with_the_valid_ones(methods: Any) -> None:
    with pytest.raises(InputError, match=r"--methods: .*Valid are gradcam, gradcam\+\+, occlusion, smoothgrad"):
        checked_methods(methods)


def test_an_unknown_layer_is_told_with_the_valid_ones(folder: Folder) -> None:
    with pytest.raises(ValueError, match=r"no layer 'nowhere'.*features, classifier"):
        evaluate(folder, [folder.bright(0, 0)], [], layer="nowhere")


def test_a_run_writes_its_files_with_what_they_belong_to(folder: Folder) -> None:
    data = [folder.bright(0, 0), folder.bright(1, 2)]
    result = evaluation(folder, data, data[:1], title="Maps", context={"split": "test"}).run()
    out = folder.path.parent / "out"
    assert json.loads((out / "explanations.json").read_text(encoding="utf-8")) == result
    assert result["context"]["split"] == "test"
    assert {"date", "hardware"} <= set(result["context"])
    assert result["settings"]["validation_slices_scored_too"] == 1
    assert (out / "explanations.md").read_text(encoding="utf-8").startswith("# Maps\n")
    assert {row["map"] for row in read_table(out / "per_slice.csv")} == {"smoothgrad", "random", "centre"}
