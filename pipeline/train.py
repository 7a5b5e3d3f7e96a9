"""Stage 3: data/processed/train to models/model.keras, validated after every epoch."""

import hashlib
import math
import time
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline import backend, paths, stage
from pipeline.artifacts import replacing, write_csv, write_json, write_keras
from pipeline.checkpoint import Checkpoint
from pipeline.errors import InputError, TrainingError
from pipeline.params import Mlp, Params, Train
from pipeline.split import Split

if TYPE_CHECKING:
    import keras

HISTORY_COLUMNS = ("loss", "accuracy", "val_loss", "val_accuracy")


def train(
    architecture: Mlp,
    params: Train,
    *,
    training: Path,
    validation: Path,
    model: Path,
    history: Path,
    metrics: Path,
    checkpoints: Path,
) -> None:
    """Trains a new network and writes it to `model`.

    Args:
        architecture: what to build.
        params: how to train it.
        training: the folder of a `Split`, to learn from.
        validation: the folder of a `Split`, to score after every epoch.
        model: the `.keras` file to write: raw pixels to logits, not compiled.
        history: the CSV file to write, a row for each epoch.
        metrics: the JSON file to write: the last and the best values, and the number of weights.
        checkpoints: the folder for the state after each epoch, from which a killed run goes on.

    Raises:
        InputError: the two splits are not there, or do not fit each other.
        TrainingError: the loss is not finite any more; nothing is written.
    """
    train_split, validation_split = Split.load(training), Split.load(validation)
    if train_split.images.shape[1:] != validation_split.images.shape[1:]:
        raise InputError(f"{validation}: its images are not of the size of {training}; dvc repro")

    backend.start()
    import keras

    from pipeline.fit import fit
    from pipeline.models import MODELS

    checkpoint = Checkpoint(
        checkpoints,
        {
            "model": architecture.model_dump(),
            "train": params.model_dump(),
            "data": [_digest(folder) for folder in (training, validation)],
            "code": _digest(Path(__file__).parent),
            "versions": {name: version(name) for name in ("keras", "numpy", "tensorflow")},
        },
    )
    keras.utils.set_random_seed(params.seed)
    network = MODELS[architecture.name](
        shape=train_split.images.shape[1:],
        classes=len(train_split.class_names),
        scale=1 / max(1, int(train_split.images.max())),
        **architecture.model_dump(exclude={"name"}),
    )
    print(
        f"{architecture.name}: {network.count_params():,} weights, "
        f"{len(train_split.labels):,} training images, {len(validation_split.labels):,} to validate"
    )
    values = fit(
        network,
        train_split,
        validation_split,
        optimizer=_optimizer(params, math.ceil(len(train_split.labels) / params.batch_size)),
        epochs=params.epochs,
        batch_size=params.batch_size,
        seed=params.seed,
        callbacks=[_report(params)],
        checkpoint=checkpoint,
    )
    best = max(range(params.epochs), key=values["val_accuracy"].__getitem__)
    with replacing(model, history, metrics) as (new_model, new_history, new_metrics):
        write_keras(new_model, network)
        write_csv(
            new_history,
            ("epoch", *HISTORY_COLUMNS),
            zip(
                range(1, params.epochs + 1),
                *(values[name] for name in HISTORY_COLUMNS),
                strict=True,
            ),
        )
        write_json(
            new_metrics,
            {
                "final": {name: values[name][-1] for name in HISTORY_COLUMNS},
                "best": {"epoch": best + 1, "val_accuracy": values["val_accuracy"][best]},
                "weights": network.count_params(),
            },
        )
    checkpoint.remove()


def _digest(folder: Path) -> str:
    """The SHA-256 of the files in `folder`, with their names."""
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*.*")):
        with path.open("rb") as file:
            digest.update(f"{path.name}\n".encode())
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def _optimizer(params: Train, steps_per_epoch: int) -> "keras.optimizers.Optimizer":
    import keras

    optimizers = {"adam": keras.optimizers.Adam, "sgd": keras.optimizers.SGD}
    if params.schedule == "constant":
        return optimizers[params.optimizer](params.learning_rate)
    warmup_steps = params.warmup_epochs * steps_per_epoch
    schedule = keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=0.0 if warmup_steps else params.learning_rate,
        decay_steps=params.epochs * steps_per_epoch - warmup_steps,
        warmup_target=params.learning_rate if warmup_steps else None,
        warmup_steps=warmup_steps,
    )
    return optimizers[params.optimizer](schedule)


def _report(params: Train) -> "keras.callbacks.Callback":
    """A line for each epoch, and an end when the loss is not finite."""
    import keras

    started = time.perf_counter()

    def on_epoch_end(epoch: int, logs: dict[str, float]) -> None:
        nonlocal started
        seconds, started = time.perf_counter() - started, time.perf_counter()
        values = "  ".join(f"{name} {logs[name]:.4f}" for name in HISTORY_COLUMNS)
        number = f"{epoch + 1:{len(str(params.epochs))}}/{params.epochs}"
        print(f"epoch {number}  {values}  {seconds:.1f} s")
        for name in HISTORY_COLUMNS:
            if not math.isfinite(logs[name]):
                raise TrainingError(
                    f"{name} is {logs[name]} after epoch {epoch + 1}; "
                    f"lower train.learning_rate in params.yaml, now {params.learning_rate}"
                )

    return keras.callbacks.LambdaCallback(on_epoch_end=on_epoch_end)


def main(params: Params) -> None:
    """Trains as params.yaml says."""
    train(
        params.model,
        params.train,
        training=paths.TRAIN,
        validation=paths.VALIDATION,
        model=paths.MODEL,
        history=paths.HISTORY,
        metrics=paths.TRAIN_METRICS,
        checkpoints=paths.CHECKPOINTS,
    )


if __name__ == "__main__":
    stage.run("train", main)
