from __future__ import annotations

from pathlib import Path

import pytest

from braintumor_ext.errors import InputError
from studies.group_sources import describe_grouping, read_group_sources

TABLE = (
    "image,group,group_source,mask_source\n"
    "glioma_tumor/gg (1).jpg,g1,patient,cheng\n"
    "Training/glioma_tumor/gg (2).jpg,g1,patient,cheng\n"
    "no_tumor/1.jpg,g2,similarity,\n"
)


def test_images_whose_patient_is_known_are_counted_wherever_they_lie(tmp_path: Path) -> None:
    (tmp_path / "groups.csv").write_text(TABLE, encoding="utf-8")
    sources = read_group_sources(tmp_path / "groups.csv")
    images = ["/data/Training/glioma_tumor/gg (1).jpg", "x/glioma_tumor/gg (2).jpg", "no_tumor/1.jpg", "no_tumor/9.jpg"]
    told = describe_grouping(images, sources)
    assert told == "patient-grouped where known (2 images), near-duplicate-grouped else (2)"
    assert "images)" not in describe_grouping(images)


@pytest.mark.parametrize(
    ("content", "problem"),
    [(b"image,group\na,b\n", "has the columns"), (b"\xff\xfe\xd8", "cannot be read"), (None, "FileNotFoundError")],
)
def test_a_table_that_does_not_say_is_refused(tmp_path: Path, content: bytes | None, problem: str) -> None:
    path = tmp_path / "groups.csv"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=rf"groups\.csv.*{problem}.*group_source"):
        read_group_sources(path)
