"""The training engine: a whole epoch as one compiled program, inside `keras.Model.fit`.

`model.fit` on arrays calls TensorFlow once a batch, which for a small network takes ten times as
long as the arithmetic. Here one call is one epoch: the images stay in memory as bytes, the program
receives the order in which to visit them, gathers each batch and takes a step, compiled by XLA.
"""

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from pipeline.checkpoint import Checkpoint, State
from pipeline.split import Split

VALIDATION_BATCH = 2000  # images at once


def fit(
    network: keras.Model,
    train: Split,
    validation: Split,
    *,
    optimizer: keras.optimizers.Optimizer,
    epochs: int,
    batch_size: int,
    seed: int,
    callbacks: list[keras.callbacks.Callback],
    checkpoint: Checkpoint | None = None,
) -> dict[str, list[float]]:
    """Trains `network` to tell the classes of `train`, and validates it after every epoch.

    Every image is visited once an epoch, in an order drawn anew; the last batch may be smaller.

    Args:
        network: raw pixels to logits, see `pipeline.models`.
        train: what to learn from.
        validation: what to score after every epoch.
        optimizer: takes the steps.
        epochs: passes over `train`.
        batch_size: images in a step.
        seed: draws the orders.
        callbacks: Keras's; to them an epoch has a single batch.
        checkpoint: where to keep the state after every epoch, and to look for one to go on from.

    Returns:
        `loss`, `accuracy`, `val_loss` and `val_accuracy`, a value for each epoch.
    """
    model = EpochModel(network, train, batch_size)
    model.compile(
        optimizer=optimizer,
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=[keras.metrics.SparseCategoricalAccuracy(name="accuracy")],
        jit_compile=True,
    )
    keeper = KeepState(checkpoint) if checkpoint else None
    history = keeper.restore(model) if keeper else {}
    done = len(history.get("loss", []))
    if done == epochs:
        return history
    added: keras.callbacks.History = model.fit(
        tf.data.Dataset.from_tensors(0),  # the program draws on `model.images` instead
        initial_epoch=done,
        epochs=epochs,
        shuffle=False,
        validation_data=(validation.images, validation.labels),
        validation_batch_size=VALIDATION_BATCH,
        callbacks=[ShuffleEachEpoch(seed), *callbacks, *([keeper] if keeper else [])],
        verbose=0,
    )
    return {name: [*history.get(name, []), *values] for name, values in added.history.items()}


class EpochModel(keras.Model):
    """`network`, whose training step is an epoch: it visits all images in the order of `order`."""

    def __init__(self, network: keras.Model, train: Split, batch_size: int) -> None:
        super().__init__()
        self.network = network
        self.batch_size = batch_size
        self.images = tf.constant(train.images)  # (N, height, width) uint8
        self.labels = tf.constant(train.labels)  # (N,) uint8
        self.order = tf.Variable(tf.range(len(train.labels)), trainable=False)  # (N,) int32

    def call(self, images: tf.Tensor, training: bool = False) -> tf.Tensor:
        """The network's logits, (N, classes)."""
        return self.network(images, training=training)

    def train_step(self, _data: tf.Tensor) -> dict[str, tf.Tensor]:
        """Takes a step for each batch, the last one with what images are left."""
        steps, rest = divmod(self.order.shape[0], self.batch_size)
        batches = tf.reshape(self.order[: steps * self.batch_size], (steps, self.batch_size))

        def step(number: tf.Tensor) -> tuple[tf.Tensor]:
            self._optimize(batches[number])
            return (number + 1,)

        if steps:
            tf.while_loop(lambda number: number < steps, step, (0,))
        if rest:
            self._optimize(self.order[-rest:])
        return dict(self.get_metrics_result())

    def _optimize(self, indices: tf.Tensor) -> None:
        """One optimizer step on the images at `indices`, (batch,) int32."""
        images, labels = tf.gather(self.images, indices), tf.gather(self.labels, indices)
        with tf.GradientTape() as tape:
            logits = self(images, training=True)
            loss = self.compute_loss(images, labels, logits)
        gradients = tape.gradient(loss, self.trainable_variables)
        self.optimizer.apply(gradients, self.trainable_variables)
        # Keras has no public name for what it reports as `loss`; test_fit.py holds its value.
        self._loss_tracker.update_state(loss, sample_weight=tf.shape(indices)[0])
        self.compute_metrics(images, labels, logits)


class ShuffleEachEpoch(keras.callbacks.Callback):
    """Draws the order of an epoch from the seed and its number, whatever came before it."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.seed = seed

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:  # noqa: ARG002
        """Called by Keras."""
        self.model.order.assign(epoch_order(self.model.order.shape[0], epoch, self.seed))


class KeepState(keras.callbacks.Callback):
    """Saves the state of the training after every epoch."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        super().__init__()
        self.checkpoint = checkpoint
        self.history: dict[str, list[float]] = {}

    def restore(self, model: EpochModel) -> dict[str, list[float]]:
        """Puts `model` and its optimizer into the saved state, if there is one.

        Returns:
            The values of the epochs that are done, empty at the start.
        """
        model.optimizer.build(model.trainable_variables)
        state = self.checkpoint.load()
        if state:
            for variable, value in zip(_variables(model), state.variables, strict=True):
                variable.assign(value)
            self.history = {name: list(values) for name, values in state.history.items()}
            print(f"going on after epoch {len(self.history['loss'])}, from {self.checkpoint.path}")
        return {name: list(values) for name, values in self.history.items()}

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:  # noqa: ARG002
        """Called by Keras."""
        for name, value in logs.items():
            self.history.setdefault(name, []).append(value)
        variables = [variable.numpy() for variable in _variables(self.model)]
        self.checkpoint.save(State(variables, self.history))


def _variables(model: EpochModel) -> list[keras.Variable]:
    """All that a step changes, in an order that depends on the architecture alone."""
    return [*model.network.variables, *model.optimizer.variables]


def epoch_order(count: int, epoch: int, seed: int) -> NDArray[np.int32]:
    """The order in which `epoch` visits `count` images, (count,) int32."""
    generator = np.random.Generator(np.random.Philox(key=[seed, epoch]))
    return generator.permutation(count).astype(np.int32)
