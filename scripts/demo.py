"""The whole chain on phantoms in a few minutes: make, prepare, train, calibrate, evaluate, predict; all under demo/."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

from PIL import Image

from braintumor_ext.visualize import tile_pictures

ROOT = Path(__file__).resolve().parent.parent
DEMO = ROOT / "demo"
BUNDLE = ("-W", "ignore", "-m", "monai.bundle")
RESULTS = (
    "dataset/contact_sheet.png",
    "dataset/data_report.md",
    "training/training_curves.png",
    "training/history.csv",
    "calibration/calibration.md",
    "evaluation/report.md",
    "evaluation/confusion_matrix.png",
    "evaluation/roc_curves.png",
    "predictions/predictions.csv",
    "predictions/report.html",
    "predictions/overlays",
    "overview.png",
)


def run(title: str, *arguments: str) -> None:
    """Show a command, run it, and stop the demo if it fails."""
    print(f"\n== {title}\n$ python {shlex.join(a for a in arguments if a not in BUNDLE[:2])}", flush=True)
    subprocess.run([sys.executable, *arguments], cwd=ROOT, check=True)


def hold_back(count: int = 24) -> Path:
    """Copy some slices of the test split, none of which the training saw, to demo/held_back."""
    dataset, folder = DEMO / "dataset", DEMO / "held_back"
    items = json.loads((dataset / "datalist.json").read_text(encoding="utf-8"))["test"]
    for item in items[:: max(len(items) // count, 1)][:count]:
        source = (dataset / item["image"]).resolve()
        target = folder / source.parent.name / source.name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
    return folder


def main() -> int:
    """Run the demo."""
    started = time.monotonic()
    if DEMO.exists():
        print("Removing the demo/ of an earlier run.", flush=True)
        shutil.rmtree(DEMO)
    run("Make synthetic heads", "-m", "scripts.make_phantoms", "--output", "demo/phantoms")
    run(
        "Prepare them: a split by heads, a datalist and a data report",
        *("-m", "scripts.prepare_data", "--images", "demo/phantoms", "--masks", "demo/phantoms/masks"),
        *("--groups", "demo/phantoms/groups.csv", "--output", "demo/dataset"),
    )
    configs = ("--config_file", "['configs/train.json','configs/demo.json']")
    run("Train", *BUNDLE, "run", "training", *configs, "--output_dir", "demo/training")
    configs = ("--config_file", "['configs/train.json','configs/demo.json','configs/calibrate.json']")
    run(
        "Calibrate on the validation heads", *BUNDLE, "run", "calibrating", *configs, "--output_dir", "demo/calibration"
    )
    configs = ("--config_file", "['configs/train.json','configs/demo.json','configs/evaluate.json']")
    run("Evaluate on held-back heads", *BUNDLE, "run", "evaluating", *configs, "--output_dir", "demo/evaluation")
    run(
        "Predict and explain held-back slices",
        *(
            *BUNDLE,
            "run",
            "--config_file",
            "configs/inference.json",
            "--dataset_dir",
            str(hold_back().relative_to(ROOT)),
        ),
        *("--output_dir", "demo/predictions", "--ckpt_dir", "demo/models", "--image_size", "96"),
    )
    overlays = [sorted(folder.iterdir()) for folder in sorted((DEMO / "predictions" / "overlays").iterdir())]
    shown = (Image.open(picture) for pictures in overlays for picture in pictures[:2])
    tile_pictures(shown, columns=2, width=860).save(DEMO / "overview.png")
    print(f"\nDone in {time.monotonic() - started:.0f} s. Look at:")
    for name in RESULTS:
        print(f"  {(DEMO / name).relative_to(ROOT)}")
    print("These are drawn heads and a short training: the figures say nothing of how good the model is on patients.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
