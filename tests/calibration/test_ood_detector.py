from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from monai.transforms import Compose, EnsureType, RepeatChannel, Resize

from braintumor_ext.calibration import PROBE_KINDS, FeatureDetector, draw_probe
from braintumor_ext.data.phantoms import make_phantoms
from braintumor_ext.explain import ExplainingInferer
from braintumor_ext.networks import BrainTumorNet
from braintumor_ext.transforms import LoadImageSlice, ToUnitGrey

STAGES = (12, 20)


def slices(n: int, seed: int) -> np.ndarray:
    """Features of two stages that vary in three directions, with a little noise."""
    rng, fixed = np.random.default_rng(seed), np.random.default_rng(99)
    ways = fixed.normal(0, 0.5, (3, sum(STAGES)))
    return np.exp(rng.normal(size=(n, 3)) @ ways + rng.normal(0, 0.05, (n, sum(STAGES))) + 1)


@pytest.fixture(scope="module")
def detector() -> FeatureDetector:
    return FeatureDetector.fit(slices(300, 0), slices(200, 1), 0.98, STAGES)


def test_the_score_is_the_formula_written_out(detector):
    features = slices(6, 2) * np.linspace(0.5, 2, sum(STAGES))
    z = np.clip((np.log(features + 0.01) - detector.mean) / detector.scale, -10, 10)
    expected = []
    for row in z:
        shares, start = [], 0
        for stage, size in enumerate(STAGES):
            part, axes = row[start : start + size], detector.directions[:, start : start + size]
            rest = part - sum((part @ axis) * axis for axis in axes)
            shares.append(np.sqrt(np.mean(rest**2)) / detector.reach[stage])
            start += size
        expected.append(max(shares))
    np.testing.assert_allclose(detector.score(features), expected, rtol=1e-9)


def test_mean_scale_and_directions_are_those_of_the_training(detector):
    values = np.log(slices(300, 0) + 0.01)
    np.testing.assert_allclose(detector.mean, values.mean(0), rtol=1e-5)
    np.testing.assert_allclose(detector.scale, values.std(0), rtol=1e-5)
    z = (values - values.mean(0)) / values.std(0)
    leading = np.linalg.eigh(np.cov(z[:, : STAGES[0]].T))[1][:, ::-1][:, :3].T
    # the same plane, whatever the signs: every leading axis lies in the span of the detector's
    found = detector.directions[:, : STAGES[0]]
    np.testing.assert_allclose(np.linalg.norm(leading @ found.T, axis=1), 1, atol=1e-3)


def test_the_threshold_is_the_quantile_of_held_out_slices(detector):
    scores = detector.score(slices(200, 1))
    assert (scores > detector.threshold).sum() == 200 * 0.02 - 1
    assert detector.threshold in scores
    assert detector.is_unusual(slices(500, 5)).mean() < 0.1


def test_what_leaves_the_ways_of_the_training_is_unusual_at_the_same_size(detector):
    ordinary, rng = slices(50, 3), np.random.default_rng(4)
    shuffled = np.stack([rng.permutation(row) for row in ordinary])  # the same values at other channels
    assert detector.is_unusual(shuffled).all()
    assert detector.is_unusual(ordinary).mean() < 0.1


def test_slices_far_out_along_the_trainings_own_ways_are_none(detector):
    fixed = np.random.default_rng(99).normal(0, 0.5, (3, sum(STAGES)))
    far = np.exp(2.5 * fixed[:1] + 1)
    assert not detector.is_unusual(far)[0]


def test_a_dead_channel_cannot_dominate_and_scores_are_never_nan():
    train, held = slices(100, 0), slices(50, 1)
    train[:, 3] = held[:, 3] = 0.0
    detector = FeatureDetector.fit(train, held, 0.98, STAGES)
    ordinary = slices(1, 8)
    ordinary[:, 3] = 0.0
    woken = ordinary.copy()
    woken[:, 3] = 1e9
    change = detector.distances(woken)[0, 0] ** 2 - detector.distances(ordinary)[0, 0] ** 2
    assert change <= 100 / STAGES[0] + 2
    odd = np.array([np.full(32, v) for v in (0.0, 1e30, np.nan, np.inf, -5.0)])
    scores = detector.score(odd)
    assert not np.isnan(scores).any()
    assert detector.is_unusual(odd).all()


