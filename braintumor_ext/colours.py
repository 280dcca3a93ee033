"""Colours that people with colour-blindness tell apart, too."""

OKABE_ITO: tuple[str, ...] = ("#E69F00", "#0072B2", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#F0E442", "#000000")
"""Okabe and Ito 2008, https://jfly.uni-koeln.de/color/, in an order that keeps neighbours far apart."""
