"""Which weights of a training are scored after each epoch, and which are kept in the end."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import keras
import tensorflow as tf


@dataclass(frozen=True)
class Selection:
    """What `train` in params.yaml says of that."""

    average: float = 0.0  # decay of a moving average of the weights; 0 for the weights themselves
    keep: Literal["last", "best"] = "last"  # the best by validation accuracy, of several the first
    patience: int = 0  # epochs without a better validation accuracy that end it; 0 for no end

    def kept(self, accuracies: Sequence[float]) -> int:
        """The epoch, from 0, whose weights are kept.

        Args:
            accuracies: on the validation images, after each epoch.
        """
        return best(accuracies) if self.keep == "best" else len(accuracies) - 1

    def ended(self, accuracies: Sequence[float], epochs: int) -> bool:
        """Whether a training of up to `epochs` has ended after those with `accuracies`."""
        waited = len(accuracies) - 1 - best(accuracies) if accuracies else 0
        return len(accuracies) == epochs or 0 < self.patience <= waited


def best(accuracies: Sequence[float]) -> int:
    """The place of the highest one, of several the first."""
    return max(range(len(accuracies)), key=accuracies.__getitem__)


class Weights(keras.callbacks.Callback):
    """The weights of a network that learns, their moving average, and the best so far.

    The average is over all weights, the moving statistics of batch normalization included, which
    therefore belong to the averaged weights, as with `use_buffers=True` in PyTorch's
    `AveragedModel`. Its decay rises from 2/11 after the first step, (1 + t)/(10 + t), to the one
    asked for, as that of TensorFlow's `ExponentialMovingAverage` does, so that the initial weights
    do not count for long.

    Source: Polyak and Juditsky, "Acceleration of Stochastic Approximation by Averaging", SIAM J.
    Control Optim. 30, 1992; with an exponential decay as in Szegedy et al., CVPR 2016.
    """

    def __init__(
        self,
        network: keras.Model,
        optimizer: keras.optimizers.Optimizer,
        selection: Selection,
        epochs: int,
    ) -> None:
        """For a training of `network` by `optimizer` in up to `epochs`."""
        super().__init__()
        self.optimizer = optimizer
        self.selection = selection
        self.epochs = epochs
        self.own: list[keras.Variable] = network.weights
        self.average = _copies(self.own) if selection.average else []
        self.best = _copies(self.own) if selection.keep == "best" else []
        self.accuracies: list[float] = []  # on the validation images, after each epoch

    @property
    def variables(self) -> list[keras.Variable]:
        """What a checkpoint needs beside the network's own."""
        return [*self.average, *self.best]

    def update(self) -> None:
        """Moves the average towards the weights after a step, as a part of its program."""
        if not self.average:
            return
        steps = tf.cast(self.optimizer.iterations, tf.float32)
        decay = tf.minimum(self.selection.average, (1 + steps) / (10 + steps))
        for average, weight in zip(self.average, self.own, strict=True):
            average.assign(average + (1 - decay) * (weight - average))

    def on_test_begin(self, logs: dict[str, float] | None = None) -> None:  # noqa: ARG002
        """Called by Keras: puts the average in the place of the weights, if there is one."""
        if self.average:
            self.learning = [weight.numpy() for weight in self.own]
            _assign(self.own, self.average)

    def on_test_end(self, logs: dict[str, float] | None = None) -> None:  # noqa: ARG002
        """Called by Keras: puts the weights back."""
        if self.average:
            _assign(self.own, self.learning)

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        """Called by Keras, or without a model by others: keeps the best weights; may end it."""
        self.accuracies.append(logs["val_accuracy"])
        if self.best and best(self.accuracies) == epoch:
            _assign(self.best, self.average or self.own)
        if self.model and self.selection.ended(self.accuracies, self.epochs):
            self.model.stop_training = True

    def finish(self) -> None:
        """Leaves in the network the weights that are kept."""
        if kept := self.best or self.average:
            _assign(self.own, kept)


def _copies(variables: Sequence[keras.Variable]) -> list[keras.Variable]:
    return [keras.Variable(one, trainable=False, dtype=one.dtype) for one in variables]


def _assign(variables: Sequence[keras.Variable], values: Sequence[object]) -> None:
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
