from __future__ import annotations

from pathlib import Path

from monai_bundle.bundle_folder import NEEDED, problem_with


def test_a_folder_is_a_bundle_once_all_that_is_needed_is_there(tmp_path: Path) -> None:
    for number, name in enumerate(NEEDED):
        wrong = problem_with(tmp_path)
        assert wrong is not None
        assert wrong[0] == f"is no packed bundle (it lacks {', '.join(NEEDED[number:])})"
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert problem_with(tmp_path) is None


def test_an_archive_and_an_absent_folder_are_told(tmp_path: Path) -> None:
    assert problem_with(tmp_path / "bundle.zip") == ("is an archive", "Unpack it and give the folder")
    wrong = problem_with(tmp_path / "nowhere")
    assert wrong is not None
    assert wrong[0] == "no such folder"
