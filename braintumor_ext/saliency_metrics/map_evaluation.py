"""The evaluation of heat maps on a split: every method beside two baselines, and sanity checks."""

from __future__ import annotations

import logging
import os
import random
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from monai.networks.utils import eval_mode
from torch import Tensor, nn
from tqdm import tqdm

from braintumor_ext.classes import CLASSES, Classes
from braintumor_ext.data.datalist import shown_name, true_mask
from braintumor_ext.data.sampling import spread
from braintumor_ext.engines.prepare_batch import prepare_slices
from braintumor_ext.engines.provenance import provenance
from braintumor_ext.errors import InputError
from braintumor_ext.explain.explainer import METHODS, Explainer
from braintumor_ext.explain.layers import DEFAULT_LAYER, find_layer
from braintumor_ext.inference.postprocessor import class_probabilities, heat_map_on_grid
from braintumor_ext.keys import CLASS, GROUP, IMAGE, LABEL, UNKNOWN
from braintumor_ext.networks import ClassView
from braintumor_ext.saliency_metrics.baseline_maps import BASELINES, centre_maps, random_maps
from braintumor_ext.saliency_metrics.deletion_insertion import STEPS, deletion_insertion
from braintumor_ext.saliency_metrics.map_report import write_map_evaluation
from braintumor_ext.saliency_metrics.map_scores import TOLERANCE, best_threshold, ious, score_map
from braintumor_ext.saliency_metrics.map_summary import ExplainedSlice, SanityStage, ScoredMap, Threshold
from braintumor_ext.saliency_metrics.randomisation import cascade, similarity

logger = logging.getLogger(__name__)

EVALUATED: tuple[str, ...] = ("gradcam", "gradcam++", "occlusion", "smoothgrad")
"""The methods that explain a class; the attention's own gate does not, but can be evaluated too."""

NO_VALIDATION = Threshold(0.5, None)  # where no validation slice could choose a threshold


def checked_methods(methods: Sequence[str] | str) -> list[str]:
    """Return the names of methods, each once.

    Raises:
        InputError: there is none, or no such method; valid ones are listed.
    """
    names = methods.split(",") if isinstance(methods, str) else list(methods)
    names = list(dict.fromkeys(str(name).strip().lower() for name in names))
    unknown = [name for name in names if name not in METHODS]
    if unknown or not names:
        problem = f"there is no method {', '.join(map(repr, unknown))}" if unknown else "no method is given"
        raise InputError("--methods", problem, f"Valid are {', '.join(METHODS)}")
    return names


class MapResults(NamedTuple):
    """What an evaluation of maps found: slices, sanity stages from the head down, IoU thresholds, settings."""

    slices: list[ExplainedSlice]
    sanity: list[SanityStage]
    thresholds: dict[str, Threshold]
    settings: dict[str, Any]


