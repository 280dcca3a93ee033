import numpy as np
import pytest
import torch
from monai.data import DataLoader, Dataset, MetaTensor
from monai.transforms import Compose, RandFlipd, RandRotated, RandTorchVisiond
from monai.utils import set_determinism
from scipy.stats import ks_2samp
from torchvision.transforms import ColorJitter

from braintumor_ext.transforms import (
    LoadImageSlice,
    LoadImageSliced,
    RandBrightnessContrastd,
    RandErase,
    RandErased,
)

PAIR = ("image", "label")


def image(seed: int = 0, size: tuple[int, int] = (48, 40)) -> torch.Tensor:
    return torch.rand(1, *size, generator=torch.Generator().manual_seed(seed))


def augmentation() -> Compose:
    """The training's random transforms."""
    return Compose(
        [
            RandFlipd(PAIR, prob=0.5, spatial_axis=1),
            RandRotated(PAIR, range_x=np.deg2rad(15), prob=1.0, mode=("bilinear", "nearest"), padding_mode="zeros"),
            RandBrightnessContrastd("image"),
            RandErased("image"),
        ]
    )


def pairs(count: int = 8) -> list[dict]:
    return [{"image": image(k).numpy(), "label": (image(k).numpy() > 0.5)} for k in range(count)]


def epoch(seed: int, workers: int) -> dict[str, torch.Tensor]:
    set_determinism(seed)
    data = Dataset(pairs(), Compose([LoadImageSliced(PAIR), *augmentation().transforms]))
    batches = list(DataLoader(data, batch_size=4, shuffle=True, num_workers=workers))
    set_determinism(None)
    return {key: torch.cat([batch[key].as_tensor() for batch in batches]) for key in PAIR}


@pytest.mark.parametrize("workers", [0, 2])
def test_the_same_seed_gives_the_same_batches_and_another_seed_others(workers: int) -> None:
    first, again, other = epoch(3, workers), epoch(3, workers), epoch(4, workers)
    for key in PAIR:
        assert torch.equal(first[key], again[key])
        assert not torch.equal(first[key], other[key])


def test_workers_do_not_draw_the_same_changes() -> None:
    set_determinism(0)
    flat = Dataset(
        [{"image": torch.full((1, 32, 32), 0.5)}] * 8,
        Compose([RandBrightnessContrastd("image"), RandErased("image", prob=1)]),
    )
    images = torch.cat([batch["image"] for batch in DataLoader(flat, batch_size=1, num_workers=2)])
    set_determinism(None)
    assert len({tuple(one.flatten().tolist()) for one in images}) == 8


def test_the_compose_s_own_seed_is_enough() -> None:
    def run(seed: int, torch_seed: int) -> torch.Tensor:
        chain = augmentation().set_random_state(seed)
        torch.manual_seed(torch_seed)
        return torch.stack([chain({"image": image(), "label": image()})["image"].as_tensor() for _ in range(4)])

    assert torch.equal(run(1, 10), run(1, 20))
    assert not torch.equal(run(1, 10), run(2, 10))


def test_torchvision_s_own_jitter_would_not_follow_the_compose_s_seed() -> None:
    # Why these transforms exist: the day this fails, MONAI's wrapper will do.
    def run(torch_seed: int) -> torch.Tensor:
        chain = Compose([RandTorchVisiond("image", name="ColorJitter", brightness=0.2)]).set_random_state(1)
        torch.manual_seed(torch_seed)
        return chain({"image": image()})["image"]

    assert not torch.equal(run(10), run(20))


def test_image_and_mask_move_together() -> None:
    chain = Compose(augmentation().transforms[:2]).set_random_state(0)
    for _ in range(12):
        block = torch.zeros(1, 64, 64)
        block[:, 10:40, 8:30] = 1.0
        moved = chain({"image": block.clone(), "label": block.clone()})
        label = moved["label"].as_tensor()
        assert set(label.unique().tolist()) == {0.0, 1.0}  # by nearest neighbour: no new values
        assert ((moved["image"].as_tensor() > 0.5).float() - label).abs().mean() < 0.01
        assert not torch.equal(label, block)


def test_jitter_and_erasing_leave_the_mask_alone() -> None:
    chain = Compose(augmentation().transforms[2:]).set_random_state(0)
    for _ in range(8):
        assert torch.equal(chain({"image": image(), "label": image(5)})["label"], image(5))


def jittered(seed: int, picture: torch.Tensor, brightness: float = 0.2, contrast: float = 0.2) -> torch.Tensor:
    jitter = RandBrightnessContrastd("image", brightness, contrast).set_random_state(seed)
    return jitter({"image": picture})["image"].as_tensor()


