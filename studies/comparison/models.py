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
        config_files: ``train.json``, then its overlay.
    """

    name: str
    title: str
    config_files: tuple[Path, ...]


def known_models(bundle_root: Path) -> dict[str, ModelConfig]:
    """Return every model of a bundle by name: ours, the baselines in the published order, then the recipes."""
    train = bundle_root / "configs" / "train.json"
    overlays = {
        path.stem: path
        for folder in ("baselines", "recipes")
        for path in sorted((bundle_root / "configs" / folder).glob("*.json"))
    }
    order = [name for name in TITLES if name in overlays] + [name for name in overlays if name not in TITLES]
    models = {OURS: ModelConfig(OURS, TITLES[OURS], (train,))}
    for name in order:
        title = TITLES.get(name, f"ours, recipe {name.replace('_', ' ')}")
        models[name] = ModelConfig(name, title, (train, overlays[name]))
    return models


def choose_models(bundle_root: Path, names: Sequence[str] | None) -> list[ModelConfig]:
    """Return the named models; by default ours and the baselines, not the recipes.

    Raises:
        InputError: naming those that there are.
    """
    known = known_models(bundle_root)
    if names is None:
        return [model for name, model in known.items() if name in TITLES]
    for name in names:
        if name not in known:
            raise InputError(f"model {name!r}", "there is no such model", f"Choose among {', '.join(known)}")
    return [known[name] for name in dict.fromkeys(names)]
