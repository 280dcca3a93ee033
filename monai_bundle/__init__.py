"""What makes the bundle live elsewhere: packing it, the MONAI Label app, the MONAI Deploy app."""