def test_jitter_is_torchvision_s_in_distribution() -> None:
    # A pixel away from the mean tells the brightness and the contrast: two seeds' worth of draws, either way.
    picture = torch.tensor([[[0.2, 0.5], [0.9, 0.5]]])
    torch.manual_seed(0)
    theirs = torch.stack([ColorJitter(brightness=0.2, contrast=0.2)(picture) for _ in range(2000)])
    ours = torch.stack([jittered(seed, picture) for seed in range(2000)])
    for row, column in ((0, 0), (0, 1), (1, 0)):
        assert ks_2samp(ours[:, 0, row, column], theirs[:, 0, row, column]).pvalue > 0.001
    spread = [changed[:, 0, 0, 1] - changed[:, 0, 0, 0] for changed in (ours, theirs)]
    assert ks_2samp(*spread).pvalue > 0.001


def test_brightness_multiplies_and_contrast_blends_with_the_mean_each_within_its_width() -> None:
    dim = 0.8 * image()
    changed = torch.stack([jittered(seed, dim, 0.2, 0.0) for seed in range(500)])
    factors = changed.mean(dim=(1, 2, 3)) / dim.mean()
    torch.testing.assert_close(changed, factors.view(-1, 1, 1, 1) * dim, rtol=0, atol=1e-5)
    assert 0.8 <= factors.min() < 0.803
    assert 1.197 < factors.max() <= 1.2
    grey = 0.3 + 0.4 * image()
    changed = torch.stack([jittered(seed, grey, 0.0, 0.1) for seed in range(500)])
    factors = (changed - grey.mean()).std(dim=(1, 2, 3)) / (grey - grey.mean()).std()
    torch.testing.assert_close(
        changed, grey.mean() + factors.view(-1, 1, 1, 1) * (grey - grey.mean()), rtol=0, atol=1e-5
    )
    assert 0.9 <= factors.min() < 0.902
    assert 1.098 < factors.max() <= 1.1


def test_erasing_takes_one_box_of_the_share_and_aspect_asked_for() -> None:
    eraser = RandErase(prob=1.0)
    eraser.set_random_state(0)
    shares, aspects = [], []
    for _ in range(500):
        erased = eraser(torch.ones(1, 100, 80))[0] == 0
        rows, columns = torch.where(erased.any(dim=1))[0], torch.where(erased.any(dim=0))[0]
        height, width = len(rows), len(columns)
        assert erased.sum() == height * width  # a full box
        assert (rows[-1] - rows[0] + 1, columns[-1] - columns[0] + 1) == (height, width)
        shares.append(height * width / 8000)
        aspects.append(height / width)
    assert 0.015 < min(shares) < 0.04
    assert 0.28 < max(shares) < 0.34
    assert min(aspects) < 0.4
    assert max(aspects) > 2.5


@pytest.mark.parametrize("prob", [0.0, 0.5, 1.0])
def test_erasing_happens_as_often_as_asked_for(prob: float) -> None:
    eraser = RandErase(prob=prob)
    eraser.set_random_state(1)
    share = np.mean([bool((eraser(torch.ones(1, 50, 50)) == 0).any()) for _ in range(600)])
    assert abs(share - prob) < 0.06


def test_an_image_that_no_box_fits_stays_as_it_is() -> None:
    eraser = RandErase(prob=1.0, area=(1.0, 1.0))
    assert torch.equal(eraser(image()), image())


def test_metadata_and_the_input_itself_stay() -> None:
    loaded = LoadImageSlice()(image().numpy())
    for transform in (RandBrightnessContrastd("image"), RandErased("image", prob=1.0)):
        before = loaded.clone()
        changed = transform({"image": loaded})["image"]
        assert isinstance(changed, MetaTensor)
        assert set(changed.meta) == set(loaded.meta)
        assert torch.equal(loaded.as_tensor(), before.as_tensor())
        assert not torch.equal(changed.as_tensor(), before.as_tensor())


def test_all_keys_of_an_item_get_the_same_change() -> None:
    item = {"image": image(), "other": image()}
    for transform in (RandBrightnessContrastd(("image", "other")), RandErased(("image", "other"), prob=1.0)):
        changed = transform.set_random_state(0)(item)
        assert torch.equal(changed["image"], changed["other"])
        assert not torch.equal(changed["image"], image())


def test_senseless_parameters_are_refused() -> None:
    with pytest.raises(ValueError, match="negative"):
        RandBrightnessContrastd("image", brightness=-0.1)
    with pytest.raises(ValueError, match="area"):
        RandErase(area=(0.5, 1.5))
