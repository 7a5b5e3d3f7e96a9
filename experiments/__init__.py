"""Experiments with the pipeline, each a DVC experiment with other parameters.

`sets`    named sets of parameters, from sets.yaml
`run`     one of them, in this folder: make experiment NAME=cnn-small
`queue`   many of them, each in a folder of its own, and their results
`lesson`  those of the lesson over several seeds, a table and a picture: make lesson
`ladder`  one of them over several seeds, as a row of README's table: make ladder NAME=mlp-best
`best`    the experiment with the best validation: make best METRIC=val_accuracy
`spread`  mean and standard deviation

No stage depends on these files, so changing them makes no result stale.
"""
