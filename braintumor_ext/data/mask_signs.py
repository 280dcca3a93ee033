"""What speaks against a mask: it is not what its slice's tumour looks like."""

from __future__ import annotations

import numpy as np

LARGE = 0.5
"""A mask of more than this share of its slice is worth a look: the largest of 2,473 hand-drawn ones has 0.15."""

_BORDER = 0.9  # share of the slice's border that an inverted mask marks
_ALPHA_CHANNELS = (2, 4)


def mask_signs(stored: np.ndarray, mask: np.ndarray) -> list[str]:
    """Say what is remarkable about a mask, (H, W) of 0 and 1, made of (C, H, W) stored values; nothing of most."""
    signs = []
    if stored.shape[0] in _ALPHA_CHANNELS and np.ptp(stored[:-1]) == 0 and np.ptp(stored[-1]) > 0:
        signs.append("its outline is in the alpha channel alone, which is not read: save it in grey")
    tumour = mask > 0
    share = float(tumour.mean())
    if share > LARGE:
        border = np.concatenate([tumour[0], tumour[-1], tumour[:, 0], tumour[:, -1]])
        if border.mean() > _BORDER and not tumour.all():
            signs.append(f"tumour is everywhere but in {int((~tumour).sum()):,} pixels inside: it looks inverted")
        else:
            signs.append(f"it covers {share:.0%} of the slice")
    return signs
