"""What an evaluation of maps keeps of each slice, all its numbers with intervals, and what they say of each method."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from typing import Any, NamedTuple

import numpy as np

from braintumor_ext.classes import Classes
from braintumor_ext.files import write_csv
from braintumor_ext.metrics.bootstrap import GroupBootstrap
from braintumor_ext.saliency_metrics.baseline_maps import BASELINES
from braintumor_ext.saliency_metrics.randomisation import LIMIT, Similarity

SCORES: tuple[str, ...] = ("pointing", "pointing_tolerant", "energy_share", "iou", "deletion", "insertion")
"""What a map is scored by; the higher the better, but for deletion."""


@dataclass(frozen=True, slots=True)
class ScoredMap:
    """One map of one slice; all values in [0, 1]."""

    pointing: float  # share of the map's maxima in the mask
    pointing_tolerant: float  # the same within the tolerance
    energy_share: float  # share of the map's sum in the mask
    iou: float  # of the mask and the map above its method's threshold
    deletion: float
    insertion: float
    deletion_curve: tuple[float, ...] = ()  # the explained class's probability at each step
    insertion_curve: tuple[float, ...] = ()
    empty: bool = False  # whether the map is 0 everywhere


@dataclass(frozen=True, slots=True)
class ExplainedSlice:
    """One slice and its maps, each of the predicted class."""

    image: str
    group: str | None
    true_class: int
    predicted_class: int  # the class index that is explained
    probability: float
    area_share: float  # share of the slice that the true mask covers
    maps: Mapping[str, ScoredMap]  # the method's or the baseline's name to its map's scores

    @property
    def right(self) -> bool:
        """Whether the prediction is right."""
        return self.true_class == self.predicted_class


def write_slices(slices: Iterable[ExplainedSlice], path: str | PathLike[str], classes: Classes) -> None:
    """Write one CSV row for each slice and map, whole or not at all."""
    columns = ["image", "group", "true_class", "predicted_class", "probability", "right", "map", "area_share"]
    rows: list[list[Any]] = [[*columns, *SCORES, "empty"]]
    for one in slices:
        named = [one.image, one.group or "", classes[one.true_class], classes[one.predicted_class]]
        about = [*named, round(one.probability, 6), int(one.right)]
        for name, scored in one.maps.items():
            values = [round(getattr(scored, score), 6) for score in SCORES]
            rows.append([*about, name, round(one.area_share, 6), *values, int(scored.empty)])
    write_csv(path, rows)


DECIDING: tuple[str, ...] = ("pointing", "energy_share")  # a method that is trusted beats both baselines by these

NAMES: dict[str, str] = {
    "gradcam": "Grad-CAM",
    "gradcam++": "Grad-CAM++",
    "occlusion": "occlusion",
    "smoothgrad": "SmoothGrad",
    "attention": "spatial attention",
    "random": "trivial baseline: smooth noise",
    "centre": "trivial baseline: centre of the head",
}
SCORE_NAMES: dict[str, str] = {"pointing": "pointing", "energy_share": "energy"}


class Threshold(NamedTuple):
    """Where a method's maps are cut for the IoU, and the mean IoU of validation slices there; None without any."""

    value: float
    validation_iou: float | None


@dataclass(frozen=True, slots=True)
class SanityStage:
    """How alike each slice's two maps are, by method, before and after the weights were drawn anew down to a stage."""

    stage: str
    groups: Sequence[str | None]
    alike: Mapping[str, Similarity]


def summarise_maps(
    slices: Sequence[ExplainedSlice],
    sanity: Sequence[SanityStage],
    thresholds: Mapping[str, Threshold],
    classes: Classes,
    n_draws: int = 2000,
    seed: int = 0,
) -> dict[str, Any]:
    """Return all numbers; None is an undefined one.

    Args:
        slices: at least one, all with the same maps.
        sanity: the stages from the head down, all of the same slices; none if the sanity checks were left out.

    Raises:
        ValueError: there is no slice.
    """
    if not slices:
        raise ValueError("no slice was explained: give a split that holds tumour slices with masks.")
    slices = sorted(slices, key=lambda one: one.image)
    bootstrap = GroupBootstrap([one.group for one in slices], n_draws, seed)
    names = list(slices[0].maps)
    values = {n: {s: np.array([getattr(one.maps[n], s) for one in slices]) for s in SCORES} for n in names}
    true, right = np.array([one.true_class for one in slices]), np.array([one.right for one in slices])
    parts = {"all": np.ones(len(slices), dtype=bool), "right": right, "wrong": ~right}
    parts |= {classes[index]: true == index for index in sorted(set(true.tolist()))}
    methods = [name for name in names if name not in BASELINES]
    area = np.array([one.area_share for one in slices])
    result = {
        "class_names": list(classes),
        "methods": methods,
        "trivial_baselines": [name for name in names if name in BASELINES],
        "slices": {"evaluated": len(slices), "groups": bootstrap.n_groups}
        | {n: int(p.sum()) for n, p in parts.items()},
        "bootstrap": bootstrap.stated(),
        "thresholds": {name: threshold._asdict() for name, threshold in thresholds.items()},
        "scores": {
            part: {
                "n": int(chosen.sum()),
                "area_share": bootstrap.mean(np.where(chosen, area, np.nan)),
                "maps": {
                    name: {score: bootstrap.mean(np.where(chosen, values[name][score], np.nan)) for score in SCORES}
                    for name in names
                },
            }
            for part, chosen in parts.items()
        },
        "empty_maps": {name: sum(one.maps[name].empty for one in slices) for name in names},
        "against_baselines": {
            name: {
                baseline: {s: bootstrap.mean(values[name][s] - values[baseline][s]) for s in SCORES}
                for baseline in names
                if baseline in BASELINES
            }
            for name in methods
        },
        "curves": {
            name: {
                kind: np.mean([getattr(one.maps[name], f"{kind}_curve") for one in slices], axis=0).tolist()
                for kind in ("deletion", "insertion")
            }
            for name in names
        },
        "sanity": _sanity(sanity, methods, n_draws, seed),
    }
    result["verdicts"] = {name: _verdict(name, result) for name in methods}
    return {**result, "reading": _reading(result)}


