from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import sklearn.metrics

from braintumor_ext.classes import Classes
from braintumor_ext.errors import InputError
from braintumor_ext.metrics import SliceRecord, summarise_evaluation
from studies.comparison.model_runs import ModelRuns, Run, paired_records
from studies.comparison.paired import mcnemar_exact
from studies.comparison.summary import BOOTSTRAP_TEST, MCNEMAR_TEST, summarise_protocol
from studies.comparison.temperatures import temperature_of, with_temperature

CLASSES = Classes(("glioma", "meningioma", "no_tumor"), empty="no_tumor")
DRAWS = 40
UNDEFINED = {"value": None, "ci95": None}


def predictions(images: range, skill: float, seed: int, masks: bool = True) -> list[SliceRecord]:
    """A model's predictions: what is true of an image hangs on its number, what is predicted also on skill and seed."""
    records = []
    for number in images:
        truth, rng = np.random.default_rng(number), np.random.default_rng([number, seed])
        true = int(truth.integers(3))
        group = None if number % 5 == 0 else f"patient {number // 3}"
        logits = rng.normal(size=3) + skill * np.eye(3)[true]
        shares = np.exp(2 * logits) / np.exp(2 * logits).sum()  # too bold
        record = SliceRecord(f"{number:03}.png", group, true, tuple(shares.tolist()), mask_predicted=masks)
        if masks and true < 2 and number % 4:
            dice = float(rng.random() * skill / 4)
            record = replace(record, mask_known=True, true_area_px=9, pred_area_px=5, dice=dice, iou=dice / 2)
        elif masks and true == 2:  # a false alarm: its Dice of 0 is no tumour's
            record = replace(record, mask_known=True, pred_area_px=2, dice=0.0, iou=0.0)
        records.append(record)
    return records


def network(model: str, skill: float, seed: int, folds: int = 3, of: int = 3, masks: bool = True) -> ModelRuns:
    runs = [
        Run(
            f"grouped-seed0-fold{fold}",
            0,
            fold,
            predictions(range(30 * fold, 30 * (fold + 1)), skill, seed, masks),
            predictions(range(200, 260), skill, seed + fold, masks),
            {"parameters": 1000, "epochs": 10 + fold, "seconds_per_epoch": 2.0},
            "CPU" if fold else "GPU",
        )
        for fold in range(folds)
    ]
    return ModelRuns(model, model.upper(), "network", of, runs)


def baseline(images: range = range(90)) -> ModelRuns:
    records = [
        replace(r, probabilities=tuple(np.eye(3)[r.predicted_class].tolist()))
        for r in predictions(images, 1.0, 9, False)
    ]
    return ModelRuns(
        "nearest_neighbour", "trivial baseline", "trivial baseline", 1, [Run("grouped-seed0-fold0", 0, 0, records)]
    )


def summarise(models: list[ModelRuns], name: str = "grouped", n_draws: int = DRAWS) -> dict:
    return summarise_protocol(name, models, CLASSES, n_draws)


def differences(result: dict, **wanted: str) -> list[dict]:
    return [found for found in result["differences"] if all(found[key] == value for key, value in wanted.items())]


OURS, OTHER, WORSE = network("ours", 3.0, 1), network("other", 2.6, 2), network("worse", 0.5, 3)


@pytest.fixture(scope="module")
def grouped() -> dict:
    return summarise([OURS, OTHER, WORSE, network("later", 1.0, 4, folds=0), baseline()])


def test_rows_are_in_the_given_order_and_say_what_was_run(grouped: dict) -> None:
    rows = grouped["rows"]
    assert [row["model"] for row in rows] == ["ours", "other", "worse", "later", "nearest_neighbour"]
    assert [row["title"] for row in rows][:2] == ["OURS", "OTHER"]
    assert [row["status"] for row in rows] == ["done", "done", "done", "not run", "done"]
    assert [(row["runs"], row["of"]) for row in rows] == [(3, 3), (3, 3), (3, 3), (0, 3), (1, 1)]
    assert network("ours", 1.0, 1, folds=2).status == "partial"


