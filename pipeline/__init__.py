"""The pipeline: four stages that files alone connect.

| stage        | reads                             | writes                                       |
|--------------|-----------------------------------|----------------------------------------------|
| `download`   | mirrors                           | data/raw, metrics/download.json              |
| `preprocess` | data/raw                          | data/processed, metrics/preprocess.json      |
| `train`      | data/processed/train, /validation | models/model.keras, metrics/train.json,      |
|              |                                   | metrics/history.csv                          |
| `evaluate`   | models/model.keras,               | metrics/evaluate.json,                       |
|              | data/processed/test, history.csv  | metrics/predictions.csv, pictures            |

`gate` then says whether the model may replace the one of an earlier revision, `report` makes a page
of it, and `verify` says whether the committed results come out again.

A stage is a module with one function that takes its parameters and its paths, and a `main` that
fills them in. Stages do not import each other; what they share is below them:

`params`     what params.yaml may say
`paths`      where everything lies
`datasets`   a row for each dataset: mirrors, digests, class names
`idx`        MNIST's file format
`split`      labelled images on the disk, and which are held out
`models`     a builder for each architecture
`fit`        the training engine
`layers`     what stands in for Keras's layers while a network trains
`noise`      what differs from step to step on purpose: moved images, random numbers
`progress`   what a training tells while it runs
`checkpoint` what a killed training goes on from
`backend`    how TensorFlow starts
`score`      predictions to numbers
`figures`    arrays to pictures
`artifacts`  writers: whole files, stable bytes
`errors`     what can go wrong, and the exit codes
`stage`      a stage as a program

They have their own:

`results`    the predictions of a run, believed where all that says something of them agrees
`workspace`  the results here, and whether they are up to date
`revision`   the results of a git commit
`seeds`      the accuracies of models trained with other seeds
`compare`    the statistics of two models on the same images, or of several
`verdict`    the decision, and how it is told

No stage depends on this file, so it holds this text alone.
"""
