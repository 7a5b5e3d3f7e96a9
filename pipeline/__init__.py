"""An image classifier from raw files to a judged model, in four stages connected only by files.

| stage        | reads                             | writes                                       |
|--------------|-----------------------------------|----------------------------------------------|
| `download`   | data/sources/NAME, mirrors        | data/raw, metrics/download.json              |
| `preprocess` | data/raw, data/sources/NAME       | data/processed, metrics/preprocess.json      |
| `train`      | data/processed/train, /validation | models/model.keras, metrics/train.json,      |
|              |                                   | metrics/history.csv                          |
| `evaluate`   | models/model.keras,               | metrics/evaluate.json,                       |
|              | data/processed/test, history.csv  | metrics/predictions.csv, pictures            |

Three programs judge the results: `gate` decides whether the model may replace that of an earlier
commit, `report` shows both on a page, `verify` checks that the committed results come out again.
`predict` puts the model to use, `page` writes a page to draw on, `export` converts the model for
use elsewhere, `card` describes it to others. `preflight` checks params.yaml before DVC starts,
`launch` starts several workers on this machine, which train one model, `summary` prints the
accuracy, `notebook` is for notebooks.

A stage is a module with a function that takes its parameters and paths, and a `main` that fills
them in. Stages never import each other. What they share is in rooms of one concern each, which
import what is below them and never a stage:

`program`     how any program here starts and fails
`params`      what params.yaml may say
`sections`    how a YAML file is checked, and what is wrong in it told
`paths`       where everything is stored
`errors`      what can go wrong, and the exit codes
`artifacts`   encoders with stable bytes, writers of whole files
`records`     the tables and formats of a run: their columns and readers
`machine`     the cores and the memory that a process may use
`cluster`     which processes share a training
`lock`        dvc.lock, and whether files are what it recorded
`repository`  git and DVC
`tasks`       functions as tasks on a Ray cluster
`score`       predictions to numbers
`figures`     arrays to figures

`data/`       where examples come from: datasets and their files, mirrors, archives; sources, which
              chooses a reader: folder, table, listing, parquet, npz, idx, cifar; how pictures are
              prepared and decoded; splits, and stores that have their images
`training/`   models, the engine and its layers, those of images apart; augmentation, randomness,
              optimizers, checkpoints, which weights are kept, progress; training in shards, by a
              cluster of workers that watch each other; how TensorFlow starts, and where compiled
              programs are kept; inference; what a model file says; models as plain numbers, and as
              converters want them
`formats/`    what a model is exported to: LiteRT, ONNX, SavedModel
`web/`        the page to draw on: its template, and its scripts, which the page contains
`gate/`       the judge and the statistics it uses, results and whether they are fresh, the verdict
              and its text

No stage depends on this file, so it contains only this text.
"""