def test_a_model_that_was_not_run_has_no_numbers_and_no_differences(grouped: dict) -> None:
    later = grouped["rows"][3]
    for key in ("summary", "after_temperature", "spread", "group_weighted", "cost"):
        assert later[key] is None
    assert not differences(grouped, b="later")


def test_json_holds_the_summary(grouped: dict) -> None:
    assert json.loads(json.dumps(grouped, allow_nan=False)) == grouped


def test_pooled_folds_are_one_evaluation_of_all_slices(grouped: dict) -> None:
    whole = predictions(range(90), 3.0, 1)
    found = grouped["rows"][0]["summary"]
    assert found["slices"]["total"] == 90
    expected = summarise_evaluation(whole, CLASSES, DRAWS)
    assert found == expected


def test_slices_and_groups_are_counted_once(grouped: dict) -> None:
    groups = {f"patient {number // 3}" if number % 5 else f"image {number}" for number in range(90)}
    assert (grouped["slices"], grouped["groups"]) == (90, len(groups))


def test_spread_is_over_the_runs_each_scored_by_itself(grouped: dict) -> None:
    accuracy, f1, dice = [], [], []
    for run in OURS.runs:
        true, predicted = [r.true_class for r in run.records], [int(np.argmax(r.probabilities)) for r in run.records]
        accuracy.append(sklearn.metrics.accuracy_score(true, predicted))
        f1.append(sklearn.metrics.f1_score(true, predicted, average="macro"))
        dice.append(np.mean([r.dice for r in run.records if r.true_area_px > 0]))
    for name, values in {"accuracy": accuracy, "macro_f1": f1, "dice": dice}.items():
        found = grouped["rows"][0]["spread"][name]
        assert found["values"] == pytest.approx(values)
        assert found["mean"] == pytest.approx(sum(values) / 3)
        assert found["sd"] == pytest.approx((sum((v - sum(values) / 3) ** 2 for v in values) / 2) ** 0.5)
    alone = summarise([network("ours", 3.0, 1, folds=1)])["rows"][0]["spread"]
    assert alone["accuracy"] == {"mean": accuracy[0], "sd": None, "values": [accuracy[0]]}


def test_group_weighted_rates_are_means_of_the_groups_means(grouped: dict) -> None:
    right: dict[str, list[float]] = {}
    for record in predictions(range(90), 3.0, 1):
        right.setdefault(record.group or record.image, []).append(record.predicted_class == record.true_class)
    found = grouped["rows"][0]["group_weighted"]
    assert found["accuracy"]["value"] == pytest.approx(np.mean([np.mean(values) for values in right.values()]))
    assert found["dice"]["ci95"][0] < found["dice"]["value"] < found["dice"]["ci95"][1]


def test_cost_is_the_mean_over_runs(grouped: dict) -> None:
    assert grouped["rows"][0]["cost"] == {
        "parameters": 1000,
        "epochs": 11,
        "seconds_per_epoch": 2,
        "milliseconds_per_image": None,
        "hardware": ["CPU", "GPU"],
    }
    assert grouped["rows"][4]["cost"] is None


def test_each_run_is_scaled_by_the_temperature_of_its_own_validation(grouped: dict) -> None:
    temperatures = [temperature_of(run.validation_records or ()) for run in OURS.runs]
    assert len(set(temperatures)) == 3
    scaled = [r for run, t in zip(OURS.runs, temperatures, strict=True) for r in with_temperature(run.records, t)]
    expected = summarise_evaluation(scaled, CLASSES, DRAWS)["calibration"]
    found = grouped["rows"][0]["after_temperature"]
    assert found["temperatures"] == temperatures
    for name in ("ece", "nll", "brier"):
        assert found[name] == {"value": pytest.approx(expected[name]["value"]), "ci95": found[name]["ci95"]}
        assert found[name]["ci95"] == pytest.approx(expected[name]["ci95"])
    assert found["nll"]["value"] < grouped["rows"][0]["summary"]["calibration"]["nll"]["value"]


