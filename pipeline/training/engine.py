"""The training engine: a whole epoch as one compiled program, inside `keras.Model.fit`.

`model.fit` on arrays calls TensorFlow once per batch, which for a small network takes ten times as
long as the arithmetic. Here one call is one epoch: the images stay in memory as bytes, and the
program, compiled by XLA, receives the order in which to visit them, gathers each batch and takes a
step.

Images that do not fit in memory come in blocks of many batches, each of which goes through the same
steps, while the next one is read.
"""

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from pipeline.data.split import Split
from pipeline.training import backend, compile_cache
from pipeline.training.augment import Augmentation
from pipeline.training.checkpoint import Checkpoint, SaveCheckpoint
from pipeline.training.layers import for_training
from pipeline.training.progress import StopUnlessFinite
from pipeline.training.randomness import RandomStream, epoch_order
from pipeline.training.reading import batches, blocks, reading, tensor_of, without_autotune
from pipeline.training.selection import Selection, Weights


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
    augmentation: Augmentation = Augmentation(),  # noqa: B008, it is frozen
    class_weights: NDArray[np.float32] | None = None,
    selection: Selection = Selection(),  # noqa: B008, likewise
    streamed: bool = False,
    callbacks: list[keras.callbacks.Callback],
    checkpoint: Checkpoint | None = None,
) -> dict[str, list[float]]:
    """Trains `network` to classify the images of `train`, and validates it after every epoch.

    Every image is visited once per epoch, in a new order; the last batch may be smaller.

    Args:
        network: raw pixels to logits, see `pipeline.training.models`.
        train: what to learn from.
        validation: what to score after every epoch.
        optimizer: takes the steps.
        loss: of labels, (batch,), and logits, (batch, classes).
        epochs: passes over `train`.
        batch_size: images per step.
        seed: determines the orders and all other random numbers.
        drop_last: skip the images of an epoch that do not fill a batch.
        augmentation: how the images of a step are moved.
        class_weights: (classes,) by which the loss of an image is multiplied, in training alone;
            as in Keras, the mean over a batch is not divided by the sum of the weights.
        selection: which weights are scored after each epoch, and which are left in `network`.
        streamed: read the images block by block from where they are stored, instead of holding all
            in memory.
        callbacks: Keras callbacks; to them a block is a batch, and an epoch has one unless
            `streamed`.
        checkpoint: where to save the state after every epoch, and from which to resume.

    Returns:
        `loss`, `accuracy`, `val_loss` and `val_accuracy`, a value for each epoch that ran.

    Raises:
        TrainingError: the loss is no longer finite.
        PipelineError: images in a store cannot be read.
    """
    stream = RandomStream(seed, optimizer)
    network = for_training(network, stream)
    weights = Weights(network, optimizer, selection, epochs)
    shuffle = Shuffle(len(train.labels), batch_size if drop_last else 1, seed)
    model: BatchModel
    if streamed:
        model = BlockModel(
            network,
            stream,
            augmentation,
            class_weights,
            weights,
            batch_size=batch_size,
            rest=shuffle.order.shape[0] % batch_size,
        )
        data = blocks(train, shuffle.order, batch_size)
    else:
        model = EpochModel(
            network,
            stream,
            augmentation,
            class_weights,
            weights,
            train=train,
            order=shuffle.order,
            batch_size=batch_size,
        )
        data = without_autotune(tf.data.Dataset.from_tensors(0))  # its images are `model.images`
    model.compile(
        optimizer=optimizer,
        loss=loss,
        metrics=[keras.metrics.SparseCategoricalAccuracy(name="accuracy")],
        jit_compile=True,
    )
    optimizer.build(model.trainable_variables)  # before tracing, which would otherwise happen twice
    variables = [*model_variables(model), *weights.variables]
    save = SaveCheckpoint(checkpoint, variables) if checkpoint else None
    history = save.restore() if save else {}
    weights.accuracies = [*history.get("val_accuracy", [])]
    if selection.ended(weights.accuracies, epochs):
        weights.finish()
        return history
    with reading(train, validation):
        added: keras.callbacks.History = model.fit(
            data,
            initial_epoch=len(weights.accuracies),
            epochs=epochs,
            shuffle=False,
            validation_data=batches(
                validation,
                tf.range(len(validation.labels)),
                backend.images_at_once(validation.images.shape[1:]),
            ),
            callbacks=[shuffle, StopUnlessFinite(), weights, *([save] if save else []), *callbacks],
            verbose=0,
        )
    weights.finish()
    return {name: [*history.get(name, []), *values] for name, values in added.history.items()}


def model_variables(model: "BatchModel") -> list[keras.Variable]:
    """Everything that a step changes, in an order that only the architecture determines."""
    return [*model.network.variables, *model.optimizer.variables]


