"""Training in shards, with the same result for any number of workers.

A batch is divided into `shards` of the same size. The gradient of a shard is always computed by the
same program, and the gradients of all shards are always added up along the same binary tree,
((0+1)+(2+3))+((4+5)+(6+7)). Each of N workers computes the gradients of as many successive shards,
and adds up its own subtree; the N sums are gathered on all of them, which then add up the top of
the tree and take the same step. So the weights are the same to the bit for 1, 2, 4, ... workers.

Adding up by an all-reduce, as usual, gives other weights for another number of workers, because the
order of the additions follows from it. The idea of virtual workers is that of EasyScale (Li et al.,
SC 2023) and VirtualFlow (Or, Zhang and Freedman, MLSys 2022).
"""

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial, wraps

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from pipeline.data.split import Split
from pipeline.training import backend, compile_cache
from pipeline.training.augment import Augmentation
from pipeline.training.checkpoint import Checkpoint, SaveCheckpoint
from pipeline.training.images import Shard
from pipeline.training.layers import for_training
from pipeline.training.progress import StopUnlessFinite
from pipeline.training.randomness import RandomStream, epoch_order
from pipeline.training.reading import (
    READ_AHEAD,
    at_once,
    reading,
    stored,
    tensor_of,
    without_autotune,
)
from pipeline.training.selection import Selection, Weights
from pipeline.training.workers import Workers

NOBODY = -1  # stands for an image where a shard has fewer than its size
SUMMANDS = 4  # in a program that adds up: two in each would be slower
TOTALS = 3  # the last sums over shards: of the losses, of correct answers, of images

Examples = tuple[tf.Tensor, tf.Tensor, tf.Tensor]  # images, labels, and 1.0 where there is an image


def fit(
    network: keras.Model,
    train: Split,
    validation: Split,
    *,
    optimizer: keras.optimizers.Optimizer,
    loss: keras.losses.Loss,
    epochs: int,
    batch_size: int,
    shards: int,
    seed: int,
    workers: Workers,
    drop_last: bool = False,
    augmentation: Augmentation = Augmentation(),  # noqa: B008, it is frozen
    class_weights: NDArray[np.float32] | None = None,
    selection: Selection = Selection(),  # noqa: B008, likewise
    streamed: bool = False,
    callbacks: Sequence[keras.callbacks.Callback],
    checkpoint: Checkpoint | None = None,
) -> dict[str, list[float]]:
    """Trains as `pipeline.training.engine.fit` does, but in shards and with several workers.

    Two arguments are new: `shards`, in which to divide each batch, and the `workers`, whose number
    divides that. All others must be the same on each worker, but for `checkpoint`, which the first
    one alone has, and `callbacks`, of which `on_epoch_begin` and `on_epoch_end` are called. Where
    it is `streamed`, a worker reads the images of its own shards alone.

    Batch normalization uses the statistics of a shard, as it would on devices of their own; its
    moving statistics follow the mean over the shards.

    Raises:
        TrainingError: the loss is no longer finite; a worker was lost, or computes differently.
    """
    with reading(train, validation):
        training = Sharded(
            network,
            RandomStream(seed, optimizer, shards),
            augmentation,
            class_weights,
            selection,
            epochs=epochs,
            loss=loss,
            workers=workers,
        )
        weights = training.weights
        save = SaveCheckpoint(checkpoint, training.variables) if checkpoint else None
        history = workers.share_state(training.variables, save.restore() if save else {})
        weights.accuracies = [*history.get("val_accuracy", [])]
        listeners = [StopUnlessFinite(), weights, *([save] if save else []), *callbacks]
        count = len(train.labels)
        usable = count - count % batch_size if drop_last else count
        steps = math.ceil(usable / batch_size)
        batches = Feed(
            train,
            (steps, len(training.mine), math.ceil(batch_size / shards)),
            streamed=streamed,
        )
        unseen = own_blocks(validation, shards, workers)
        blocks = Feed(validation, unseen.shape, streamed=True)
        while not selection.ended(weights.accuracies, epochs):
            epoch = len(weights.accuracies)
            for listener in listeners:
                listener.on_epoch_begin(epoch)
            order = epoch_order(count, epoch, seed)[:usable]
            own = divide(order, batch_size, shards)[:, training.mine]
            values = training.epoch(batches.read(own), steps)
            weights.on_test_begin()
            scored = training.validate(blocks.read(unseen))
            weights.on_test_end()
            values |= {f"val_{name}": value for name, value in scored.items()}
            workers.compare_state(training.variables, epoch)
            for name, value in values.items():
                history.setdefault(name, []).append(value)
            for listener in listeners:
                listener.on_epoch_end(epoch, values)
        weights.finish()
    return history


