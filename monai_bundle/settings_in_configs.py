"""The settings of a checkpoint as the defaults of a bundle's configs: consumers read the configs, not training.json."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from braintumor_ext.config_text import verbatim
from braintumor_ext.networks.settings import NETWORK

SETTINGS_IN_CONFIGS = ("class_names", "empty_class", "in_channels", "image_size")


def put_settings(name: str, config: dict[str, Any], settings: Mapping[str, Any]) -> None:
    """Change a config in place so that its defaults are a checkpoint's settings.

    Args:
        name: the config's name without suffix; ``metadata`` is told the classes and channels.
        settings: what ``training.json`` holds, which may be nothing but the ``network``: it becomes that of ``train``,
            the other configs take it from the checkpoint themselves.
    """
    for key in SETTINGS_IN_CONFIGS:
        if key in settings and key in config:
            config[key] = verbatim(settings[key])
    if name == "train":
        config["network_def"] = {**settings[NETWORK], **config["network_def"]}
    if name == "metadata":
        _describe_classes(config, settings)
        _describe_channels(config, settings)


def _describe_classes(metadata: dict[str, Any], settings: Mapping[str, Any]) -> None:
    outputs = metadata["network_data_format"]["outputs"]
    names = list(settings.get("class_names", outputs["class"]["channel_def"].values()))
    if names == list(outputs["class"]["channel_def"].values()):
        return
    for kind in ("outputs", "post_processed_outputs"):
        described = metadata["network_data_format"][kind]["class"]
        described["num_channels"] = len(names)
        described["channel_def"] = {str(index): name for index, name in enumerate(names)}
    numbered = ", ".join(f"{index} {name}" for index, name in enumerate(names))
    metadata["task"] = f"Classification of a 2D brain MRI slice ({', '.join(names)}) and segmentation of the tumour"
    metadata["label_classes"] = (
        f"single channel: 1 is tumour, 0 is background, -1 everywhere is unknown; class index {numbered}, -1 unknown"
    )
    metadata["pred_classes"] = f"mask: logits of tumour; class: logits of {', '.join(names)}"


def _describe_channels(metadata: dict[str, Any], settings: Mapping[str, Any]) -> None:
    image = metadata["network_data_format"]["inputs"]["image"]
    channels = settings.get("in_channels", image["num_channels"])
    if channels == image["num_channels"]:
        return
    image["num_channels"] = channels
    image["channel_def"] = {
        str(index): "T1-weighted slice, normalised" if index == 0 else "the same" for index in range(channels)
    }