class BatchModel(keras.Model):
    """A network that can take an optimizer step on a batch."""

    def __init__(
        self,
        network: keras.Model,
        stream: RandomStream,
        augmentation: Augmentation,
        class_weights: NDArray[np.float32] | None,
        weights: Weights,
        *,
        batch_size: int,
    ) -> None:
        super().__init__()
        self.batch_size = batch_size
        self.network = network
        self.stream = stream
        self.augmentation = augmentation
        self.class_weights = class_weights  # (classes,)
        self.averaged = weights

    def call(self, images: tf.Tensor, training: bool = False) -> tf.Tensor:
        """The network's logits, (N, classes)."""
        return self.network(images, training=training)

    def test_step(self, batch: tuple[tf.Tensor, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Scores a batch of images, (batch, height, width[, 3]) uint8, and labels, (batch,)."""
        compile_cache.number_afresh()
        return dict(super().test_step(batch))

    def optimize(self, images: tf.Tensor, labels: tf.Tensor, indices: tf.Tensor) -> None:
        """Takes an optimizer step on the examples at `indices`, (batch,) int32, augmented."""
        images = self.augmentation.gather(images, indices, self.stream)
        labels = tf.gather(labels, indices)
        with tf.GradientTape() as tape:
            logits = self(images, training=True)
            loss = self.compute_loss(images, labels, logits, self.weights_of(labels))
        gradients = tape.gradient(loss, self.trainable_variables)
        self.optimizer.apply(gradients, self.trainable_variables)
        self.averaged.update()
        # Keras has no public name for what it reports as `loss`; test_engine.py checks its value.
        self._loss_tracker.update_state(loss, sample_weight=tf.shape(indices)[0])
        self.compute_metrics(images, labels, logits)

    def take_steps(
        self, images: tf.Tensor, labels: tf.Tensor, order: tf.Tensor, count: int | tf.Tensor
    ) -> None:
        """Takes a step on each of the first `count` batches of an `order`, (M,) int32."""

        def body(number: tf.Tensor) -> tuple[tf.Tensor]:
            start = number * self.batch_size
            self.optimize(images, labels, tf.slice(order, [start], [self.batch_size]))
            return (number + 1,)

        tf.while_loop(lambda number: number < count, body, (0,), parallel_iterations=1)

    def weights_of(self, labels: tf.Tensor) -> tf.Tensor | None:
        """(batch,) what each example counts for in the loss; None if all count the same."""
        if self.class_weights is None:
            return None
        return tf.gather(tf.constant(self.class_weights), tf.cast(labels, tf.int32))


class EpochModel(BatchModel):
    """A network whose training step is an epoch: all images, in memory, in the order `order`."""

    def __init__(
        self,
        network: keras.Model,
        stream: RandomStream,
        augmentation: Augmentation,
        class_weights: NDArray[np.float32] | None,
        weights: Weights,
        *,
        train: Split,
        order: tf.Variable,
        batch_size: int,
    ) -> None:
        super().__init__(
            network, stream, augmentation, class_weights, weights, batch_size=batch_size
        )
        self.images = tensor_of(train.images)
        self.labels = tf.constant(train.labels)  # (N,)
        self.order = order  # (N,) int32

    def train_step(self, _data: tf.Tensor) -> dict[str, tf.Tensor]:
        """Takes a step for each batch, the last one with the images that remain."""
        compile_cache.number_afresh()
        count, rest = divmod(self.order.shape[0], self.batch_size)
        if count:
            self.take_steps(self.images, self.labels, self.order, count)
        if rest:
            self.optimize(self.images, self.labels, self.order[-rest:])
        return dict(self.get_metrics_result())


class BlockModel(BatchModel):
    """A network whose training step is a block of an epoch, as `reading.blocks` gives it."""

    def __init__(
        self,
        network: keras.Model,
        stream: RandomStream,
        augmentation: Augmentation,
        class_weights: NDArray[np.float32] | None,
        weights: Weights,
        *,
        rest: int,
        batch_size: int,
    ) -> None:
        super().__init__(
            network, stream, augmentation, class_weights, weights, batch_size=batch_size
        )
        self.rest = rest  # images in the last batch of an epoch, if they are fewer than in others

    def train_step(self, block: tuple[tf.Tensor, ...]) -> dict[str, tf.Tensor]:
        """Takes a step for each batch of a block."""
        compile_cache.number_afresh()
        images, labels, order, count, last = block
        self.take_steps(images, labels, order, count)

        def step() -> tf.Tensor:
            places = count * self.batch_size + tf.range(self.rest)
            self.optimize(images, labels, tf.gather(order, places))
            return count

        if self.rest:
            tf.cond(last, step, lambda: count)
        return dict(self.get_metrics_result())


class Shuffle(keras.callbacks.Callback):
    """Draws the order of an epoch from the seed and its number, whatever came before it."""

    def __init__(self, count: int, multiple: int, seed: int) -> None:
        """Orders of `count` images, rounded down to a multiple of `multiple`."""
        super().__init__()
        self.count = count
        self.seed = seed
        self.order = tf.Variable(tf.range(count - count % multiple))

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:  # noqa: ARG002
        """Called by Keras."""
        self.order.assign(epoch_order(self.count, epoch, self.seed)[: self.order.shape[0]])
