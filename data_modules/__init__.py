"""Everything between disk and batch: readers, ROI geometry, augmentation and data modules."""

import os

# albumentations asks a server for its newest version when it is imported, unless this is set first.
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
