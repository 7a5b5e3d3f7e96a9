"""One worker of a training that `benchmarks.workers` measures; it prints what it saw as JSON.

It trains in three ways, alternately: `sharded`, as with train.shards; `all-reduce`, the same, but
with TensorFlow's all-reduce instead of the fixed tree; `whole`, without shards.
"""

import argparse
import json
import os
import time
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.archives import load
from pipeline.cluster import cluster_of
from pipeline.data.split import Split
from pipeline.program import Parser, run
from pipeline.training import backend

NETWORK = Path("/sys/class/net/eth0/statistics/tx_bytes")


def sent() -> int:
    """The bytes that this machine has sent; 0 if it has no network."""
    return int(NETWORK.read_text()) if NETWORK.exists() else 0


def parser() -> Parser:
    """The arguments of the program."""
    arguments = Parser("benchmarks.worker", __doc__)
    arguments.add_argument("mnist", type=Path, help="the folder with MNIST's archives")
    arguments.add_argument(
        "--ways", nargs="+", choices=("sharded", "all-reduce", "whole"), required=True
    )
    arguments.add_argument("--rounds", type=int, default=1, help="of all ways")
    arguments.add_argument("--network", choices=("mlp", "cnn"), default="mlp")
    arguments.add_argument("--batch", type=int, default=128)
    arguments.add_argument("--shards", type=int, default=4)
    arguments.add_argument("--steps", type=int, default=100, help="of an epoch")
    arguments.add_argument("--epochs", type=int, default=3, help="after one that compiles")
    return arguments


def main(options: argparse.Namespace) -> None:
    """Trains, and prints the seconds and the sent bytes of a step, for each way by epoch."""
    cluster = cluster_of(os.environ)
    backend.start()
    import keras
    import numpy as np
    import tensorflow as tf
    from numpy.typing import NDArray

    from pipeline.training import engine, shards
    from pipeline.training.models import MODELS
    from pipeline.training.optimizers import make_loss
    from pipeline.training.workers import ALL, Tensors, Workers, packed, unpacked

    class Either(Workers):
        """Adds up along the tree, or in the order that follows from the number of workers."""

        all_reduce = False

        def add_up(self, parts: Tensors) -> Tensors:
            if not self.all_reduce:
                return super().add_up(parts)
            flat = tf.raw_ops.CollectiveReduceV2(
                input=packed(parts),
                group_size=self.count,
                group_key=ALL,
                instance_key=next(self.exchanges),
                ordering_token=[],
                merge_op="Add",
                final_op="Id",
                communication_hint="ring",
            )
            return unpacked(flat, parts)

    workers = Either(cluster)
    settings: dict[str, object] = {"hidden_units": [512], "dropout": 0.0}
    if options.network == "cnn":
        settings |= {"filters": [24, 56, 96, 128], "hidden_units": [128]}
    everything = Split(*load(options.mnist, "train"), tuple("0123456789"), 255)
    train = everything.select(np.arange(options.steps * options.batch))

    def measure(way: str) -> NDArray[np.float64]:
        """The seconds and the sent bytes of a step: (epochs, 2)."""
        seen: list[tuple[float, int]] = []  # at the beginning and at the end of each epoch
        meter = keras.callbacks.LambdaCallback(
            on_epoch_begin=lambda _epoch, _logs=None: seen.append((time.perf_counter(), sent())),
            on_epoch_end=lambda _epoch, _logs=None: seen.append((time.perf_counter(), sent())),
        )
        keras.utils.set_random_seed(0)
        network = MODELS[options.network]((28, 28), 10, 1 / 255, **settings)
        workers.all_reduce = way == "all-reduce"
        fit: Any = engine.fit
        if way != "whole":
            fit = partial(shards.fit, shards=options.shards, workers=workers)
        fit(
            network,
            train,
            train.select(np.arange(1)),  # validation is not measured
            optimizer=keras.optimizers.Adam(),
            loss=make_loss(0.0),
            epochs=1 + options.epochs,
            batch_size=options.batch,
            seed=0,
            callbacks=[meter],
        )
        weights.add(sum(int(np.prod(one.shape)) for one in network.trainable_variables))
        times = np.array(seen).reshape(-1, 2, 2)  # epochs, beginning and end, seconds and bytes
        taken: NDArray[np.float64] = np.diff(times, axis=1)[1:, 0] / options.steps
        return taken

    weights: set[int] = set()
    took: dict[str, list[NDArray[np.float64]]] = {way: [] for way in options.ways}
    workers.meet({"options": vars(options) | {"mnist": ""}})
    for _ in range(options.rounds):
        for way in options.ways:
            took[way].append(measure(way))
    workers.part_company()
    (count,) = weights
    steps = {way: np.concatenate(rounds).T.tolist() for way, rounds in took.items()}
    print(json.dumps({"steps": steps, "weights": count}))


if __name__ == "__main__":
    run(parser(), main)
