from __future__ import annotations

import pytest
import torch
from monai.data import MetaTensor
from monai.engines import SupervisedEvaluator
from monai.inferers import SimpleInferer
from sklearn.metrics import f1_score

from braintumor_ext.metrics import JointScore

NUM_CLASSES = 4


def logits_of(classes: list[int]) -> torch.Tensor:
    return torch.nn.functional.one_hot(torch.tensor(classes), NUM_CLASSES).float()


def batch(true: list[int], predicted: list[int], labels: torch.Tensor, masks: torch.Tensor) -> tuple[dict, dict]:
    return {"class": logits_of(predicted), "mask": masks}, {"class": torch.tensor(true), "label": labels}


def test_score_is_the_mean_of_macro_f1_and_mean_dice_on_a_hand_computed_batch() -> None:
    # Classes: true 0 0 1 2, predicted 0 1 1 2: F1 = 2/3, 2/3, 1 (class 3 has no sample): macro 7/9; accuracy 3/4.
    # Masks of 1x4 pixels: slice 0: true 2, predicted 2, shared 1: Dice 1/2. Slice 1: empty prediction: Dice 0.
    # Slice 2: known and empty: not scored. Slice 3: unknown: not scored. Mean Dice 1/4.
    labels = torch.tensor([[1, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0], [-1, -1, -1, -1]]).reshape(4, 1, 1, 4)
    masks = torch.tensor([[2.0, -2, 3, -1], [-1, -1, -1, -1], [5, 5, 5, 5], [5, 5, 5, 5]]).reshape(4, 1, 1, 4)
    score = JointScore(NUM_CLASSES)
    score.update(batch([0, 0, 1, 2], [0, 1, 1, 2], labels, masks))
    assert score.components() == pytest.approx({"macro_f1": 7 / 9, "accuracy": 3 / 4, "mean_dice": 1 / 4})
    assert score.compute() == pytest.approx((7 / 9 + 1 / 4) / 2)


def test_batches_add_up_and_reset_forgets_them() -> None:
    generator = torch.Generator().manual_seed(0)
    true = torch.randint(0, NUM_CLASSES, (40,), generator=generator)
    logits = torch.randn(40, NUM_CLASSES, generator=generator)
    labels = torch.randint(0, 2, (40, 1, 6, 5), generator=generator)
    masks = torch.randn(40, 1, 6, 5, generator=generator)
    score = JointScore(NUM_CLASSES)
    for part in torch.arange(40).split(7):
        score.update(
            ({"class": logits[part], "mask": masks[part]}, {"class": true[part], "label": MetaTensor(labels[part])})
        )
    probability = masks.sigmoid()
    dice = [
        2 * float(((p > 0.5) & (t == 1)).sum()) / float((p > 0.5).sum() + t.sum())
        for p, t in zip(probability, labels, strict=True)
    ]
    expected_f1 = f1_score(true, logits.argmax(1), average="macro")
    assert score.components()["macro_f1"] == pytest.approx(expected_f1)
    assert score.components()["mean_dice"] == pytest.approx(sum(dice) / 40)
    score.reset()
    assert score.compute() == 0.0


def test_without_any_known_mask_the_score_is_macro_f1() -> None:
    unknown = -torch.ones(2, 1, 2, 2)
    score = JointScore(NUM_CLASSES)
    score.update(batch([0, 1], [0, 0], unknown, torch.ones(2, 1, 2, 2)))
    assert score.compute() == pytest.approx((2 / 3 + 0) / 2)
    assert "mean_dice" not in score.components()


def test_without_any_known_class_the_score_is_mean_dice() -> None:
    tumour = torch.ones(2, 1, 2, 2)
    score = JointScore(NUM_CLASSES)
    score.update(batch([-1, -1], [0, 0], tumour, torch.stack([tumour[0], -tumour[1]])))
    assert score.compute() == pytest.approx(0.5)
    assert set(score.components()) == {"mean_dice"}


def test_an_absent_key_of_the_target_means_unknown() -> None:
    score = JointScore(NUM_CLASSES)
    score.update(({"class": logits_of([2]), "mask": torch.ones(1, 1, 2, 2)}, {"class": torch.tensor([2])}))
    assert score.components() == {"macro_f1": 1.0, "accuracy": 1.0}


class FixedNetwork(torch.nn.Module):
    """Predicts class and mask from the image's first pixel and sign, so that the outcome is known."""

    def forward(self, image: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"class": torch.nn.functional.one_hot(image[:, 0, 0, 0].long(), NUM_CLASSES).float(), "mask": image}


def evaluator(data: list[dict]) -> SupervisedEvaluator:
    return SupervisedEvaluator(
        device=torch.device("cpu"),
        val_data_loader=data,
        network=FixedNetwork(),
        inferer=SimpleInferer(),
        prepare_batch=lambda b, device, non_blocking, **kwargs: (
            b["image"],
            {"class": b["class"], "label": b["label"]},
        ),
        key_val_metric={"val_score": JointScore(NUM_CLASSES)},
        decollate=False,
    )


def test_it_is_the_key_metric_of_an_evaluator_and_its_parts_stand_beside_it() -> None:
    image = torch.tensor([[1.0, 1], [0, 0]]).reshape(1, 1, 2, 2)
    data = [
        {"image": image, "class": torch.tensor([1]), "label": (image > 0).float()},
        {"image": image, "class": torch.tensor([2]), "label": torch.ones(1, 1, 2, 2)},
    ]
    engine = evaluator(data)
    engine.run()
    # Class 1: one hit, one false alarm: F1 2/3; class 2: missed: 0. Dice: 1 and 2*2/(2+4).
    parts = {"val_macro_f1": 1 / 3, "val_accuracy": 1 / 2, "val_mean_dice": (1 + 2 / 3) / 2}
    assert engine.state.metrics == pytest.approx({**parts, "val_score": (1 / 3 + 5 / 6) / 2})
    assert engine.state.best_metric == engine.state.metrics["val_score"]


def test_a_decollating_engine_is_told_what_to_change() -> None:
    with pytest.raises(TypeError, match="decollate=False"):
        JointScore(NUM_CLASSES)._output_transform([{}])


def _rank(rank: int, folder: str) -> None:
    import torch.distributed as dist

    dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2)
    score = JointScore(NUM_CLASSES)
    tumour = torch.ones(1, 1, 1, 2)
    if rank == 0:  # rank 1 sees no slice at all, as at the end of an uneven share
        score.update(batch([0], [0], tumour, tumour))
        score.update(batch([1], [0], tumour, -tumour))
    torch.save((score.compute(), score.components()), f"{folder}/{rank}.pt")
    dist.destroy_process_group()


@pytest.mark.slow
def test_all_processes_get_the_score_of_all_slices(tmp_path) -> None:  # type: ignore[no-untyped-def]
    torch.multiprocessing.spawn(_rank, args=(str(tmp_path),), nprocs=2)
    first, second = (torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1))
    assert first == second
    assert first[0] == pytest.approx((1 / 3 + 1 / 2) / 2)
