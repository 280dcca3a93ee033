"""How a checkpoint does on the slices of another hospital, sequence by sequence."""