def divide(order: NDArray[np.int32], batch_size: int, shards: int) -> NDArray[np.int32]:
    """Divides an order of images into batches, and each of them into shards of the same size.

    Args:
        order: (N,) the images in the order in which an epoch visits them.
        batch_size: images per step.
        shards: in which to divide a batch.

    Returns:
        (steps, shards, size); where images are missing, at the end of a batch, NOBODY.
    """
    steps, size = math.ceil(len(order) / batch_size), math.ceil(batch_size / shards)
    batches = np.full(steps * batch_size, NOBODY, np.int32)
    batches[: len(order)] = order
    divided = np.full((steps, shards * size), NOBODY, np.int32)
    divided[:, :batch_size] = batches.reshape(steps, batch_size)
    return divided.reshape(steps, shards, size)


def own_blocks(split: Split, shards: int, workers: Workers) -> NDArray[np.int32]:
    """The part of `split` that this worker scores, divided in the same way for any number of them.

    Returns:
        (blocks, size) positions in `split`, or NOBODY.
    """
    count, limit = len(split.labels), backend.images_at_once(split.images.shape[1:])
    blocks = shards * math.ceil(count / (shards * limit))
    return divide(np.arange(count, dtype=np.int32), count, blocks)[0, workers.part(blocks)]


class Feed:
    """Reads examples of a split."""

    def __init__(self, split: Split, shape: tuple[int, ...], *, streamed: bool) -> None:
        """Of `shape[0]` times `shape[1:]` examples; from where they are stored if `streamed`."""
        self.places = tf.Variable(tf.fill(shape, NOBODY))
        read = _reader(split, streamed=streamed)

        def examples(number: tf.Tensor) -> Examples:
            places = self.places[number]
            there = places != NOBODY
            return *read(tf.where(there, places, 0)), tf.cast(there, tf.float32)

        numbers = tf.data.Dataset.range(shape[0])
        self.data = without_autotune(numbers.map(examples, at_once(split)).prefetch(READ_AHEAD))

    def read(self, places: NDArray[np.int32]) -> tf.data.Iterator:
        """The examples at `places[0]`, `places[1]`, ..., as positions in the split or NOBODY."""
        self.places.assign(places)
        return iter(self.data)


def _reader(split: Split, *, streamed: bool) -> Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]:
    """A function of positions in `split`, int32, that returns the images and labels there."""
    if not streamed:
        images, labels = tensor_of(split.images), tf.constant(split.labels)
        return lambda places: (tf.gather(images, places), tf.gather(labels, places))

    return partial(stored, split)


