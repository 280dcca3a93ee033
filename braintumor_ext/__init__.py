"""Brain-tumour MRI for MONAI: what a slice shows, where the tumour is, and why the model thinks so."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from braintumor_ext.inference.predictor import Predictor

__version__ = "0.8.1"
__all__ = ["Predictor", "__version__"]


def __getattr__(name: str) -> Any:
    """Import the predictor when it is asked for: the package's light parts do not wait for torch."""
    if name == "Predictor":
        from braintumor_ext.inference.predictor import Predictor

        return Predictor
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
