"""Pack a self-contained bundle: a folder, and a .zip of it, that run where this repository is not installed."""

from __future__ import annotations

import argparse
import json
import logging
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import monai
import torch

import braintumor_ext
from braintumor_ext.calibration import read_calibration
from braintumor_ext.calibration.calibration import CALIBRATION
from braintumor_ext.errors import InputError
from braintumor_ext.files import backup_existing, replacing, sha256_of
from braintumor_ext.networks import BrainTumorNet, load_weights, network_of_checkpoint
from braintumor_ext.networks.settings import NETWORK, SETTINGS, read_settings
from monai_bundle.archive import write_archive
from monai_bundle.model_card import card_of_checkpoint, evaluation_metrics, read_evaluation
from monai_bundle.settings_in_configs import put_settings

logger = logging.getLogger(__name__)

NAME = "brain_tumor_mri_segmentation_classification"
"""The bundle's folder. MONAI Label takes a bundle's type from its name: segmentation comes before classification."""

ROOT = Path(__file__).resolve().parent.parent
CONFIGS = (
    "calibrate",
    "evaluate",
    "explain",
    "inference",
    "metadata",
    "multi_gpu_inference",
    "multi_gpu_train",
    "train",
)
SCRIPTS = ("__init__", "prepare_data", "export")


def pack(
    checkpoint: str | os.PathLike[str],
    output: str | os.PathLike[str],
    evaluation: str | os.PathLike[str] | None = None,
    calibration: str | os.PathLike[str] | None = None,
) -> Path:
    """Write the bundle of a checkpoint, ``output/brain_tumor_mri_segmentation_classification`` and its ``.zip``.

    The same input gives the same bytes. What ``training.json`` beside the checkpoint tells of its classes, channels and
    size becomes the default of the packed configs; an earlier bundle that differs is renamed by its date.

    Args:
        checkpoint: ``model.pt``, a flat state dict.
        evaluation: ``metrics.json`` of the checkpoint's own evaluation, for the metadata and the model card.
        calibration: ``calibration.json``; None for the one beside the checkpoint, if it is of that checkpoint.

    Returns:
        The packed folder.

    Raises:
        InputError: the checkpoint cannot be loaded; the evaluation or the calibration is of another checkpoint.
    """
    checkpoint, output = Path(checkpoint), Path(output)
    settings = _settings_of(checkpoint)
    network = _network_of(checkpoint, settings)
    measured = None if evaluation is None else read_evaluation(evaluation, checkpoint)
    constants = _calibration_of(checkpoint, calibration)
    output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output, prefix=".packing-") as scratch:
        folder = Path(scratch) / NAME
        _write_code(folder)
        _write_configs(folder / "configs", {**settings, NETWORK: network.arguments}, measured)
        _write_models(folder / "models", checkpoint, settings, constants)
        card = folder / "docs" / "README.md"
        text = card_of_checkpoint(
            card.read_text(encoding="utf-8"), checkpoint, settings, measured, constants is not None
        )
        card.write_text(text, encoding="utf-8")
        for path in sorted(folder.rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)
        write_archive(folder, Path(scratch) / f"{NAME}.zip")
        _put_in_place(Path(scratch), output)
    return output / NAME


def _settings_of(checkpoint: Path) -> dict[str, Any]:
    settings = read_settings(checkpoint) if checkpoint.is_file() else {}
    if checkpoint.is_file() and not settings:
        logger.warning("%s has no %s of its own beside it: the configs keep their defaults.", checkpoint, SETTINGS)
    return settings


def _network_of(checkpoint: Path, settings: Mapping[str, Any]) -> BrainTumorNet:
    """Return the checkpoint's network; raise an InputError unless it is ours, of the settings' classes and channels."""
    defaults = json.loads((ROOT / "configs" / "inference.json").read_text(encoding="utf-8"))
    network = network_of_checkpoint(
        checkpoint,
        in_channels=settings.get("in_channels", defaults["in_channels"]),
        num_classes=len(settings.get("class_names", defaults["class_names"])),
    )
    load_weights(network, checkpoint)
    if not isinstance(network, BrainTumorNet) or network.decoder is None:
        problem = "its network does not give both a class and a mask, which the bundle's inference is made for"
        raise InputError(checkpoint, problem, "Give a checkpoint of a BrainTumorNet with segmentation")
    return network


def _calibration_of(checkpoint: Path, calibration: str | os.PathLike[str] | None) -> Path | None:
    path = checkpoint.with_name(CALIBRATION) if calibration is None else Path(calibration)
    if calibration is not None and not path.is_file():
        raise InputError(path, "no such file", "Give the calibration.json that `calibrating` wrote")
    return None if read_calibration(path, checkpoint) is None else path


