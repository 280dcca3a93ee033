"""What the tests on CUDA share with those of the bundle."""

from tests.bundle.conftest import _global_state, big_folder, phantom_dataset

__all__ = ["_global_state", "big_folder", "phantom_dataset"]
