import numpy as np
import pytest
import torch
from monai.data import MetaTensor, list_data_collate
from monai.transforms import Compose, Invertd, Resized

from braintumor_ext.transforms import FillUnknownd, LoadImageSlice, LoadImageSliced, ToBinaryMaskd
from tests.transforms.files import gradient


def item(**more: object) -> dict:
    return {"image": LoadImageSlice()(gradient()), **more}


@pytest.mark.parametrize("absent", [{}, {"label": None, "class": None}])
def test_absent_targets_become_minus_one(absent: dict) -> None:
    filled = FillUnknownd()(item(**absent))
    assert filled["label"].shape == (1, 40, 30)
    assert (filled["label"] == -1).all()
    assert filled["class"].item() == -1
    assert filled["class"].dtype == torch.int64


def test_known_targets_stay() -> None:
    mask = LoadImageSlice()(gradient() > 50)
    filled = FillUnknownd()(item(label=mask, **{"class": np.int32(2)}))
    assert torch.equal(filled["label"].as_tensor(), mask.as_tensor())
    assert (filled["class"].item(), filled["class"].dtype) == (2, torch.int64)


def test_the_colours_of_an_image_do_not_multiply_its_mask() -> None:
    filled = FillUnknownd()({"image": LoadImageSlice()(np.zeros((9, 8, 3), np.uint8))})
    assert filled["label"].shape == (1, 9, 8)


def test_a_plain_tensor_image_gets_a_plain_mask() -> None:
    filled = FillUnknownd()({"image": torch.zeros(3, 9, 8)})
    assert not isinstance(filled["label"], MetaTensor)
    assert filled["label"].shape == (1, 9, 8)


def test_known_and_unknown_items_make_one_batch() -> None:
    chain = Compose(
        [
            LoadImageSliced(("image", "label"), allow_missing_keys=True),
            ToBinaryMaskd("label", allow_missing_keys=True),
            FillUnknownd(),
            Resized(("image", "label"), (16, 16), mode=("bilinear", "nearest")),
        ]
    )
    batch = list_data_collate(
        [chain({"image": gradient(), "label": gradient() > 50, "class": 1}), chain({"image": gradient()})]
    )
    assert batch["class"].tolist() == [1, -1]
    assert set(batch["label"][0].unique().tolist()) == {0.0, 1.0}
    assert (batch["label"][1] == -1).all()


def test_an_unknown_mask_made_after_resizing_can_be_inverted_like_its_image() -> None:
    chain = Compose([LoadImageSliced("image"), Resized("image", (16, 16)), FillUnknownd()])
    filled = chain({"image": gradient()})
    inverted = Invertd(keys="label", transform=chain, orig_keys="image")(filled)
    assert inverted["label"].shape == (1, 40, 30)
