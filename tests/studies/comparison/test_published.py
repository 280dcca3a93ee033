"""What the published figures can be, against counting everything out."""

from __future__ import annotations

from decimal import ROUND_HALF_DOWN, ROUND_HALF_UP, Decimal

import numpy as np
import pytest

from braintumor_ext.metrics.classification import confusion_matrix, rates
from studies.comparison.models import TITLES
from studies.comparison.published import (
    PUBLISHED,
    PUBLISHED_OVERALL_FROM_CLASSES,
    PUBLISHED_SPLIT,
    is_possible_share,
    nearest_shares,
    overall_from_one_versus_rest,
    possible_sizes,
)

TEST_SLICES = PUBLISHED_SPLIT["test"]


def all_shares(n: int, decimals: int) -> set[Decimal]:
    """Every percentage that a count out of n can be rounded to."""
    step = Decimal(1).scaleb(-decimals)
    exact = [Decimal(100 * k) / Decimal(n) for k in range(n + 1)]
    return {share.quantize(step, way) for share in exact for way in (ROUND_HALF_UP, ROUND_HALF_DOWN)}


@pytest.mark.parametrize(("n", "decimals"), [(1, 2), (3, 2), (7, 0), (16, 1), (80, 1), (430, 2), (431, 2), (20000, 2)])
def test_a_share_is_possible_when_some_count_rounds_to_it(n: int, decimals: int) -> None:
    possible = all_shares(n, decimals)
    scale = 10**decimals
    tried = {  # around both ends and around the published figures
        v for centre in (0, 87, 92, 100) for v in range((centre - 1) * scale, (centre + 1) * scale + 1)
    }
    for value in sorted(tried):
        percent = Decimal(value).scaleb(-decimals)
        assert is_possible_share(float(percent), n, decimals) == (percent in possible), percent


@pytest.mark.parametrize("figures", PUBLISHED.values(), ids=PUBLISHED)
def test_no_published_accuracy_is_a_share_of_the_published_test_set(figures) -> None:
    assert Decimal(str(figures.accuracy)) not in all_shares(TEST_SLICES, 2)
    assert not is_possible_share(figures.accuracy, TEST_SLICES)
    (below, lower), (above, upper) = nearest_shares(figures.accuracy, TEST_SLICES)
    assert above == below + 1
    assert lower < figures.accuracy - 0.005 < figures.accuracy + 0.005 < upper
    assert (round(lower, 2), round(upper, 2)) == (round(below / 4.3, 2), round(above / 4.3, 2))


def test_the_sizes_near_430_at_which_the_figures_were_possible() -> None:
    sizes = {name: possible_sizes(figures.accuracy, range(400, 461)) for name, figures in PUBLISHED.items()}
    assert sizes == {
        "ours": [410, 437, 451],
        "resnet50": [417, 436, 455],
        "vgg16": [415, 423],
        "unet": [],
        "efficientnet_b0": [406, 415, 424],
    }
    shares = {n: all_shares(n, 2) for n in range(400, 461)}
    for name, figures in PUBLISHED.items():
        assert [n for n in shares if Decimal(str(figures.accuracy)) in shares[n]] == sizes[name]


def test_no_test_set_of_less_than_a_thousand_slices_fits_all_five() -> None:
    assert [n for n in range(1, 1001) if all(is_possible_share(f.accuracy, n) for f in PUBLISHED.values())] == []


def test_means_over_runs_fit_from_these_numbers_of_runs_on() -> None:
    fewest = {
        name: next(runs for runs in range(1, 100) if is_possible_share(figures.accuracy, TEST_SLICES * runs))
        for name, figures in PUBLISHED.items()
    }
    assert fewest == {"ours": 11, "resnet50": 8, "vgg16": 10, "unet": 5, "efficientnet_b0": 8}


@pytest.mark.parametrize("classes", [2, 3, 4, 7])
def test_overall_accuracy_follows_from_the_classes_one_versus_rest(classes: int) -> None:
    rng = np.random.default_rng(classes)
    true, predicted = rng.integers(0, classes, (2, 97))
    each = [float(np.mean((true == c) == (predicted == c))) for c in range(classes)]
    assert overall_from_one_versus_rest(each) == pytest.approx(float(np.mean(true == predicted)))


def test_the_implied_overall_accuracy_is_what_classes_of_the_published_accuracy_on_average_give() -> None:
    implied = 100 * overall_from_one_versus_rest([PUBLISHED["ours"].accuracy / 100] * 4)
    assert round(implied, 1) == PUBLISHED_OVERALL_FROM_CLASSES


def test_recall_weighted_by_support_is_the_accuracy_and_the_published_one_is_not() -> None:
    rng = np.random.default_rng(5)
    true, predicted = rng.integers(0, 4, (2, 97))
    counts = confusion_matrix(true, predicted, 4)
    weighted = float(np.average(rates(counts)["recall"], weights=counts.sum(1)))
    assert weighted == pytest.approx(float(np.mean(true == predicted)))
    ours = PUBLISHED["ours"]
    assert ours.recall is not None
    assert abs(ours.accuracy - ours.recall) > 0.01


def test_published_figures_go_by_the_names_of_the_models() -> None:
    assert set(PUBLISHED) <= set(TITLES)
    assert sum(PUBLISHED_SPLIT.values()) == 2870
