from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from braintumor_ext.metrics import SliceRecord
from studies.comparison.temperatures import temperature_of, with_temperature


def predicted(temperature: float, n: int = 4000, seed: int = 0) -> list[SliceRecord]:
    """Predictions that are right as often as softmax(logits) says, but are given as softmax(logits / temperature)."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(n, 3)) * 2
    honest = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    true = (honest.cumsum(1) > rng.random((n, 1))).argmax(1)
    given = np.exp(logits / temperature)
    given /= given.sum(1, keepdims=True)
    return [SliceRecord(f"{i}.png", None, int(true[i]), tuple(given[i].tolist())) for i in range(n)]


@pytest.mark.parametrize("boldness", [0.5, 2.0])
def test_temperature_undoes_what_made_the_predictions_too_bold_or_too_cautious(boldness: float) -> None:
    assert temperature_of(predicted(boldness)) == pytest.approx(1 / boldness, rel=0.06)


def test_scaled_predictions_are_the_honest_ones_and_keep_all_else() -> None:
    bold, honest = predicted(0.5, n=50), predicted(1.0, n=50)
    scaled = with_temperature(bold, 2.0)
    for before, after, expected in zip(bold, scaled, honest, strict=True):
        assert after.probabilities == pytest.approx(expected.probabilities)
        assert replace(after, probabilities=before.probabilities) == before
    assert with_temperature([], 2.0) == []


def test_probabilities_of_0_and_1_can_be_scaled() -> None:
    certain = SliceRecord("a.png", None, 1, (1.0, 0.0, 0.0))
    validation = [certain, *predicted(1.0, n=200)]
    temperature = temperature_of(validation)
    assert np.isfinite(temperature)
    (scaled,) = with_temperature([certain], temperature)
    assert sum(scaled.probabilities) == pytest.approx(1)
    assert scaled.predicted_class == 0


def test_a_temperature_needs_a_known_class() -> None:
    with pytest.raises(ValueError, match="no slice of known class"):
        temperature_of([SliceRecord("a.png", None, -1, (0.5, 0.5))])
