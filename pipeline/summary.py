"""Prints what the last run came to: the accuracy, and where the model and the pictures are."""

import argparse
from typing import Any

from pipeline import paths
from pipeline.program import Parser, run
from pipeline.records import read_file, read_json


def summary() -> str:
    """A few short lines about the results in this folder.

    Raises:
        InputError: there are none, or they are damaged.
    """
    dataset, images, trained, scored = (
        read_json(read_file(path), str(path))
        for path in (
            paths.DOWNLOAD_METRICS,
            paths.PREPROCESS_METRICS,
            paths.TRAIN_METRICS,
            paths.EVALUATE_METRICS,
        )
    )
    interval: dict[str, Any] = scored["accuracy_interval"]
    total, name = images["images"]["test"]["total"], dataset["dataset"]
    uneven = ""
    if "balanced_accuracy" in scored:
        uneven = f"balanced   {scored['balanced_accuracy']:.2%}, the mean over classes\n"
    return (
        f"accuracy   {scored['accuracy']:.2%} on the {total:,} test images of {name},\n"
        f"           95% interval {interval['low']:.2%} to {interval['high']:.2%}\n"
        f"{uneven}"
        f"model      {paths.MODEL}, {trained['weights']:,} weights\n"
        f"pictures   {paths.CURVES}, {paths.CONFUSION}, {paths.MISTAKES}"
    )


def main(_options: argparse.Namespace) -> None:
    """Prints the summary."""
    print(summary())


if __name__ == "__main__":
    run(Parser("pipeline.summary", __doc__), main)
