"""Stage 3: data/processed/train to models/model.keras, validated after every epoch."""

import hashlib
import math
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pipeline import backend, paths, stage
from pipeline.artifacts import replacing, write_csv, write_json, write_keras
from pipeline.checkpoint import Checkpoint
from pipeline.errors import InputError
from pipeline.params import Augment, Model, Params, Train
from pipeline.split import Split

if TYPE_CHECKING:
    import keras

HISTORY_COLUMNS = ("loss", "accuracy", "val_loss", "val_accuracy")
MEMORY_SHARE = 0.25  # of the machine's: images that need more are read from the disk
NOT_DECAYED = ["bias", "beta", "gamma"]  # weights that shift and scale; decay is for the others


class Outputs(NamedTuple):
    """Where `train` writes what."""

    model: Path  # the `.keras` file: raw pixels to logits, not compiled
    history: Path  # CSV, a row for each epoch
    metrics: Path  # JSON: the last and the best values, and the number of weights
    provenance: Path  # JSON: which processor and versions made this very model


def train(
    model: Model,
    params: Train,
    augment: Augment,
    *,
    training: Path,
    validation: Path,
    outputs: Outputs,
    checkpoints: Path,
) -> None:
    """Trains a new network and writes it.

    Args:
        model: what to build.
        params: how to train it.
        augment: how to move the training images.
        training: the folder of a `Split`, to learn from.
        validation: the folder of a `Split`, to score after every epoch.
        outputs: the files to write.
        checkpoints: the folder for the state after each epoch, from which a killed run goes on.

    Raises:
        InputError: the two splits are not there, or do not fit each other.
        TrainingError: the loss is not finite any more; nothing is written.
    """
    train_split, validation_split = Split.load(training), Split.load(validation)
    if train_split.images.shape[1:] != validation_split.images.shape[1:]:
        raise InputError(f"{validation}: its images are not of the size of {training}; dvc repro")
    if params.drop_last and params.batch_size > len(train_split.labels):
        raise InputError(
            f"train.batch_size: found {params.batch_size}, expected at most the "
            f"{len(train_split.labels)} training images where train.drop_last is true"
        )
    checkpoint = Checkpoint(
        checkpoints,
        {
            "params": [section.model_dump() for section in (model, params, augment)],
            "data": [_digest(sorted(folder.iterdir())) for folder in (training, validation)],
            "code": _digest(sorted(Path(__file__).parent.glob("*.py"))),
            "versions": _versions(),
        },
    )

    backend.start()
    import keras

    from pipeline import noise
    from pipeline.fit import fit
    from pipeline.models import MODELS
    from pipeline.progress import Progress, StopUnlessFinite

    keras.utils.set_random_seed(params.seed)
    build, compiled = MODELS[model.name]
    network = build(
        train_split.images.shape[1:],
        len(train_split.class_names),
        1 / max(1, int(train_split.images.max())),
        **model.model_dump(exclude={"name"}),
    )
    print(
        f"{model.name}: {network.count_params():,} weights, "
        f"{len(train_split.labels):,} training images, {len(validation_split.labels):,} to validate"
    )
    values = fit(
        network,
        train_split,
        validation_split,
        optimizer=make_optimizer(params, len(train_split.labels)),
        loss=make_loss(params.label_smoothing),
        epochs=params.epochs,
        batch_size=params.batch_size,
        seed=params.seed,
        drop_last=params.drop_last,
        augment=noise.Augment(**augment.model_dump()),
        compiled=compiled,
        streamed=train_split.images.nbytes > MEMORY_SHARE * backend.memory(),
        callbacks=[Progress(params.epochs), StopUnlessFinite()],
        checkpoint=checkpoint,
    )
    _write(network, values, outputs)
    checkpoint.remove()


def _write(network: "keras.Model", history: dict[str, list[float]], outputs: Outputs) -> None:
    epochs = len(history["loss"])
    best = max(range(epochs), key=history["val_accuracy"].__getitem__)
    columns = [history[name] for name in HISTORY_COLUMNS]
    with replacing(*outputs) as temporary:
        new = Outputs(*temporary)
        write_keras(new.model, network)
        write_csv(
            new.history,
            ("epoch", *HISTORY_COLUMNS),
            zip(range(1, epochs + 1), *columns, strict=True),
        )
        write_json(
            new.metrics,
            {
                "final": {name: history[name][-1] for name in HISTORY_COLUMNS},
                "best": {"epoch": best + 1, "val_accuracy": history["val_accuracy"][best]},
                "weights": network.count_params(),
            },
        )
        write_json(
            new.provenance,
            {
                "model_md5": hashlib.md5(new.model.read_bytes(), usedforsecurity=False).hexdigest(),
                "processor": backend.processor(),
                "versions": _versions(),
            },
        )


def _versions() -> dict[str, str]:
    return {name: version(name) for name in ("keras", "numpy", "tensorflow")}


def _digest(files: Iterable[Path]) -> str:
    """The SHA-256 of `files`, with their names."""
    digest = hashlib.sha256()
    for path in files:
        with path.open("rb") as file:
            digest.update(f"{path.name}\n".encode())
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def make_loss(label_smoothing: float) -> "keras.losses.Loss":
    """Cross-entropy of labels, (N,), and logits, (N, classes); smoothed as by Szegedy et al., 2016.

    (Rethinking the Inception Architecture, CVPR.) Keras smooths targets of one number per class.
    """
    import keras

    if not label_smoothing:
        return keras.losses.SparseCategoricalCrossentropy(from_logits=True)

    def smoothed(labels: Any, logits: Any) -> Any:  # noqa: ANN401, tensors
        targets = keras.ops.one_hot(keras.ops.reshape(labels, (-1,)), logits.shape[-1])
        return keras.losses.categorical_crossentropy(
            targets, logits, from_logits=True, label_smoothing=label_smoothing
        )

    return smoothed


def make_optimizer(params: Train, images: int) -> "keras.optimizers.Optimizer":
    """The optimizer with its rate for each step, for an epoch of so many `images`."""
    import keras

    rounded = math.floor if params.drop_last else math.ceil
    epoch = rounded(images / params.batch_size)  # steps
    rate: float | keras.optimizers.schedules.LearningRateSchedule = params.learning_rate
    if params.schedule == "cosine":
        warmup = params.warmup_epochs * epoch
        rate = keras.optimizers.schedules.CosineDecay(
            initial_learning_rate=0.0 if warmup else params.learning_rate,
            decay_steps=params.epochs * epoch - warmup,
            warmup_target=params.learning_rate if warmup else None,
            warmup_steps=warmup,
        )
    optimizers = {"adam": keras.optimizers.Adam, "sgd": keras.optimizers.SGD}
    optimizer = optimizers[params.optimizer](rate, weight_decay=params.weight_decay or None)
    if params.weight_decay:
        optimizer.exclude_from_weight_decay(var_names=NOT_DECAYED)
    return optimizer


def main(params: Params) -> None:
    """Trains as params.yaml says."""
    train(
        params.model,
        params.train,
        params.augment,
        training=paths.TRAIN,
        validation=paths.VALIDATION,
        outputs=Outputs(
            model=paths.MODEL,
            history=paths.HISTORY,
            metrics=paths.TRAIN_METRICS,
            provenance=paths.PROVENANCE,
        ),
        checkpoints=paths.CHECKPOINTS,
    )


if __name__ == "__main__":
    stage.run("train", main)
