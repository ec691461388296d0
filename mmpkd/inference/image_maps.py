"""Figures of a student's maps for image files, with its predictions."""

import argparse
import logging
import sys

import pandas as pd
from rich.progress import track

from data_modules.files.atomic import write_text
from mmpkd.inference.figures import most_probable, write_figure
from mmpkd.inference.image_files import find_images
from mmpkd.inference.maps import METHODS, check_findings, findings_to_show, maps_of
from mmpkd.inference.predictions import predict_files
from mmpkd.records.checkpoint import checkpoint_of
from mmpkd.students import load_trained_student

logger = logging.getLogger("mmpkd")


def attribute_images(options: argparse.Namespace) -> int:
    """Draw attribution maps of a student and write its predictions.

    Args:
        options: Arguments of `mmpkd attribute`.

    Returns:
        Exit status: 0, or 1 if a file cannot be read.

    Raises:
        FileNotFoundError: If there is no checkpoint or no image.
        ValueError: If the checkpoint cannot be used, or if a finding is not among its labels.
    """
    trained = load_trained_student(checkpoint_of(options.checkpoint))
    check_findings(trained, options.finding)
    files = find_images(options.images, out=options.out)
    methods = [METHODS[name]() for name in options.attribution]
    results = predict_files(trained, files, batch_size=1, num_workers=0)
    options.out.mkdir(parents=True, exist_ok=True)
    rows = []
    unreadable = 0
    for found in track(results, "attribute", total=len(files), disable=not sys.stderr.isatty()):
        if found.probability is None or found.pixels is None or found.placement is None:
            logger.error("%s", found.error)
            unreadable += 1
            continue
        image = trained.normalised(found.pixels).to(next(trained.student.parameters()).device)
        maps = maps_of(trained, methods, image, findings_to_show(trained, found.probability, options.finding))
        path = options.out / f"{found.file.name}.{options.format}"
        write_figure(path, found.pixels, found.placement, maps, most_probable(trained, found.probability))
        values = dict(zip(trained.label_names, found.probability.tolist(), strict=True))
        rows.append({"file": str(found.file.path), "name": found.file.name, **values})
    if rows:
        write_text(options.out / "predictions.csv", pd.DataFrame(rows).to_csv(index=False))
    sys.stdout.write(f"{options.out}: figures and predictions for {len(rows)} of {len(files)} files.\n")
    return 1 if unreadable else 0
