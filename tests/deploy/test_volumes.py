"""What the SDK's own operators are given: the volume of a series and its affine."""

from __future__ import annotations

import json

import numpy as np
import pytest

from braintumor_ext.transforms import read_slice
from tests.deploy.conftest import run_command
from tests.deploy.dicom_series import ALONG_COLUMN, ALONG_ROW, GAP, NORMAL, ORIGIN, SPACING, write_series, write_slice

pytestmark = pytest.mark.deploy

SCRIPT = """
import json, sys
from pathlib import Path

sys.path.insert(0, sys.argv[1])
import numpy as np
from monai.deploy.core import Fragment
from monai_bundle.deploy_app.dicom_folder import DicomFolderOperator
from monai_bundle.deploy_app.series_selection import MrSeriesSelectorOperator
from monai_bundle.deploy_app.series_to_volumes import SeriesToVolumesOperator

fragment = Fragment()
loader = DicomFolderOperator(fragment, name="loader")
selector = MrSeriesSelectorOperator(fragment, folder="", name="selector")
volumes = SeriesToVolumesOperator(fragment, name="volumes")
told = []
for folder in sys.argv[3:]:
    studies = selector.filter(selector._load_rules(), loader.load_data_to_studies(Path(folder)), True)
    (series,) = volumes.convert_to_image(studies)
    image = series.image
    np.save(Path(sys.argv[2]) / f"{len(told)}.npy", image.asnumpy())
    told.append({name: np.asarray(image.metadata()[name]).tolist() for name in ("affine", "dicom_affine_transform")})
print(json.dumps(told))
"""


def test_volume_and_affine_are_right_for_a_series_and_for_one_slice(packed_bundle, tmp_path):
    slices = write_series(tmp_path / "several")
    one = write_slice(tmp_path / "one")
    arguments = (str(packed_bundle), str(tmp_path), str(tmp_path / "several"), str(tmp_path / "one"))
    ran = run_command("-c", SCRIPT, *arguments)
    assert ran.returncode == 0, ran.stderr
    told = json.loads(ran.stdout.splitlines()[-1])
    for index, (series, through) in enumerate([(slices, NORMAL * GAP), ([one], NORMAL * 2.5)]):
        # (column, row, slice): the order of the SDK and of ITK.
        wanted = np.eye(4)
        wanted[:3, :3] = np.stack([ALONG_ROW * SPACING[1], ALONG_COLUMN * SPACING[0], through], axis=1)
        wanted[:3, 3] = ORIGIN
        np.testing.assert_allclose(told[index]["dicom_affine_transform"], wanted, atol=1e-5)
        np.testing.assert_allclose(told[index]["affine"], np.diag([-1, -1, 1, 1]) @ wanted, atol=1e-5)
        volume = np.load(tmp_path / f"{index}.npy")
        stored = np.stack([read_slice(s.path).numpy()[0] for s in series])
        np.testing.assert_array_equal(volume, stored)
    assert (np.load(tmp_path / "0.npy") % 1 != 0).any()  # fractions are kept
    assert np.load(tmp_path / "0.npy").min() < 0