def test_without_validation_predictions_in_every_run_there_is_no_temperature() -> None:
    runs = [OURS.runs[0], replace(OURS.runs[1], validation_records=None)]
    assert summarise([replace(OURS, runs=runs)])["rows"][0]["after_temperature"] is None


def test_a_baseline_has_rates_but_no_areas_calibration_and_masks(grouped: dict) -> None:
    row = grouped["rows"][4]
    summary = row["summary"]
    assert summary["classification"]["accuracy"]["ci95"] is not None
    assert summary["classification"]["macro_roc_auc"] == UNDEFINED
    assert all(values["roc_auc"] == UNDEFINED and values["f1"]["value"] for values in summary["per_class"].values())
    assert all(summary["calibration"][name] == UNDEFINED for name in ("ece", "nll", "brier"))
    assert summary["segmentation"]["tumour_slices"]["dice"]["value"] is None
    assert summary["segmentation"]["no_tumour_slices"]["raw"]["value"] is None
    assert row["after_temperature"] is None
    assert row["spread"]["dice"]["mean"] is None
    assert row["group_weighted"]["dice"] == UNDEFINED
    assert grouped["rows"][0]["summary"]["classification"]["macro_roc_auc"]["value"] is not None


# differences


def test_differences_are_of_ours_to_each_other_network(grouped: dict) -> None:
    assert [(found["a"], found["b"], found["metric"]) for found in grouped["differences"]] == [
        ("ours", other, metric) for other in ("other", "worse") for metric in ("accuracy", "macro_f1", "dice")
    ]
    assert {found["test"] for found in grouped["differences"]} == {BOOTSTRAP_TEST}
    values = [row["summary"]["classification"]["accuracy"]["value"] for row in grouped["rows"][:3]]
    for other, value in zip(("other", "worse"), values[1:], strict=True):
        (found,) = differences(grouped, b=other, metric="accuracy")
        assert (found["n"], found["difference"]) == (90, pytest.approx(values[0] - value))
    assert differences(grouped, b="worse", metric="macro_f1")[0]["ci95"][0] > 0


def test_holm_is_over_the_comparisons_of_one_metric(grouped: dict) -> None:
    for metric in ("accuracy", "macro_f1", "dice"):
        p, adjusted = zip(*((f["p"], f["p_holm"]) for f in differences(grouped, metric=metric)), strict=True)
        assert min(adjusted) == pytest.approx(min(1, 2 * min(p)))
        assert max(adjusted) == pytest.approx(max(min(1, 2 * min(p)), max(p)))


def test_differences_are_on_the_slices_that_both_predicted_only() -> None:
    two_folds = replace(OTHER, runs=[OTHER.runs[2], OTHER.runs[0]])
    fewer = [replace(two_folds.runs[0], records=two_folds.runs[0].records[5:]), two_folds.runs[1]]
    (found,) = differences(summarise([OURS, replace(OTHER, runs=fewer)]), metric="accuracy")
    assert (found["n"], found["splits"]) == (55, ["grouped-seed0-fold0", "grouped-seed0-fold2"])
    predicted = {record.image for run in fewer for record in run.records}
    right = [
        np.mean([r.predicted_class == r.true_class for run in runs for r in run.records if r.image in predicted])
        for runs in (OURS.runs, fewer)
    ]
    assert found["difference"] == pytest.approx(right[0] - right[1])


def test_a_model_without_masks_has_no_difference_in_dice() -> None:
    result = summarise([OURS, network("class_only", 2.0, 5, masks=False)])
    assert [found["metric"] for found in result["differences"]] == ["accuracy", "macro_f1"]
    assert result["rows"][1]["spread"]["dice"] == {"mean": None, "sd": None, "values": [None] * 3}


def test_a_model_does_not_differ_from_itself() -> None:
    for found in summarise([OURS, replace(OURS, model="again")])["differences"]:
        assert (found["difference"], found["ci95"], found["p"], found["p_holm"]) == (0, [0, 0], 1, 1)