def _sanity(sanity: Sequence[SanityStage], methods: Sequence[str], n_draws: int, seed: int) -> dict[str, Any]:
    groups = sanity[0].groups if sanity else ()  # the slices are the same at all stages
    bootstrap = GroupBootstrap(groups or [None], n_draws, seed)

    def told(stage: SanityStage, name: str) -> dict[str, Any]:
        alike = stage.alike[name]
        return {"stage": stage.stage, "spearman": bootstrap.mean(alike.spearman), "ssim": bootstrap.mean(alike.ssim)}

    return {
        "limit": LIMIT,
        "n": len(groups),
        "stages": [stage.stage for stage in sanity],
        "methods": {name: [told(stage, name) for stage in sanity] for name in methods},
    }


def _verdict(name: str, result: Mapping[str, Any]) -> dict[str, Any]:
    """Whether a method is trusted: where it points, and whether it knows the weights."""
    lost = [
        {"baseline": baseline, "score": score, **differences[score]}
        for baseline, differences in result["against_baselines"][name].items()
        for score in DECIDING
        if differences[score]["ci95"] is None or differences[score]["ci95"][0] <= 0
    ]
    stages = result["sanity"]["methods"][name]
    last = {kind: stages[-1][kind]["value"] for kind in ("spearman", "ssim")} if stages else {}
    sane = bool(last) and last["ssim"] is not None and all(v is None or v <= LIMIT for v in last.values())
    return {
        "trustworthy": sane and not lost,
        "beats_baselines": not lost,
        "not_beaten": lost,
        "sane": sane if stages else None,
        "after_randomisation": last,
    }


def _reading(result: Mapping[str, Any]) -> list[str]:
    """Plain sentences: which method to trust, and why not the others."""
    trusted = [name for name in result["methods"] if result["verdicts"][name]["trustworthy"]]
    if trusted:
        energy = {n: result["scores"]["all"]["maps"][n]["energy_share"]["value"] for n in trusted}
        best = max(trusted, key=lambda name: energy[name])
        names = [NAMES[name] for name in trusted]
        first = "Trust " + (f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else names[0])
        first += f", of these {NAMES[best]} most (highest share of energy in the mask)." if len(trusted) > 1 else "."
    else:
        first = "Trust none of these methods on this model and these slices."
    lines = [first]
    for name, verdict in result["verdicts"].items():
        trust = "trustworthy" if verdict["trustworthy"] else "not trustworthy"
        about = f"It {_pointing(verdict)}; it {_weights(verdict)}. {_faithfulness(name, result)}"
        lines.append(f"{NAMES[name]}: {trust}. {about}")
    return lines


def _pointing(verdict: Mapping[str, Any]) -> str:
    if verdict["beats_baselines"]:
        return "beats both baselines on pointing and on energy"
    by_baseline: dict[str, list[str]] = {}
    for lost in verdict["not_beaten"]:
        name = NAMES[lost["baseline"]].removeprefix("trivial baseline: ")
        by_baseline.setdefault(name, []).append(SCORE_NAMES[lost["score"]])
    told = [f"the {baseline} on {' and on '.join(scores)}" for baseline, scores in by_baseline.items()]
    return f"does not clearly beat {', nor '.join(told)}"


def _weights(verdict: Mapping[str, Any]) -> str:
    if verdict["sane"] is None:
        return "was not checked against randomised weights"
    values = verdict["after_randomisation"]
    told = ", ".join(
        f"{label} {'undefined' if values[kind] is None else format(values[kind], '.2f')}"
        for kind, label in (("spearman", "Spearman"), ("ssim", "SSIM"))
    )
    if verdict["sane"]:
        return f"changes when all weights are randomised ({told})"
    return f"hardly changes when all weights are randomised ({told}; the limit is {LIMIT})"


def _faithfulness(name: str, result: Mapping[str, Any]) -> str:
    """What deletion and insertion say; it does not decide: both also reward what lies outside of any mask."""
    found = {}
    for score, sign in (("deletion", -1), ("insertion", 1)):
        ends = [differences[score]["ci95"] for differences in result["against_baselines"][name].values()]
        found[score] = all(e is not None and min(sign * e[0], sign * e[1]) > 0 for e in ends)
    if all(found.values()):
        return "What it marks matters to the model: better than both baselines on deletion and insertion."
    if any(found.values()):
        better, worse = sorted(found, key=lambda score: not found[score])
        return f"Better than both baselines on {better}, not clearly on {worse}."
    told = "Neither deletion nor insertion shows that what it marks matters more to the model"
    return f"{told} than the baselines' pixels."
