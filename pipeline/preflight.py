"""Checks params.yaml and the dataset that it names, before DVC starts anything.

DVC looks for the dataset's folder first, and says `No such file or directory` where there is none.
"""

import argparse

from pipeline.data.datasets import find
from pipeline.params import load
from pipeline.paths import PARAMS
from pipeline.program import Parser, run


def main(_options: argparse.Namespace) -> None:
    """Checks them."""
    find(load(PARAMS).dataset.name)


if __name__ == "__main__":
    run(Parser("pipeline.preflight", __doc__), main)
