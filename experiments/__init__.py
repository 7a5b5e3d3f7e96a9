"""Experiments with the pipeline, each a run of DVC's with other parameters.

`sets`    named sets of parameters, from sets.yaml
`run`     one of them, in this folder: make experiment NAME=cnn-small
`queue`   many of them, each in a folder of its own, and what came out
`lesson`  those of the lesson over several seeds, a table and a picture: make lesson
`seeds`   the committed parameters over several seeds, for the gate: make seeds
`spread`  mean and deviation
`ladder`  one of them over several seeds, as a row of README's table: make ladder NAME=mlp-best
`best`    the experiment that validates best: make best METRIC=val_accuracy

No stage depends on these files: to change an experiment makes no result stale.
"""
