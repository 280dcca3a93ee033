"""The names of things in a datalist item, a batch and a network output.

The datalist and the batch share their keys; a key that is absent from a datalist item means "unknown".
"""

from __future__ import annotations

IMAGE = "image"  # the slice: a path in a datalist, a (C, H, W) tensor in an item, (B, C, H, W) in a batch
# the tumour mask: a path in a datalist, (1, H, W) in an item. All of it is ``UNKNOWN`` where no mask is known.
LABEL = "label"
CLASS = "class"  # the class index; ``UNKNOWN`` where no class is known. Also the name of the network's class logits.
GROUP = "group"  # images of one group (a patient, or near-duplicates) never stand on two sides of a split
MASK = "mask"  # the name of the network's mask logits, (B, 1, H, W)
# where the features speak for which class, (B, K, h, w): what a training's network may give beside its logits
EVIDENCE = "evidence"
HEAT_MAP = "heat_map"  # what a prediction rests on, (B, 1, H, W) in [0, 1] on the network's input
HEAT_MAP_FLAGS = "heat_map_flags"  # for each image of a batch what is remarkable about its heat map, or an empty text
FEATURES = "features"  # means of the encoder's channels, (B, F): what an unusual input is told by
GREY = "grey"  # the slice in grey on its own grid, (H, W) in [0, 1]: what pictures are drawn from
# of each image of a batch the metadata that it was read with (see `braintumor_ext.transforms.SliceGrid.metadata`)
META = "meta"
INDEX = "index"  # which item of the data an image is: what their order is told by
ITEM = "item"  # of each image of a batch its entry in the datalist, with the paths of slice and mask, class and group
ERROR = "error"  # for each image of a batch why it could not be read, or an empty text
# for each image of a batch a `braintumor_ext.prediction.Prediction`, beside the network's output
PREDICTION = "prediction"
SLICE = "slice"  # the index of the slice in a volume; absent for a file that holds one slice
UNKNOWN = -1  # the value of a class index, and of every pixel of a mask, that is not known