def test_models_without_a_common_split_have_no_differences() -> None:
    elsewhere = [replace(run, split=f"other-{run.fold}") for run in OTHER.runs]
    assert summarise([OURS, replace(OTHER, runs=elsewhere)])["differences"] == []
    assert summarise([replace(OURS, runs=[]), OTHER, WORSE])["differences"] == []
    assert summarise([baseline()])["differences"] == []


def test_models_that_do_not_agree_on_what_is_true_are_not_compared() -> None:
    run = OTHER.runs[0]
    wrong = [replace(run.records[0], true_class=(run.records[0].true_class + 1) % 3), *run.records[1:]]
    with pytest.raises(InputError, match=r"000\.png"):
        paired_records(OURS, replace(OTHER, runs=[replace(run, records=wrong)]))


# several seeds test the same images


def seeds(model: str, skill: float, count: int = 2) -> ModelRuns:
    """Random splits whose test sets overlap: 0 to 59 and 30 to 89."""
    runs = [
        Run(f"random-seed{s}", s, None, predictions(range(30 * s, 30 * s + 60), skill, 10 * s + round(10 * skill)))
        for s in range(count)
    ]
    return ModelRuns(model, model, "network", count, runs)


def test_images_of_several_test_sets_are_pooled_as_often_as_they_were_predicted() -> None:
    models = [seeds("ours", 3.0), seeds("other", 1.0)]
    result = summarise(models, "random")
    assert result["slices"] == 90
    summary = result["rows"][0]["summary"]
    assert summary["slices"]["total"] == 120
    assert summary["slices"]["groups"] == result["groups"]  # an image without a group is one group, not one a seed
    (found,) = differences(result, metric="macro_f1")
    assert found["n"] == 120
    pairs = paired_records(*models)
    true = [a.true_class for a, _ in pairs]
    f1 = [
        sklearn.metrics.f1_score(true, [pair[side].predicted_class for pair in pairs], average="macro")
        for side in (0, 1)
    ]
    assert found["difference"] == pytest.approx(f1[0] - f1[1])


def test_intervals_do_not_depend_on_the_order_of_the_slices() -> None:
    models = [seeds("ours", 3.0), seeds("other", 1.0)]
    turned = [replace(m, runs=[replace(run, records=run.records[::-1]) for run in m.runs]) for m in models]
    first, second = summarise(models, "random"), summarise(turned, "random")
    assert first["differences"] == second["differences"]
    for key in ("summary", "group_weighted"):
        assert [row[key] for row in first["rows"]] == [row[key] for row in second["rows"]]


def test_mcnemar_is_for_the_random_protocol_and_of_its_first_common_split() -> None:
    ours, other = seeds("ours", 3.0), seeds("other", 1.0)
    (found,) = differences(summarise([ours, other], "random"), test=MCNEMAR_TEST)
    right = [
        np.array([r.predicted_class == r.true_class for r in model.runs[0].records], dtype=bool)
        for model in (ours, other)
    ]
    assert (found["metric"], found["n"], found["splits"]) == ("accuracy", 60, ["random-seed0"])
    assert found["p"] == found["p_holm"] == pytest.approx(mcnemar_exact(*right))
    assert found["difference"] == pytest.approx(right[0].mean() - right[1].mean())
    assert found["ci95"][0] <= found["difference"] <= found["ci95"][1]
    later = summarise([ours, replace(other, runs=other.runs[1:])], "random")
    assert differences(later, test=MCNEMAR_TEST)[0]["splits"] == ["random-seed1"]
    assert len(differences(later, metric="accuracy", test=BOOTSTRAP_TEST)) == 1


def test_slices_of_unknown_class_count_for_masks_alone() -> None:
    runs = [replace(run, records=[replace(r, true_class=-1) for r in run.records]) for run in OURS.runs]
    unknown = replace(OURS, runs=runs)
    result = summarise([unknown, replace(unknown, model="again")], "random")
    assert [found["metric"] for found in result["differences"]] == ["dice"]
    row = result["rows"][0]
    assert row["group_weighted"]["accuracy"] == UNDEFINED
    assert row["spread"]["accuracy"]["mean"] is None
    assert row["spread"]["dice"]["mean"] is not None