def test_all_slices_alike_give_a_detector_too():
    same = np.ones((4, 10))
    detector = FeatureDetector.fit(same, same)
    assert not detector.is_unusual(same).any()
    assert detector.is_unusual(same * 3).all()


def test_it_is_read_back_from_text_as_it_was(detector):
    again = FeatureDetector.from_dict(json.loads(json.dumps(detector.to_dict())))
    np.testing.assert_array_equal(again.score(slices(9, 4)), detector.score(slices(9, 4)))
    assert again.to_dict() == detector.to_dict()


def test_the_networks_detector_is_a_small_file():
    rng = np.random.default_rng(0)
    features = rng.gamma(2, 0.3, (40, 3840))
    detector = FeatureDetector.fit(features[:30], features[30:])
    assert detector.stages == (256, 512, 1024, 2048)
    assert len(json.dumps(detector.to_dict())) < 500_000


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mean": [0.0]}, "do not belong together"),
        ({"threshold": float("nan")}, "not finite"),
        ({"scale": [0.0] * 32}, "above 0"),
        ({"reach": None}, None),
    ],
)
def test_broken_constants_are_refused(detector, change, message):
    with pytest.raises((ValueError, TypeError), match=message):
        FeatureDetector.from_dict({**detector.to_dict(), **change})


def test_what_cannot_be_fitted_or_scored_is_told(detector):
    with pytest.raises(ValueError, match="at least 2 slices"):
        FeatureDetector.fit(np.ones((1, 4)), np.ones((1, 4)))
    with pytest.raises(ValueError, match="quantile"):
        FeatureDetector.fit(slices(5, 0), slices(5, 0), 0.0)
    with pytest.raises(ValueError, match=r"features \(N, 32\) are needed"):
        detector.score(np.ones((2, 31)))
    with pytest.raises(ValueError, match="held-out"):
        detector.refitted(np.zeros((0, 32)))


# --- on the network's own features


SIZE = 64
PREPARE = Compose(
    [LoadImageSlice(), ToUnitGrey(), Resize((SIZE, SIZE)), RepeatChannel(3), EnsureType(track_meta=False)]
)


@pytest.fixture(scope="module")
def features_of():
    """Features of pictures by the real architecture with random weights; its running statistics are the phantoms'."""
    torch.manual_seed(0)
    network = BrainTumorNet()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None  # the mean over what it sees

    def features(pictures, settle: bool = False) -> np.ndarray:
        network.train(settle)
        batch = torch.stack([PREPARE(picture) for picture in pictures]) / 0.25 - 2
        with torch.no_grad():
            found = [ExplainingInferer(explain="none")(part, network)["features"] for part in batch.split(16)]
        return torch.cat(found).numpy()

    return features


def test_noise_patterns_blanks_and_scenes_are_told_from_drawn_heads(features_of, tmp_path):
    heads = sorted((make_phantoms(tmp_path / "p", 20, 3, SIZE, 0, progress=False) / "Training").rglob("*.png"))
    heads = [heads[i] for i in np.random.default_rng(0).permutation(len(heads))]
    train, held, fresh = heads[:24], heads[24:46], heads[46:]
    features_of(train, settle=True)
    detector = FeatureDetector.fit(features_of(train), features_of(held))
    assert detector.is_unusual(features_of(fresh)).mean() <= 0.25
    found = {
        kind: detector.is_unusual(features_of([draw_probe(kind, k, SIZE) for k in range(2)])).mean()
        for kind in PROBE_KINDS
    }
    assert {kind: share for kind, share in found.items() if share < 1} == {}


@pytest.mark.real_data
def test_real_slices_raise_few_alarms_and_noise_does(features_of, brain_tumor_mri):
    images = sorted((brain_tumor_mri / "Training").rglob("*.jpg"))
    images = [images[i] for i in np.random.default_rng(0).permutation(len(images))[:105]]
    features_of(images[:24], settle=True)
    detector = FeatureDetector.fit(features_of(images[:45]), features_of(images[45:75]))
    assert detector.is_unusual(features_of(images[75:])).mean() <= 0.1
    for kind in ("uniform noise", "checkerboard", "blank", "text page"):
        assert detector.is_unusual(features_of([draw_probe(kind, k, SIZE) for k in range(2)])).all(), kind