@dataclass(eq=False, repr=False)
class MapEvaluation:
    """Explain a split's tumour slices by each method, score the maps, check their sanity and write the report.

    Only slices with a known class of tumour and a mask that is not empty. What is explained is the predicted class,
    right or wrong. Each map is scored in the slice's own grid; perturbed slices are predicted in the network's.
    """

    network: nn.Module  # gives ``{"class": (B, K), ...}`` logits
    data: Sequence[Mapping[str, Any]]
    validation_data: Sequence[Mapping[str, Any]]  # items that choose each method's IoU threshold; without any it is 0.5
    # from an item to one with ``image`` (C, H, W) as the network takes it
    preprocessing: Callable[[Mapping[str, Any]], Mapping[str, Any]]
    output_dir: str | os.PathLike[str]
    methods: Sequence[str] | str = EVALUATED
    # the layer for Grad-CAM, Grad-CAM++ and attention; its grid is also the random baseline's
    layer: str = DEFAULT_LAYER
    classes: Classes = CLASSES
    dataset_dir: str | os.PathLike[str] | None = None  # the prepared data set; images are shown relative to it
    device: str | torch.device = "cpu"
    max_slices: int | None = 0  # how many slices of the split, spread over classes and groups; 0 or None for all
    max_validation_slices: int | None = 100  # how many validation slices; 0 or None for all
    max_sanity_slices: int | None = 48  # how many of the evaluated slices the sanity checks use; 0 or None for all
    batch_size: int = 16
    tolerance: float = TOLERANCE  # of the pointing game, in pixels of the slice's own grid
    steps: int = STEPS
    title: str = ""
    context: Mapping[str, Any] | None = None
    n_draws: int = 2000
    seed: int = 0  # of the choice of slices, the random baseline, the randomisation and the bootstrap

    def __post_init__(self) -> None:
        self.methods = checked_methods(self.methods)

    def run(self) -> dict[str, Any]:
        """Evaluate, write the files and return what ``explanations.json`` holds; errors are those of ``evaluate``."""
        results = self.evaluate()
        summary = write_map_evaluation(
            *results,
            self.output_dir,
            self.classes,
            title=self.title,
            context=provenance(self.context or {}),
            n_draws=self.n_draws,
            seed=self.seed,
        )
        logger.info("Maps of %d slices evaluated: %s/explanations.md", len(results.slices), self.output_dir)
        for line in summary["reading"]:
            logger.info("%s", line)
        return summary

    def evaluate(self) -> MapResults:
        """Explain and score the slices; write nothing.

        Raises:
            InputError: the split has no slice to explain, or a file can't be read.
            ValueError: the network has no such layer, or its weights can't all be drawn anew.
        """
        items = tumour_slices(self.data, self.classes, self.max_slices, self.seed)
        if not items:
            problem = "none of the split's slices has a known class of tumour and a mask that is not empty"
            remedy = "Give another --split, or prepare the data with --masks"
            raise InputError(self.dataset_dir or "the split", problem, remedy)
        validation = tumour_slices(self.validation_data, self.classes, self.max_validation_slices, self.seed)
        checked = sorted(spread_order(items, self.seed)[: self.max_sanity_slices or None])
        with eval_mode(self.network):
            thresholds = self._thresholds(validation)
            slices, kept = self._scored(items, thresholds, checked)
            sanity = self._sanity([items[i] for i in checked], [slices[i].predicted_class for i in checked], kept)
        shared = {shown_name(item) for item in validation} & {shown_name(item) for item in items}
        settings = {
            "layer": self.layer,
            "tolerance_px": self.tolerance,
            "steps": self.steps,
            "validation_slices": len(validation),
            "validation_slices_scored_too": len(shared),
            "seed": self.seed,
        }
        return MapResults(slices, sanity, thresholds, settings)

    def _thresholds(self, items: Sequence[Mapping[str, Any]]) -> dict[str, Threshold]:
        """Each map's IoU threshold, the best on validation slices."""
        found: dict[str, list[list[float]]] = {name: [] for name in (*self.methods, *BASELINES)}
        for x, part, bar in self._batches(items, "Thresholds on validation"):
            classes = self._probabilities(x).argmax(1)
            masks = [mask for item in part if (mask := true_mask(item)) is not None]
            for name, maps in self._maps(x, part, classes):
                found[name] += [ious(heat_map_on_grid(maps, i, *mask.shape), mask) for i, mask in enumerate(masks)]
                bar.update(len(part))
        return {
            name: Threshold(*best_threshold(np.array(values))) if values else NO_VALIDATION
            for name, values in found.items()
        }

    def _scored(
        self, items: Sequence[Mapping[str, Any]], thresholds: Mapping[str, Threshold], keep: Sequence[int]
    ) -> tuple[list[ExplainedSlice], dict[str, Tensor]]:
        """Score each slice; also give the maps of a few, each method's as (N, 1, H, W), for the sanity checks."""
        classifier = ClassView(self.network)
        slices: list[ExplainedSlice] = []
        wanted = set(keep)
        kept: dict[str, list[Tensor]] = {name: [] for name in self.methods}
        for x, part, bar in self._batches(items, "Maps of the split"):
            shares = self._probabilities(x)
            classes = shares.argmax(1)
            masks = [mask for item in part if (mask := true_mask(item)) is not None]
            scored: list[dict[str, ScoredMap]] = [{} for _ in part]
            for name, maps in self._maps(x, part, classes):
                curves = deletion_insertion(
                    classifier, x, maps, classes.to(x.device), self.steps, self.batch_size, self.seed
                )
                if name in kept:
                    kept[name] += [maps[i].cpu() for i in range(len(part)) if len(slices) + i in wanted]
                for i, mask in enumerate(masks):
                    heat = heat_map_on_grid(maps, i, *mask.shape)
                    scored[i][name] = ScoredMap(
                        *score_map(heat, mask, thresholds[name].value, self.tolerance),
                        deletion=float(curves.deletion_area[i]),
                        insertion=float(curves.insertion_area[i]),
                        deletion_curve=tuple(curves.deletion[i].tolist()),
                        insertion_curve=tuple(curves.insertion[i].tolist()),
                        empty=not bool(maps[i].any()),
                    )
                bar.update(len(part))
            slices += [
                ExplainedSlice(
                    shown_name(item, self.dataset_dir),
                    item.get(GROUP),
                    int(item[CLASS]),
                    int(classes[i]),
                    float(shares[i].max()),
                    float(masks[i].mean()),
                    scored[i],
                )
                for i, item in enumerate(part)
            ]
        return slices, {name: torch.stack(maps) for name, maps in kept.items()}

    def _sanity(
        self, items: Sequence[Mapping[str, Any]], classes: Sequence[int], before: Mapping[str, Tensor]
    ) -> list[SanityStage]:
        """How alike each method's maps are before and after each stage of a cascading randomisation."""
        groups = [item.get(GROUP) for item in items]
        stages = []
        for stage, changed in cascade(self.network, self.seed):
            after: dict[str, list[Tensor]] = {name: [] for name in self.methods}
            explainers, done = self._explainers(changed), 0
            for x, part, bar in self._batches(items, f"Sanity: randomised down to {stage}", self.methods):
                for name, explainer in explainers.items():
                    after[name].append(explainer(x, classes[done : done + len(part)]).maps.cpu())
                    bar.update(len(part))
                done += len(part)
            alike = {name: similarity(before[name], torch.cat(after[name])) for name in self.methods}
            stages.append(SanityStage(stage, groups, alike))
        return stages

    def _batches(
        self, items: Sequence[Mapping[str, Any]], what: str, names: Sequence[str] | None = None
    ) -> Iterator[tuple[Tensor, Sequence[Mapping[str, Any]], tqdm]]:
        """Yield images (B, C, H, W) on the device, their items, and a progress bar that counts maps."""
        names = [*self.methods, *BASELINES] if names is None else names
        with tqdm(total=len(items) * len(names), desc=what, unit="map", disable=not items) as bar:
            for start in range(0, len(items), self.batch_size):
                part = items[start : start + self.batch_size]
                images = [torch.as_tensor(self.preprocessing(dict(item))[IMAGE]) for item in part]
                yield prepare_slices({IMAGE: torch.stack(images)}, self.device)[0], part, bar

    def _probabilities(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            return class_probabilities({CLASS: ClassView(self.network)(x)})

    def _explainers(self, network: nn.Module) -> dict[str, Explainer]:
        return {
            name: Explainer(network, name, self.layer, classes=self.classes, n_batch=self.batch_size)
            for name in self.methods
        }

    def _maps(self, x: Tensor, items: Sequence[Mapping[str, Any]], classes: Tensor) -> Iterator[tuple[str, Tensor]]:
        """Yield each method's and each baseline's maps (B, 1, H, W), one after the other: slow ones show progress."""
        for name, explainer in self._explainers(self.network).items():
            yield name, explainer(x, classes.to(x.device)).maps
        named = (f"{self.seed} {shown_name(item, self.dataset_dir)}" for item in items)
        seeds = [zlib.crc32(name.encode(errors="surrogateescape")) for name in named]
        yield BASELINES[0], random_maps(seeds, (x.shape[2], x.shape[3]), self._grid(x)).to(x.device)
        yield BASELINES[1], centre_maps(x)

    def _grid(self, x: Tensor) -> tuple[int, int]:
        """Rows and columns of the layer's activations."""
        shapes: list[torch.Size] = []
        layer = find_layer(self.network, self.layer)
        with layer.register_forward_hook(lambda module, inputs, output: shapes.append(output.shape)):
            self._probabilities(x[:1])
        return shapes[-1][-2], shapes[-1][-1]


Item = Mapping[str, Any]


def spread_order(items: Sequence[Item], seed: int = 0) -> list[int]:
    """Return the items' positions in an order whose every beginning is spread over classes, then over groups."""
    draw = random.Random(seed)
    by_class: dict[Any, dict[Any, list[int]]] = defaultdict(lambda: defaultdict(list))
    for position, item in enumerate(items):
        by_class[item.get(CLASS)][item.get(GROUP, ("alone", position))].append(position)
    order: list[int] = []
    for _, groups in sorted(by_class.items(), key=lambda entry: str(entry[0])):
        members = list(groups.values())
        draw.shuffle(members)
        for slices in members:
            draw.shuffle(slices)
            order += slices
    return spread(order, [item.get(GROUP) for item in items], [item.get(CLASS) for item in items])


def tumour_slices(
    items: Sequence[Item], classes: Classes, max_slices: int | None = None, seed: int = 0
) -> list[dict[str, Any]]:
    """Return the items with a known class of tumour and a mask that is not empty, in their own order.

    Args:
        max_slices: how many, spread over classes and groups; 0 or None for all.
    """
    known = [
        position
        for position, item in enumerate(items)
        if item.get(LABEL) is not None and item.get(CLASS, UNKNOWN) not in (None, UNKNOWN, classes.empty_index)
    ]
    chosen: list[int] = []
    for index in spread_order([items[position] for position in known], seed):
        if max_slices and len(chosen) == int(max_slices):
            break
        mask = true_mask(items[known[index]])
        if mask is not None and mask.any():
            chosen.append(known[index])
    return [dict(items[position]) for position in sorted(chosen)]
