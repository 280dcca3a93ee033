"""Export a trained network to TorchScript, ONNX or OpenVINO, and check it: float32 against PyTorch, int8 on labels."""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import braintumor_ext
from braintumor_ext import Predictor
from braintumor_ext.backends import (
    BACKENDS,
    LIMIT,
    Description,
    Quantisation,
    export_int8,
    export_network,
    preprocessing_constants,
)
from braintumor_ext.backends.openvino import OpenVino
from braintumor_ext.data.datalist import load_section, true_mask
from braintumor_ext.data.phantoms import make_phantoms
from braintumor_ext.data.sampling import spread_over_groups
from braintumor_ext.errors import InputError, InputErrors
from braintumor_ext.files import sha256_of
from braintumor_ext.inference import Postprocessor, TolerantDataset, list_inputs
from braintumor_ext.keys import CLASS, IMAGE, SLICE, UNKNOWN
from braintumor_ext.metrics import SliceRecord
from braintumor_ext.networks import BrainTumorNet, read_settings

logger = logging.getLogger(__name__)

ROOT = Path(__file__).resolve().parent.parent
INT8 = "int8"
COUNT = 32  # slices to compare on


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command: ``arguments``, by default ``sys.argv``.

    Returns:
        The exit code: 0, or 1 where nothing could be exported or the export differs from PyTorch.
    """
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    backend = BACKENDS[options.format]
    stem = options.checkpoint.stem + ("_int8" if options.precision == INT8 else "")
    path = options.output or options.checkpoint.with_name(stem + backend.suffix)
    try:
        if path.suffix != backend.suffix:
            raise InputError(path, f"not a name of a {backend.name} file", f"Let it end in {backend.suffix}")
        if options.checkpoint.is_file() and not read_settings(options.checkpoint):
            logger.warning("%s has no training.json of its own: the config's settings are used.", options.checkpoint)
        if options.precision == INT8 and (backend.name != OpenVino.name or options.calibration_data is None):
            problem = "needs --format openvino and --calibration_data"
            raise InputError("--precision int8", problem, "Give --calibration_data a prepared data set")
        predictor = Predictor.from_bundle(ROOT, options.checkpoint, "cpu", calibration="none")
        network = predictor.network
        if not isinstance(network, BrainTumorNet) or network.decoder is None:
            raise InputError(
                options.checkpoint, "its network does not give both a class and a mask", "Give another one"
            )
        description = describe(predictor, options.checkpoint)
        if options.precision == INT8:
            quantisation = quantise(predictor, network, path, description, options)
        else:
            images, source = check_slices(predictor, options.slices)
            agreement = export_network(network, backend, path, description, images, source)
    except (InputError, InputErrors) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    files = [file for file in (path, path.with_suffix(".bin")) if file == path or backend.name == "openvino"]
    print("\n".join(f"{file}: {file.stat().st_size / 1e6:.1f} MB" for file in files))
    if options.precision == INT8:
        print(
            f"Ranges of {quantisation.slices} training slices; float32 and int8 on {quantisation.n} validation slices:"
        )
        for name, pair in (("accuracy", quantisation.accuracy), ("Dice", quantisation.dice)):
            print(f"  {name:9s} " + ("unknown" if pair is None else f"{pair[0]:.4f} {pair[1]:.4f}"))
        print(f"Same class: {quantisation.same_class:.1%}")
        return 0
    print(f"Largest difference from eager PyTorch over {agreement.slices} slices ({source}), over the largest value:")
    for name, value in agreement.differences.items():
        print(f"  {name:9s} {value:.1e} (limit {LIMIT:.0e})")
    print(f"Same class: {agreement.same_class:.0%}")
    return 0


def describe(predictor: Predictor, checkpoint: Path) -> Description:
    """Return what the file will say of itself.

    Args:
        predictor: of the checkpoint.
        checkpoint: ``model.pt``.
    """
    decode = predictor.postprocessor
    constants = preprocessing_constants(predictor.preprocessing, decode.image_size)
    return Description(
        classes=predictor.classes,
        in_channels=constants["channels"],
        image_size=decode.image_size,
        preprocessing=constants,
        checkpoint=checkpoint.name,
        sha256=sha256_of(checkpoint),
        bundle_version=braintumor_ext.__version__,
    )


def quantise(
    predictor: Predictor, network: BrainTumorNet, path: Path, description: Description, options: argparse.Namespace
) -> Quantisation:
    """Write an int8 export; ranges are taken from a data set's training section, scores from its validation section.

    Args:
        predictor: of the checkpoint, without a calibration.
        network: its network.
        path: the file to write.
        description: what the file says of itself.
        options: the command line's.
    """
    training, validation = (
        load_section(options.calibration_data, None, section, predictor.classes)
        for section in ("training", "validation")
    )
    chosen = spread_over_groups(training, options.calibration_slices)
    slices = [predictor.preprocessing(item)[IMAGE].as_tensor() for item in chosen]

    def predict(exported: nn.Module) -> list[SliceRecord]:
        plain = Postprocessor(predictor.classes, predictor.postprocessor.image_size)
        return records_of(Predictor(exported, predictor.preprocessing, plain), validation)

    return export_int8(network, path, description, slices, predict)


def records_of(predictor: Predictor, items: Iterable[Mapping[str, Any]]) -> list[SliceRecord]:
    """Return a predictor's records of a datalist's items."""
    return [
        SliceRecord.of(
            predictor(item[IMAGE], slice_index=item.get(SLICE)),
            str(item[IMAGE]),
            true_class=int(item.get(CLASS, UNKNOWN)),
            true_mask=true_mask(item),
        )
        for item in items
    ]


def check_slices(predictor: Predictor, slices: Path | None) -> tuple[Tensor, str]:
    """Return preprocessed slices (32, C, H, W) to compare on, and where they come from.

    Args:
        predictor: whose preprocessing is used.
        slices: a file or folder; None for drawn heads.
    """
    if slices is None:
        with tempfile.TemporaryDirectory() as folder:
            make_phantoms(folder, heads=COUNT // 4, slices_per_head=4, size=96, seed=0, progress=False)
            return _read(predictor, Path(folder, "Training")), "drawn heads, seed 0"
    return _read(predictor, slices), f"of {slices.name}"


def _read(predictor: Predictor, path: Path) -> Tensor:
    items = list_inputs(path, "all")
    dataset = TolerantDataset(items, predictor.preprocessing)
    spread = np.linspace(0, len(items) - 1, min(COUNT, len(items))).round().astype(int).tolist()
    images: list[Tensor] = []
    for index in [*spread, *(set(range(len(items))) - set(spread))]:  # the others where some can't be read
        entry = dataset[index]
        if not entry["error"]:
            images.append(entry[IMAGE].as_tensor())
        if len(images) == COUNT:
            return torch.stack(images)
    problem = f"holds {len(images)} readable slices, {COUNT} are needed"
    raise InputError(path, problem, "Give more, or leave --slices out")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m scripts.export",
        description=__doc__,
        epilog="Run it by --backend FORMAT of configs/inference.json. See docs/how-to/export.md.",
    )
    parser.add_argument("--checkpoint", type=Path, required=True, metavar="PATH", help="model.pt")
    parser.add_argument("--format", choices=list(BACKENDS), required=True, help="what to export to")
    parser.add_argument("--output", type=Path, metavar="PATH", help="file to write (default: beside the checkpoint)")
    parser.add_argument(
        "--precision", choices=("float32", INT8), default="float32", help="int8: OpenVINO only (default: %(default)s)"
    )
    parser.add_argument(
        "--calibration_data",
        "--calibration-data",
        type=Path,
        metavar="DIR",
        help="int8: a prepared data set, to take ranges from and to be judged on",
    )
    parser.add_argument(
        "--calibration_slices",
        "--calibration-slices",
        type=int,
        default=300,
        metavar="N",
        help="int8: training slices that ranges are taken from, 0 for all (default: %(default)s)",
    )
    parser.add_argument(
        "--slices",
        type=Path,
        metavar="PATH",
        help=f"file or folder of {COUNT} slices to compare on (default: drawn heads)",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
