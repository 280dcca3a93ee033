"""Start the MONAI Label server of a packed bundle."""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import runpy
import shutil
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from monai_bundle.bundle_folder import problem_with

ROOT = Path(__file__).resolve().parent.parent.parent
EXTENSIONS = ["*.nii.gz", "*.nii", "*.png", "*.jpg", "*.jpeg", "*.tif", "*.tiff", "*.bmp", "*.dcm"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the server until it is stopped: ``arguments``, by default ``sys.argv``.

    Returns:
        The exit code: 0, or 2 where the server could not be started.
    """
    parser = argparse.ArgumentParser(prog="python -m monai_bundle.label_app", description=__doc__)
    parser.add_argument("--studies", type=Path, required=True, metavar="DIR", help="the folder of the images")
    parser.add_argument("--bundle", type=Path, required=True, metavar="DIR", help="what monai_bundle.pack wrote")
    parser.add_argument("--host", default="127.0.0.1", help="0.0.0.0 serves the network (default: %(default)s)")
    parser.add_argument("--port", type=int, default=8000, help="(default: %(default)s)")
    options = parser.parse_args(arguments)
    problem = _problem(options.studies, options.bundle)
    if problem is not None:
        print(f"error: {problem}", file=sys.stderr)
        return 2
    bundle = options.bundle.resolve()
    # The bundle's own copy of the package runs: also in the training, which is a process of its own.
    sys.path[:0] = [str(bundle), str(ROOT)]
    os.environ["PYTHONPATH"] = os.pathsep.join([str(bundle), str(ROOT)])
    os.environ.setdefault("MONAI_LABEL_DATASTORE_FILE_EXT", json.dumps(EXTENSIONS))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # which leaves the block below, too
    with tempfile.TemporaryDirectory(prefix="brain-tumour-label-") as app_dir:
        shutil.copyfile(Path(__file__).with_name("main.py"), Path(app_dir) / "main.py")
        place = ["--app", app_dir, "--studies", str(options.studies.resolve()), "--conf", "bundle", str(bundle)]
        address = ["--host", options.host, "--port", str(options.port)]
        server = ["--uvicorn_app", "monai_bundle.label_app.server:app"]
        sys.argv = ["monailabel", "start_server", *place, *address, *server]
        runpy.run_module("monailabel.main", run_name="__main__")
    return 0


def _problem(studies: Path, bundle: Path) -> str | None:
    if importlib.util.find_spec("monailabel") is None:
        return "MONAI Label is not installed here. Run this in its environment: see docs/how-to/monai-label.md."
    if not studies.is_dir():
        return f"{studies}: is no folder. Give --studies the folder of the images."
    wrong = problem_with(bundle)
    return None if wrong is None else f"{bundle}: {wrong[0]}. {wrong[1]}."


if __name__ == "__main__":
    sys.exit(main())
