"""What predictions cost beside the network: reading, heat maps, drawing and writing, end to end and in memory."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import torch
from monai.bundle import ConfigWorkflow
from PIL import Image
from torch import Tensor, nn

from braintumor_ext.data.phantoms import make_phantoms
from braintumor_ext.explain import ExplainingInferer
from braintumor_ext.transforms import write_mask
from braintumor_ext.visualize import predicted_thumbnail, save_overlay
from studies.benchmarks.command import main
from studies.benchmarks.record import Row, Table
from studies.benchmarks.timing import in_turns, over
from studies.benchmarks.training_step import ROOT

DATA = Path(os.environ.get("BRAINTUMOR_DATA", ROOT.parent / "shared" / "data"))
"""Where the real slices lie, if they are there."""

ALONE, WITH_MAPS, ALL = "network alone", "network and heat maps", "all: table, masks, overlays, report"
VARIANTS: dict[str, dict[str, Any]] = {
    ALONE: {"explain": "none", "handlers": []},
    WITH_MAPS: {"handlers": []},
    ALL: {},
}
"""What a run does, by the settings that make it so; without handlers nothing is written, and the batches are there."""

SIDE = 512
"""Side of drawn slices in pixels, as most real ones have."""


class StandIn(nn.Module):
    """A network that costs next to nothing: a pixel is tumour where it is bright."""

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Return ``class`` (B, 4) and ``mask`` (B, 1, H, W) logits of images (B, C, H, W)."""
        grey = images.mean(dim=1, keepdim=True)
        return {"class": torch.eye(4, device=images.device)[:1].repeat(len(images), 1), "mask": 8 * (grey - 1.5)}


def workflow(inputs: Path, output: Path, **settings: Any) -> ConfigWorkflow:
    """Return ``configs/inference.json`` with all that is not the run itself done: parsed, weights loaded.

    Args:
        inputs: a slice, or a folder of slices.
        output: where the predictions go; an earlier one is removed.
        settings: other values of the config.
    """
    shutil.rmtree(output, ignore_errors=True)
    made = ConfigWorkflow(
        config_file=str(ROOT / "configs" / "inference.json"),
        logging_file=False,
        workflow_type="infer",
        bundle_root=str(ROOT),
        dataset_dir=str(inputs),
        output_dir=str(output),
        slices="all",
        **{"amp": False, **settings},  # as the network alone is measured
    )
    if "handlers" in settings:
        made.parser["batches"] = "$list(@dataloader)"
        made.parser["evaluator::val_data_loader"] = "@batches"
    made.initialize()
    for part in ("checkpointloader", "evaluator"):
        made.parser.get_parsed_content(part)
    return made


def seconds_of_a_run(inputs: Path, output: Path, **settings: Any) -> float:
    """Return how long a run takes, without the start of Python and the loading of the weights.

    Args:
        inputs: as for :func:`workflow`, like the others.
        output: as there.
        settings: as there.
    """
    made = workflow(inputs, output, **settings)
    begun = time.perf_counter()
    made.run()
    return time.perf_counter() - begun