class Sharded:
    """A network that takes its steps in shards."""

    def __init__(
        self,
        network: keras.Model,
        stream: RandomStream,
        augmentation: Augmentation,
        class_weights: NDArray[np.float32] | None,
        selection: Selection,
        *,
        epochs: int,
        loss: keras.losses.Loss,
        workers: Workers,
    ) -> None:
        self.shard = Shard()
        self.network = for_training(network, stream, self.shard)
        self.stream = stream
        self.optimizer = stream.optimizer
        self.augmentation = augmentation
        self.class_weights = class_weights  # (classes,)
        self.loss = loss
        self.workers = workers
        self.mine = workers.part(stream.shards)  # the numbers of this worker's shards
        self.optimizer.build(self.network.trainable_variables)
        self.weights = Weights(self.network, self.optimizer, selection, epochs)

        def program(function: Callable[..., object]) -> tf.types.experimental.PolymorphicFunction:
            """One that is compiled by itself, whatever calls it, so that its results agree."""
            apart = {"_noinline": True}

            @wraps(function)
            def traced(*arguments: object) -> object:
                compile_cache.number_afresh()
                return function(*arguments)

            return tf.function(traced, jit_compile=True, experimental_attributes=apart)

        self.steps = tf.function(self._steps)
        self.gradient = program(self._gradient)
        self.add = program(_tree)
        self.apply = program(self._apply)
        self.test = program(self._test)

    @property
    def variables(self) -> list[keras.Variable]:
        """Everything that a step changes, in an order that only the architecture determines."""
        return [*self.network.variables, *self.optimizer.variables, *self.weights.variables]

    def epoch(self, batches: Iterator[Examples], steps: int) -> dict[str, float]:
        """Takes `steps` steps.

        Args:
            batches: of each step the examples of this worker's shards, (shards, size, ...).
            steps: how many.

        Returns:
            The mean `loss` and the `accuracy` over the images of all shards.
        """
        return _means(self.steps(batches, tf.constant(steps)).numpy())

    def validate(self, blocks: tf.data.Iterator) -> dict[str, float]:
        """The mean `loss` and the `accuracy` over all workers' `blocks`, (size, ...) each."""
        self.test.get_concrete_function(*blocks.element_spec)  # before anything reads ahead
        own = np.array([[total.numpy() for total in self.test(*block)] for block in blocks])
        totals = self.workers.gather(tf.constant(own.reshape(-1))).numpy()  # in the blocks' order
        return _means(totals.reshape(-1, TOTALS).astype(np.float64).sum(axis=0))

    def _steps(self, batches: Iterator[Examples], steps: tf.Tensor) -> tf.Tensor:
        """The sums of the totals over all steps, (TOTALS,) float64."""

        def body(step: tf.Tensor, sums: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            total = self._total(next(batches))
            self.apply(total)
            return step + 1, sums + tf.cast(tf.stack(total[-TOTALS:]), tf.float64)

        start = (0, tf.zeros(TOTALS, tf.float64))
        return tf.while_loop(lambda step, _: step < steps, body, start, parallel_iterations=1)[1]

    def _total(self, examples: Examples) -> list[tf.Tensor]:
        """The sum over all shards of what `_gradient` returns."""

        def tree(first: int, count: int) -> list[tf.Tensor]:
            if count == 1:
                shard = [part[first] for part in examples]
                return list(self.gradient(*shard, tf.constant(self.mine[first])))
            share = max(1, count // SUMMANDS)
            return list(self.add([tree(first + n, share) for n in range(0, count, share)]))

        return self.workers.add_up(tree(0, len(self.mine)))

    def _gradient(
        self, images: tf.Tensor, labels: tf.Tensor, there: tf.Tensor, number: tf.Tensor
    ) -> list[tf.Tensor]:
        """What a shard contributes to a step.

        Args:
            images: (size, height, width[, 3]) uint8.
            labels: (size,).
            there: (size,) 1.0 where there is an image, 0.0 where there is none.
            number: () int32 the shard's.

        Returns:
            The gradient of the sum of the losses by each trainable variable; the moments of each
            batch normalization, times the number of images; the totals.
        """
        self.stream.shard = number
        self.shard.begin(there)
        size = tf.range(tf.shape(labels)[0])
        images = self.augmentation.gather(images, size, self.stream)
        weights = there
        if self.class_weights is not None:
            own = tf.gather(tf.constant(self.class_weights), tf.cast(labels, tf.int32))
            weights = there * own
        with tf.GradientTape() as tape:
            logits = self.network(images, training=True)
            loss = self._sum_of_losses(labels, logits, weights)
        gradients = tape.gradient(loss, self.network.trainable_variables)
        return [*gradients, *self.shard.moments, *_totals(loss, labels, logits, there)]

    def _test(self, images: tf.Tensor, labels: tf.Tensor, there: tf.Tensor) -> list[tf.Tensor]:
        """The totals of images that are not for training, see `_gradient`."""
        logits = self.network(images, training=False)
        return _totals(self._sum_of_losses(labels, logits, there), labels, logits, there)

    def _sum_of_losses(self, labels: tf.Tensor, logits: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
        mean = self.loss(labels, logits, sample_weight=weights)  # over all, whatever their weights
        return mean * tf.cast(tf.shape(labels)[0], tf.float32)

    def _apply(self, total: list[tf.Tensor]) -> None:
        """Takes a step, by the sum over all shards of what `_gradient` returns."""
        variables = self.network.trainable_variables
        means = [part / total[-1] for part in total[:-TOTALS]]
        self.optimizer.apply(means[: len(variables)], variables)
        self.shard.update_moving(means[len(variables) :])
        self.weights.update()


def _tree(summands: list[list[tf.Tensor]]) -> list[tf.Tensor]:
    """The sum of 2, 4, ... lists of tensors, added up in pairs."""
    while len(summands) > 1:
        pairs = zip(summands[::2], summands[1::2], strict=True)
        summands = [[a + b for a, b in zip(*pair, strict=True)] for pair in pairs]
    return summands[0]


def _totals(
    loss: tf.Tensor, labels: tf.Tensor, logits: tf.Tensor, there: tf.Tensor
) -> list[tf.Tensor]:
    """TOTALS scalars, float32."""
    right = tf.argmax(logits, -1, tf.int32) == tf.cast(labels, tf.int32)
    return [loss, tf.reduce_sum(tf.where(right, there, 0.0)), tf.reduce_sum(there)]


def _means(totals: NDArray[np.float64]) -> dict[str, float]:
    loss, right, count = totals.tolist()
    return {"loss": loss / count, "accuracy": right / count}
