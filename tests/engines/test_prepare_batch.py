"""From a batch to the network's input and its target; which epoch sees which size."""

from __future__ import annotations

import pytest
import torch
from ignite.engine import Engine
from monai.data import MetaTensor
from monai.transforms import Compose, NormalizeIntensity, RepeatChannel

from braintumor_ext.data.slice_cache import UNKNOWN_BYTE
from braintumor_ext.engines import PrepareBatch, ProgressiveSize, prepare_slices
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


STAGES = ((0.6, 0.5), (0.85, 0.75))


def size_at(epoch, max_epochs, image_size, stages):
    progressive = ProgressiveSize(max_epochs, stages)
    progressive.epoch = epoch
    return progressive.size(image_size)


def test_sizes_rise_to_the_full_one_at_the_shares_of_the_epochs():
    # 0.6 and 0.85 of 20 epochs are 12 and 17; 0.5 and 0.75 of 128 pixels are 64 and 96
    assert [size_at(epoch, 20, 128, STAGES) for epoch in (1, 12, 13, 17, 18, 20)] == [64, 64, 96, 96, 128, 128]


@pytest.mark.parametrize(
    ("image_size", "sizes"), [(224, [64, 96, 128, 224]), (160, [64, 96, 128, 160]), (96, [64, 96, 96, 96])]
)
def test_sizes_in_pixels_are_the_same_for_any_full_size_and_never_above_it(image_size, sizes):
    stages = ((0.2, 64), (0.6, 96), (0.9, 128))
    assert [size_at(epoch, 10, image_size, stages) for epoch in (2, 6, 9, 10)] == sizes


@pytest.mark.parametrize("epochs", [1, 2, 4, 5])
def test_the_last_epoch_has_the_full_size_however_short_the_training(epochs):
    assert size_at(epochs, epochs, 224, ((0.3, 0.25), (0.7, 0.5), (0.95, 0.75))) == 224


@pytest.mark.parametrize("image_size", [32, 48, 64, 100, 224])
def test_a_size_is_a_multiple_of_32_or_the_full_one(image_size):
    sizes = [size_at(epoch, 10, image_size, STAGES) for epoch in range(1, 11)]
    assert sizes == sorted(sizes)
    assert sizes[-1] == image_size
    assert all(size % 32 == 0 or size == image_size for size in sizes)
    assert all(32 <= size <= image_size for size in sizes)


def batch():
    image = torch.zeros(2, 3, 128, 128)
    image[:, :, 32:64, 64:96] = 1.0
    label = torch.zeros(2, 1, 128, 128)
    label[0, :, 32:64, 64:96] = 1
    label[1] = -1  # unknown
    return {"image": image, "label": label, "class": torch.tensor([1, 3])}


def run(progressive, epochs):
    seen = []
    prepare = PrepareBatch(progressive_size=progressive)
    engine = Engine(lambda _, given: seen.append(prepare(given, "cpu")))
    progressive.attach(engine)
    engine.run([batch()], max_epochs=epochs)
    return seen


def test_a_small_batch_shows_the_same_picture_and_keeps_what_is_unknown():
    first, *_, last = run(ProgressiveSize(4, ((0.5, 0.5),)), 4)
    image, target = first
    assert image.shape == (2, 3, 64, 64)
    assert target["class"].tolist() == [1, 3]
    # the bright square's inside, and its outside, at half the coordinates
    torch.testing.assert_close(image[:, :, 18:30, 34:46], torch.ones(2, 3, 12, 12))
    assert image[:, :, :14].abs().max() < 1e-6
    assert target["label"][0].sum() == 16 * 16
    assert target["label"][0, 0, 16:32, 32:48].all()
    assert (target["label"][1] == -1).all()
    whole, _ = prepare_slices(batch(), "cpu")
    torch.testing.assert_close(last[0], whole)


def test_the_mean_brightness_is_that_of_the_full_size():
    generator = torch.Generator().manual_seed(0)
    noise = {**batch(), "image": torch.rand(2, 3, 128, 128, generator=generator)}
    progressive = ProgressiveSize(2, ((0.5, 0.5),))
    progressive.epoch = 1
    small, _ = PrepareBatch(progressive_size=progressive)(noise, "cpu")
    torch.testing.assert_close(small.mean((2, 3)), noise["image"].mean((2, 3)), atol=2e-3, rtol=0)
    assert small.std() < 0.7 * noise["image"].std()  # averaged, not every second pixel taken


@pytest.mark.parametrize("stages", [((0.8, 0.5), (0.6, 0.75)), ((0.6, 0.0),), ((1.2, 0.5),), ((0.5, 0.5), (0.5, 0.7))])
def test_stages_out_of_order_or_range_are_refused(stages):
    with pytest.raises(ValueError, match="rising"):
        ProgressiveSize(10, stages)