def _write_code(folder: Path) -> None:
    """Copy what the bundle runs, its licence and its documentation."""
    for path in _files(ROOT / "braintumor_ext"):
        _copy(path, folder / path.relative_to(ROOT))
    for path in _files(ROOT / "docs"):
        _copy(path, folder / path.relative_to(ROOT))
    for page in (folder / "docs").rglob("*.md"):
        page.write_text(_without_dead_links(page.read_text(encoding="utf-8"), page), encoding="utf-8")
    for name in SCRIPTS:
        if (path := ROOT / "scripts" / f"{name}.py").is_file():
            _copy(path, folder / "scripts" / path.name)
    _copy(ROOT / "LICENSE", folder / "LICENSE")
    _copy(ROOT / "configs" / "logging.conf", folder / "configs" / "logging.conf")


def _without_dead_links(text: str, page: Path) -> str:
    """Return a page's text, where a link to what is not packed, such as a study's results, is its words alone."""

    def words(link: re.Match[str]) -> str:
        return link[0] if (page.parent / link[2]).exists() else link[1]

    return re.sub(r"\[([^\]]*)\]\((?![a-z]+:|#)([^)#\s]+)[^)\s]*\)", words, text)


def _files(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts and not path.name.startswith("."):
            yield path


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


def _write_configs(folder: Path, settings: Mapping[str, Any], measured: Mapping[str, Any] | None) -> None:
    overlays = [
        f"{kind}/{path.stem}"
        for kind in ("baselines", "recipes")
        for path in sorted((ROOT / "configs" / kind).glob("*.json"))
    ]
    for name in (*CONFIGS, *overlays):
        config = json.loads((ROOT / "configs" / f"{name}.json").read_text(encoding="utf-8"))
        put_settings(name, config, settings)
        if name == "metadata":
            config["eval_metrics"] = {} if measured is None else evaluation_metrics(measured)
        text = json.dumps(config, indent=4, ensure_ascii=False) + "\n"
        path = folder / f"{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def _write_models(folder: Path, checkpoint: Path, settings: Mapping[str, Any], calibration: Path | None) -> None:
    _copy(checkpoint, folder / "model.pt")
    if settings:
        told = {**settings, "checkpoint": "model.pt"}
        (folder / SETTINGS).write_text(json.dumps(told, indent=4) + "\n", encoding="utf-8")
    if calibration is not None:
        _copy(calibration, folder / CALIBRATION)


def _put_in_place(scratch: Path, output: Path) -> None:
    """Move the folder and the archive to where they belong; what stands there and differs is renamed."""
    archive = output / f"{NAME}.zip"
    if (output / NAME).exists() and _contents(output / NAME) != _contents(scratch / NAME):
        backup_existing(output / NAME)
    if not (output / NAME).exists():
        os.replace(scratch / NAME, output / NAME)
    if archive.exists() and sha256_of(archive) != sha256_of(scratch / archive.name):
        backup_existing(archive)
    with replacing(archive) as partial:
        os.replace(scratch / archive.name, partial)


def _contents(folder: Path) -> dict[str, str]:
    return {path.relative_to(folder).as_posix(): sha256_of(path) for path in _files(folder)}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command: ``arguments``, by default ``sys.argv``.

    Returns:
        The exit code: 0, or 2 where nothing could be packed.
    """
    parser = argparse.ArgumentParser(prog="python -m monai_bundle.pack", description=__doc__)
    parser.add_argument("--checkpoint", type=Path, default=Path("models/model.pt"), help="(default: %(default)s)")
    parser.add_argument("--output", type=Path, default=Path("dist"), metavar="DIR", help="(default: %(default)s)")
    parser.add_argument(
        "--evaluation",
        type=Path,
        metavar="metrics.json",
        help="the checkpoint's own evaluation, for the metadata and the model card",
    )
    parser.add_argument(
        "--calibration", type=Path, metavar="calibration.json", help="(default: the one beside the checkpoint)"
    )
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        folder = pack(options.checkpoint, options.output, options.evaluation, options.calibration)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    archive = folder.with_name(f"{NAME}.zip")
    print(f"{folder}: version {braintumor_ext.__version__}, MONAI {monai.__version__}, torch {torch.__version__}")
    print(f"{archive}: {archive.stat().st_size / 1e6:.1f} MB, SHA-256 {sha256_of(archive)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
