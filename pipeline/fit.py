"""The training engine: a whole epoch as one compiled program, inside `keras.Model.fit`.

`model.fit` on arrays calls TensorFlow once a batch, which for a small network takes ten times as
long as the arithmetic. Here one call is one epoch: the images stay in memory as bytes, the program
receives the order in which to visit them, gathers each batch and takes a step, compiled by XLA.

Two kinds of training go another way, with the same steps in the same order: convolutions, for which
XLA on a CPU is slow, run the same program on TensorFlow's own kernels; and images that are too many
for the memory are read from the disk batch by batch.
"""

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from pipeline.checkpoint import Checkpoint, State
from pipeline.layers import for_training
from pipeline.noise import Augment, Noise
from pipeline.split import Split

VALIDATION_BATCH = 2000  # images at once
STREAMED_STEPS = 32  # batches from the disk in a call
READ_AHEAD = 8  # batches


def fit(
    network: keras.Model,
    train: Split,
    validation: Split,
    *,
    optimizer: keras.optimizers.Optimizer,
    loss: keras.losses.Loss,
    epochs: int,
    batch_size: int,
    seed: int,
    drop_last: bool = False,
    augment: Augment = Augment(),  # noqa: B008, it is frozen
    compiled: bool = True,
    streamed: bool = False,
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
        loss: of labels, (batch,), and logits, (batch, classes).
        epochs: passes over `train`.
        batch_size: images in a step.
        seed: draws the orders and all other noise.
        drop_last: leave out the images of an epoch that do not fill a batch.
        augment: how the images of a training step are moved.
        compiled: by XLA; or else run on TensorFlow's own kernels, made deterministic, after which
            this process compiles nothing any more.
        streamed: read each batch from where the images lie, instead of holding all in memory.
        callbacks: Keras's; to them an epoch has a single batch, if not `streamed`.
        checkpoint: where to keep the state after every epoch, and to look for one to go on from.

    Returns:
        `loss`, `accuracy`, `val_loss` and `val_accuracy`, a value for each epoch.
    """
    if not compiled:
        tf.config.experimental.enable_op_determinism()
    noise = Noise(seed, optimizer)
    network = for_training(network, noise, compiled=compiled)
    shuffle = Shuffle(len(train.labels), batch_size if drop_last else 1, seed)
    model: BatchModel
    if streamed:
        model = BatchModel(network, noise, augment)
        data = stream(train, shuffle.order, batch_size)
    else:
        model = EpochModel(
            network, noise, augment, train=train, order=shuffle.order, batch_size=batch_size
        )
        data = untuned(tf.data.Dataset.from_tensors(0))  # the program draws on `model.images`
    model.compile(
        optimizer=optimizer,
        loss=loss,
        metrics=[keras.metrics.SparseCategoricalAccuracy(name="accuracy")],
        jit_compile=compiled,
        steps_per_execution=STREAMED_STEPS if streamed else 1,
    )
    optimizer.build(model.trainable_variables)  # while it is traced, it would be traced again
    keeper = KeepState(checkpoint) if checkpoint else None
    history = keeper.restore(model) if keeper else {}
    done = len(history.get("loss", []))
    if done == epochs:
        return history
    added: keras.callbacks.History = model.fit(
        data,
        initial_epoch=done,
        epochs=epochs,
        shuffle=False,
        validation_data=stream(validation, tf.range(len(validation.labels)), VALIDATION_BATCH),
        callbacks=[shuffle, *callbacks, *([keeper] if keeper else [])],
        verbose=0,
    )
    return {name: [*history.get(name, []), *values] for name, values in added.history.items()}


class BatchModel(keras.Model):
    """`network`, whose training step is an optimizer step on a batch."""

    def __init__(self, network: keras.Model, noise: Noise, augment: Augment) -> None:
        super().__init__()
        self.network = network
        self.noise = noise
        self.augment = augment

    def call(self, images: tf.Tensor, training: bool = False) -> tf.Tensor:
        """The network's logits, (N, classes)."""
        return self.network(images, training=training)

    def train_step(self, batch: tuple[tf.Tensor, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Takes a step on `batch`, (batch, height, width) uint8 images and (batch,) labels."""
        images, labels = batch
        self.optimize(self.augment.frame(images), labels, tf.range(tf.shape(labels)[0]))
        return dict(self.get_metrics_result())

    def optimize(self, framed: tf.Tensor, labels: tf.Tensor, indices: tf.Tensor) -> None:
        """One optimizer step on what lies at `indices`, (batch,) int32, the images moved."""
        images = self.augment.take(framed, indices, self.noise)
        labels = tf.gather(labels, indices)
        with tf.GradientTape() as tape:
            logits = self(images, training=True)
            loss = self.compute_loss(images, labels, logits)
        gradients = tape.gradient(loss, self.trainable_variables)
        self.optimizer.apply(gradients, self.trainable_variables)
        # Keras has no public name for what it reports as `loss`; test_fit.py holds its value.
        self._loss_tracker.update_state(loss, sample_weight=tf.shape(indices)[0])
        self.compute_metrics(images, labels, logits)


class EpochModel(BatchModel):
    """The same, whose training step is an epoch: all images in memory in the order of `order`."""

    def __init__(
        self,
        network: keras.Model,
        noise: Noise,
        augment: Augment,
        *,
        train: Split,
        order: tf.Variable,
        batch_size: int,
    ) -> None:
        super().__init__(network, noise, augment)
        self.images = augment.frame(tf.constant(train.images))
        self.labels = tf.constant(train.labels)  # (N,) uint8
        self.order = order  # (N,) int32
        self.batch_size = batch_size

    def train_step(self, _data: tf.Tensor) -> dict[str, tf.Tensor]:
        """Takes a step for each batch, the last one with what images are left."""
        steps, rest = divmod(self.order.shape[0], self.batch_size)
        batches = tf.reshape(self.order[: steps * self.batch_size], (steps, self.batch_size))

        def body(number: tf.Tensor) -> tuple[tf.Tensor]:
            self.optimize(self.images, self.labels, batches[number])
            return (number + 1,)

        if steps:
            tf.while_loop(lambda number: number < steps, body, (0,), parallel_iterations=1)
        if rest:
            self.optimize(self.images, self.labels, self.order[-rest:])
        return dict(self.get_metrics_result())


def stream(split: Split, order: tf.Tensor | tf.Variable, batch_size: int) -> tf.data.Dataset:
    """Batches of `split`, images and labels, in the `order`, (N,) int32, that holds when read."""

    def read(start: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        images, labels = tf.numpy_function(
            lambda indices: (split.images[indices], split.labels[indices]),
            [order[start : start + batch_size]],
            (tf.uint8, tf.uint8),
        )
        return tf.ensure_shape(images, (None, *split.images.shape[1:])), tf.ensure_shape(
            labels, (None,)
        )

    starts = tf.data.Dataset.range(0, order.shape[0], batch_size)
    return untuned(starts.map(read).prefetch(READ_AHEAD))


def untuned(data: tf.data.Dataset) -> tf.data.Dataset:
    """`data` without a tuner in the background, which makes some epochs wait for 0.1 s."""
    options = tf.data.Options()
    options.autotune.enabled = False
    return data.with_options(options)


class Shuffle(keras.callbacks.Callback):
    """Draws the order of an epoch from the seed and its number, whatever came before it."""

    def __init__(self, count: int, multiple: int, seed: int) -> None:
        """Orders of `count` images, less what is over a `multiple`."""
        super().__init__()
        self.count = count
        self.seed = seed
        self.order = tf.Variable(tf.range(count - count % multiple))

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:  # noqa: ARG002
        """Called by Keras."""
        self.order.assign(epoch_order(self.count, epoch, self.seed)[: self.order.shape[0]])


class KeepState(keras.callbacks.Callback):
    """Saves the state of the training after every epoch."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        super().__init__()
        self.checkpoint = checkpoint
        self.history: dict[str, list[float]] = {}

    def restore(self, model: BatchModel) -> dict[str, list[float]]:
        """Puts `model` and its optimizer into the saved state, if there is one.

        Returns:
            The values of the epochs that are done, empty at the start.
        """
        state = self.checkpoint.load()
        if state:
            for variable, value in zip(_variables(model), state.variables, strict=True):
                variable.assign(value)
            self.history = state.history
            print(f"going on after epoch {len(self.history['loss'])}, from {self.checkpoint.path}")
        return {name: list(values) for name, values in self.history.items()}

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:  # noqa: ARG002
        """Called by Keras."""
        for name, value in logs.items():
            self.history.setdefault(name, []).append(value)
        variables = [variable.numpy() for variable in _variables(self.model)]
        self.checkpoint.save(State(variables, self.history))


def _variables(model: BatchModel) -> list[keras.Variable]:
    """All that a step changes, in an order that depends on the architecture alone."""
    return [*model.network.variables, *model.optimizer.variables]


def epoch_order(count: int, epoch: int, seed: int) -> NDArray[np.int32]:
    """The order in which `epoch` visits `count` images, (count,) int32."""
    generator = np.random.Generator(np.random.Philox(key=[seed, epoch]))
    return generator.permutation(count).astype(np.int32)
