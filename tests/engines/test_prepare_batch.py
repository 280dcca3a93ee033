"""From a batch to the network's input and its target."""

from __future__ import annotations

import torch
from monai.data import MetaTensor

from braintumor_ext.engines import prepare_slices


def test_images_and_both_targets_are_handed_over():
    image, label = torch.rand(2, 3, 8, 8), (torch.rand(2, 1, 8, 8) > 0.5).float()
    inputs, target = prepare_slices({"image": image, "label": label, "class": torch.tensor([3, -1])})
    assert torch.equal(inputs, image)
    assert torch.equal(target["label"], label)
    assert target["class"].tolist() == [3, -1]
    assert target["class"].dtype == torch.int64


def test_what_a_batch_lacks_is_unknown():
    inputs, target = prepare_slices({"image": torch.rand(2, 3, 8, 6)})
    assert inputs.shape == (2, 3, 8, 6)
    assert target["class"].tolist() == [-1, -1]
    assert torch.equal(target["label"], torch.full((2, 1, 8, 6), -1.0))


def test_classes_as_floats_or_a_list_become_indices():
    image = torch.rand(3, 3, 4, 4)
    for classes in (torch.tensor([0.0, 2.0, 3.0]), [0, 2, 3]):
        target = prepare_slices({"image": image, "class": classes})[1]
        assert target["class"].tolist() == [0, 2, 3]
        assert target["class"].dtype == torch.int64


def test_the_network_gets_plain_tensors_without_metadata():
    batch = {"image": MetaTensor(torch.rand(1, 3, 4, 4)), "label": MetaTensor(torch.zeros(1, 1, 4, 4))}
    inputs, target = prepare_slices(batch)
    assert not isinstance(inputs, MetaTensor)
    assert not isinstance(target["label"], MetaTensor)
