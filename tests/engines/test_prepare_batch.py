"""From a batch to the network's input and its target."""

from __future__ import annotations

import torch
from monai.data import MetaTensor
from monai.transforms import Compose, NormalizeIntensity, RepeatChannel

from braintumor_ext.data.slice_cache import UNKNOWN_BYTE
from braintumor_ext.engines import PrepareBatch, prepare_slices
from braintumor_ext.transforms import BatchAugment


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


def test_bytes_become_what_the_dictionary_transforms_make_of_them():
    grey = torch.randint(0, 256, (2, 1, 16, 16), dtype=torch.uint8)
    label = (grey > 200).byte()
    label[1] = UNKNOWN_BYTE
    mean, std = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)
    inputs, target = PrepareBatch(mean, std)({"image": grey, "label": label, "class": torch.tensor([1, -1])})
    chain = Compose([RepeatChannel(3), NormalizeIntensity(mean, std, channel_wise=True)])
    for found, given in zip(inputs, grey, strict=True):
        torch.testing.assert_close(found, torch.as_tensor(chain(given / 255)))
    assert inputs.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(target["label"][0], label[0].float())
    assert (target["label"][1] == -1).all()
    assert target["class"].tolist() == [1, -1]


def test_bytes_are_augmented_and_prepared_slices_are_not():
    augment = BatchAugment(flip=1.0, rotation=0, brightness=0, contrast=0, erase=0)
    grey = torch.randint(0, 256, (2, 1, 16, 16), dtype=torch.uint8)
    prepare = PrepareBatch((0.0,), (1.0,), augment)
    batch = {"image": grey, "label": (grey > 128).byte(), "class": torch.tensor([0, 0])}
    inputs, target = prepare(batch)
    torch.testing.assert_close(inputs, grey.flip(-1) / 255, atol=1e-5, rtol=0)
    assert torch.equal(target["label"], batch["label"].flip(-1).float())
    ready = torch.rand(2, 1, 16, 16)
    assert torch.equal(prepare({"image": ready, "class": torch.tensor([0, 0])})[0], ready)
