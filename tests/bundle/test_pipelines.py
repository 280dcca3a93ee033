"""The training's two pipelines, through the bundle's config: the same slices, and the same rules."""

from __future__ import annotations

import json

import pytest
import torch
from ignite.engine import Events
from monai.engines.utils import IterationEvents

from tests.bundle.test_training import history, last, same
from tests.bundle.workflows import FLAT, Interruption, make_workflow, places, run_until_interrupted, run_workflow, train

pytestmark = pytest.mark.slow

STILL = {f"augmentation::{name}": 0 for name in ("flip", "rotation", "brightness", "contrast", "erase")}


def first_batch(phantom_dataset, tmp_path, **overrides):
    """The network's input and target in the first step of a training."""
    seen = []

    def look(engine):
        seen.append((engine.state.output["image"].clone(), engine.state.output["label"]))
        raise Interruption

    workflow = make_workflow("train", epochs=1, **{**places(phantom_dataset, tmp_path), **FLAT, **overrides})
    workflow.initialize()
    workflow.trainer.add_event_handler(IterationEvents.FORWARD_COMPLETED, look)
    run_until_interrupted(workflow)
    return seen[0]


def test_without_augmentation_both_pipelines_hand_the_network_the_same_slices(phantom_dataset, tmp_path):
    image, target = first_batch(phantom_dataset, tmp_path, pipeline="fast", **STILL)
    reference = {"train::random_transforms": []}
    expected, expected_target = first_batch(phantom_dataset, tmp_path, **reference)
    # half a grey step of 255, divided by the least of the channels' deviations
    torch.testing.assert_close(image, expected.as_subclass(torch.Tensor), atol=0.5 / 255 / 0.224 + 1e-4, rtol=0)
    assert torch.equal(target["class"], expected_target["class"])
    assert torch.equal(target["label"], expected_target["label"].as_subclass(torch.Tensor))


@pytest.mark.parametrize("cache", [False, True])
def test_the_same_seed_gives_the_same_batch_with_and_without_workers(phantom_dataset, tmp_path, cache):
    def batch(seed: int, workers: int):
        extra = {"cache_dir": str(tmp_path / "cache")} if cache else {}
        return first_batch(phantom_dataset, tmp_path, pipeline="fast", random_seed=seed, num_workers=workers, **extra)[
            0
        ]

    assert torch.equal(batch(1, 0), batch(1, 2))
    assert not torch.equal(batch(1, 0), batch(2, 0))


def test_a_resumed_training_of_the_fast_pipeline_goes_on_exactly(phantom_dataset, tmp_path):
    options = {"pipeline": "fast", "patience": 0, **FLAT}
    train(phantom_dataset, tmp_path / "through", epochs=3, **options)
    workflow = make_workflow("train", epochs=3, **{**places(phantom_dataset, tmp_path / "stopped"), **options})
    workflow.initialize()

    def stop(engine):
        if engine.state.epoch == 3:
            raise Interruption

    workflow.trainer.add_event_handler(Events.ITERATION_STARTED, stop)
    run_until_interrupted(workflow)
    train(phantom_dataset, tmp_path / "stopped", epochs=3, resume=True, **options)
    assert same(last(tmp_path / "stopped")["network"], last(tmp_path / "through")["network"])
    assert history(tmp_path / "stopped") == history(tmp_path / "through")


def test_progressive_sizes_shrink_the_fast_pipeline_s_batches_too(phantom_dataset, tmp_path):
    options = {**places(phantom_dataset, tmp_path), **FLAT, "image_size": 64, "pipeline": "fast"}
    workflow = make_workflow("train", "recipes/progressive", epochs=4, **options)
    workflow.initialize()
    sizes = []
    workflow.trainer.add_event_handler(
        IterationEvents.FORWARD_COMPLETED, lambda engine: sizes.append(engine.state.output["image"].shape[-1])
    )
    workflow.run()
    assert sorted(set(sizes)) == [32, 64]
    assert sizes == sorted(sizes)


def test_an_evaluation_is_the_same_whichever_pipeline_its_training_had(phantom_dataset, tmp_path):
    """It needs each slice's place in its file, which the fast pipeline does not keep."""
    where = places(phantom_dataset, tmp_path)
    train(phantom_dataset, tmp_path, epochs=1, pipeline="fast", **FLAT)
    found = []
    for pipeline in ("fast", "reference"):
        run_workflow(make_workflow("train", "evaluate", pipeline=pipeline, **{**where, **FLAT}))
        found.append(json.loads((tmp_path / "out" / "metrics.json").read_text()))
    assert found[0]["classification"] == found[1]["classification"]
    assert found[0]["segmentation"] == found[1]["segmentation"]
