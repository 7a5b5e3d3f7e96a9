"""Experiments with the pipeline, each a DVC experiment with other parameters.

`sets`      named sets of parameters, from sets.yaml
`run`       one of them, in this folder: make experiment NAME=cnn-small
`batch`     many of them, in one of two ways:
`queue`     through DVC's queue, each in a folder of its own
`cluster`   on a Ray cluster, each as a task, and `node`, what a machine does with it
`remotes`   by which those come back
`results`   what has come out
`progress`  how far they are, on a terminal and in a log
`logs`      what they print
`lesson`    those of the lesson over several seeds, a table and a picture: make lesson
`ladder`    some of them over several seeds, a row of a table for each: make ladder NAME=mlp-best
`sweep`     each combination of values in GRID: make sweep GRID='train.learning_rate=1e-4,1e-3'
`search`    what Optuna chooses from SPACE: make search SPACE='model.mlp.dropout=0..0.5'
`grid`      how GRID is written, and `space`, how SPACE is
`best`      the run with the best validation: make best METRIC=val_accuracy
`compare`   all of them, side by side: make compare
`notebook`  runs docs/lesson.ipynb and writes it with its outputs
`spread`    mean and standard deviation

No stage depends on these files, so changing them makes no result stale.
"""
