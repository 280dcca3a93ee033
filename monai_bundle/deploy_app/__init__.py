"""The MONAI Deploy application: DICOM series in, DICOM segmentation and report out.

Nothing is imported here: `__main__` puts the bundle's own code on the import path first.
"""