def write_slices(folder: Path, count: int) -> str:
    """Write JPEG files, real slices if they are there, else drawn ones; return which.

    Args:
        folder: where to.
        count: how many.
    """
    folder.mkdir(parents=True)
    real = sorted((DATA / "brain-tumor-mri" / "Training").glob("*/*.jpg"))
    if real:
        for number in range(count):
            shutil.copyfile(real[number * len(real) // count], folder / f"{number:05}.jpg")
        return "real slices of the public set"
    with tempfile.TemporaryDirectory() as scratch:
        make_phantoms(Path(scratch) / "drawn", heads=8, slices_per_head=4, size=SIDE, progress=False)
        drawn = sorted((Path(scratch) / "drawn" / "Training").rglob("*.png"))
        for number in range(count):
            with Image.open(drawn[number % len(drawn)]) as picture:
                picture.convert("L").save(folder / f"{number:05}.jpg", quality=90)
    return f"drawn slices of {SIDE} x {SIDE}"


def write_volume(path: Path, slices: int, side: int = 256) -> None:
    """Write a NIfTI volume of 16 bit whose slices are one head, a little brighter each.

    Args:
        path: the ``.nii.gz`` file.
        slices: how many.
        side: rows and columns.
    """
    folder = path.parent / "one"
    write_slices(folder, 1)
    with Image.open(next(folder.iterdir())) as picture:
        grey = np.asarray(picture.convert("L").resize((side, side)), dtype=np.int16)
    volume = np.stack([grey.T * 8 + number for number in range(slices)], axis=2)
    nibabel.save(nibabel.Nifti1Image(volume, np.diag([-1.0, -1.0, 1.0, 1.0])), path)
    shutil.rmtree(folder)


def end_to_end(quick: bool, scratch: Path, budget: float = 60) -> Table:
    """Time whole runs over the network alone, in turns over parts of a folder, and over a series and a volume.

    Args:
        quick: whether to make it small.
        scratch: a folder for inputs and predictions.
        budget: no further part is begun after so many seconds.
    """
    parts, size = (1, 4) if quick else (5, 50)
    kind = {write_slices(scratch / f"part{number}", size) for number in range(parts)}.pop()
    inputs: dict[str, list[Path]] = {f"{parts * size} JPEG files": [scratch / f"part{n}" for n in range(parts)]}
    series = DATA / "dicom-head"
    if series.is_dir() and not quick:
        inputs["DICOM series of 32 slices"] = [series] * 3
    volume_slices = 4 if quick else 256
    write_volume(scratch / "volume.nii.gz", volume_slices)
    inputs[f"NIfTI volume of {volume_slices} slices"] = [scratch / "volume.nii.gz"]
    begun = time.perf_counter()
    rows = []
    for name, sources in inputs.items():
        found: dict[str, list[float]] = {variant: [] for variant in VARIANTS}
        for turn, source in enumerate(sources):
            if turn and time.perf_counter() - begun > budget:
                break
            count = len(workflow(source, scratch / "out", **VARIANTS[ALONE]).parser.get_parsed_content("dataset"))
            for variant, settings in VARIANTS.items():
                taken = seconds_of_a_run(source, scratch / "out", **settings)
                found[variant].append(1000 * taken / count)
        for variant, each in found.items():
            aim = {WITH_MAPS: "at most 1.10", ALL: "at most 2.00"}.get(variant, "")
            rows.append(Row([name, variant], {f"over {ALONE}": over(each, found[ALONE]), "ms a slice": each}, aim))
    method = (
        f"Time of a run of `configs/inference.json` over that of the network alone on the same batches, already read "
        f"and preprocessed, in the same turn: released checkpoint, {torch.get_num_threads()} threads, batches of 8, "
        f"without the start of Python and the loading of the weights. JPEG files: {kind}, in {parts} folders of {size} "
        "that take turns. At 2.00 all around the network costs as much as the network."
    )
    return Table("end_to_end", "Predictions, end to end", method, ["inputs", "run"], rows)


def parts_of_a_slice(quick: bool, scratch: Path) -> Table:
    """Time each thing that is done with a slice by itself.

    Args:
        quick: whether to make it small.
        scratch: a folder for inputs and predictions.
    """
    count = 2 if quick else 32
    kind = write_slices(scratch / "slices", count)
    made = workflow(scratch / "slices", scratch / "out", batch_size=count)
    dataset, loader = (made.parser.get_parsed_content(name) for name in ("dataset", "dataloader"))
    writer, network = (made.parser.get_parsed_content(name) for name in ("writer", "network"))
    batch = next(iter(loader))
    device = torch.device(made.parser.get_parsed_content("device"))
    network = network.to(device).eval()
    images = batch["image"].to(device, memory_format=torch.channels_last)
    metas = batch["meta"]
    postprocessor = made.parser.get_parsed_content("postprocessor")

    def infer(explain: str) -> Any:
        with torch.no_grad():
            return ExplainingInferer(explain)(images, network)

    output = infer("gradcam")
    predictions = postprocessor({**batch, "pred": output})["prediction"]
    writer.table.path.parent.mkdir(parents=True)
    writer.table.begin()
    row = writer.table.row(writer.data[0], predictions[0])

    def each(do: Callable[[int], Any]) -> Callable[[], None]:
        def call() -> None:
            for position in range(count):
                do(position)

        return call

    calls: dict[str, Callable[[], Any]] = {
        "network": partial(infer, "none"),
        "network and Grad-CAM": partial(infer, "gradcam"),
        "reading and preprocessing": each(lambda n: dataset[n]),
        "prediction on the slice's grid": each(lambda n: postprocessor.predict(output, n, metas[n])),
        "mask file": each(lambda n: write_mask(predictions[n].mask, metas[n], scratch / "mask")),
        "overlay": each(lambda n: save_overlay(predictions[n], scratch / "overlay.png")),
        "the report's picture": each(lambda n: predicted_thumbnail(predictions[n])),
        "row of the table": each(lambda n: writer.table.append([row])),
    }
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        timed = in_turns(calls, rounds=3 if quick else 5, budget=15, device=device)
    finally:
        torch.set_num_threads(threads)
        writer.table.close()
    alone = timed["network"]
    rows = [
        Row([name], {"over network": over(times, alone), "ms a slice": [1000 * s / count for s in times]})
        for name, times in timed.items()
    ]
    around = [sum(times) for times in zip(*list(timed.values())[2:], strict=True)]
    sums = {"over network": over(around, alone), "ms a slice": [1000 * s / count for s in around]}
    rows.append(Row(["all but network and Grad-CAM"], sums, "at most 1.00"))
    method = f"{count} JPEG files, {kind}; one thread, nothing at the same time; the released checkpoint."
    return Table("parts", "Where the time of a prediction goes", method, ["of a slice"], rows)


def peak_memory(quick: bool, scratch: Path) -> Table:
    """Measure the most memory that a run takes by its number of slices.

    Args:
        quick: whether to make it small.
        scratch: a folder for inputs and predictions.
    """
    counts = (4, 8) if quick else (100, 500)
    write_slices(scratch / "base", min(counts[0], 50))
    base = sorted((scratch / "base").iterdir())
    rows = []
    for count in counts:
        folder = scratch / f"memory{count}"
        folder.mkdir()
        for number in range(count):
            os.link(base[number % len(base)], folder / f"{number:05}.jpg")
        command = [sys.executable, "-W", "ignore", "-m", "benchmarks.inference", "--peak", str(folder)]
        done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
        rows.append(Row([count], {"MB at most": [float(done.stdout.split()[-1])]}))
        shutil.rmtree(folder)
    method = (
        "Most resident memory of the process of a whole run (table, masks, overlays, report) with a network that costs "
        "next to nothing, batches of 32. The report's pictures end at 2,000 slices."
    )
    return Table("memory", "Memory by number of slices", method, ["slices"], rows)


def print_peak(folder: Path) -> None:
    """Predict a folder with the stand-in, and print the most memory that this process has taken, in MB."""
    import resource  # not there on Windows

    with tempfile.TemporaryDirectory() as scratch:
        network = {"_target_": "benchmarks.inference.StandIn"}
        made = workflow(folder, Path(scratch) / "out", load_pretrain=False, explain="none", network_def=network)
        made.run()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"{peak / (2**20 if sys.platform == 'darwin' else 2**10):.0f}")


def run(quick: bool) -> list[Table]:
    """Time predictions end to end and by their parts, and measure their memory."""
    logging.disable(logging.WARNING)
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as scratch:
        return [make(quick, Path(scratch) / make.__name__) for make in (end_to_end, parts_of_a_slice, peak_memory)]


if __name__ == "__main__":
    if "--peak" in sys.argv:
        print_peak(Path(sys.argv[-1]))
    else:
        sys.exit(main(run))
