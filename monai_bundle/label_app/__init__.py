"""The MONAI Label app: what its stock app for bundles cannot serve (volumes, DICOM, heat maps, uncertainty)."""
