"""The models that a comparison knows: the bundle's own and every overlay in configs/baselines and configs/recipes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from braintumor_ext.errors import InputError

OURS = "ours"
TITLES = {
    OURS: "ours: ResNet50 + CBAM + FPN",
    "resnet50": "ResNet50",
    "vgg16": "VGG16",
    "unet": "U-Net",
    "efficientnet_b0": "EfficientNet-B0",
    "no_attention": "ours without attention",
    "no_segmentation": "ours without segmentation",
}
"""What people call them; a recipe goes by its file's name. The order is that of tables, the published ones first."""


@dataclass(frozen=True)
class ModelConfig:
    """A model as the config files that make it.

    Args:
        name: ``ours``, or an overlay's name.
        title: what people call it.
        config_files: ``train.json``, then the recipe of all models where there is one, then its own overlay.
    """

    name: str
    title: str
    config_files: tuple[Path, ...]


def known_models(bundle_root: Path, recipe: str | None = None) -> dict[str, ModelConfig]:
    """Return every model of a bundle by name: ours, the baselines in the published order, then the recipes.

    Args:
        bundle_root: the folder of ``configs``.
        recipe: what ours and the baselines are trained by, which are all models then; None for ``train.json``'s own.

    Raises:
        InputError: when there is no such recipe.
    """
    common = [bundle_root / "configs" / "train.json"]
    recipes = {path.stem: path for path in sorted((bundle_root / "configs" / "recipes").glob("*.json"))}
    if recipe is not None:
        if recipe not in recipes:
            raise InputError(f"recipe {recipe!r}", "there is no such recipe", f"Choose among {', '.join(recipes)}")
        common.append(recipes[recipe])
    baselines = {path.stem: path for path in (bundle_root / "configs" / "baselines").glob("*.json")}
    overlays = {name: baselines[name] for name in TITLES if name in baselines} | (recipes if recipe is None else {})
    models = {OURS: ModelConfig(OURS, TITLES[OURS], tuple(common))}
    for name, overlay in overlays.items():
        title = TITLES.get(name, f"ours, recipe {name.replace('_', ' ')}")
        models[name] = ModelConfig(name, title, (*common, overlay))
    return models


def choose_models(bundle_root: Path, names: Sequence[str] | None, recipe: str | None = None) -> list[ModelConfig]:
    """Return the named models of :func:`known_models`; by default ours and the baselines, not the recipes.

    Raises:
        InputError: naming those that there are.
    """
    known = known_models(bundle_root, recipe)
    if names is None:
        return [model for name, model in known.items() if name in TITLES]
    for name in names:
        if name not in known:
            raise InputError(f"model {name!r}", "there is no such model", f"Choose among {', '.join(known)}")
    return [known[name] for name in dict.fromkeys(names)]
