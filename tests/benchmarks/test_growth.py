"""What the benchmark of growth reads from a stage's output."""

from benchmarks.growth import epoch_seconds


def test_seconds_of_the_last_epoch() -> None:
    output = """mlp: 407,050 weights, 54,000 training images, 6,000 validation images
              loss  accuracy  val_loss  val_accuracy
epoch 1/2   0.2218    0.9358    0.1315        0.9630    6.0 s
epoch 2/2   0.1018    0.9658    0.1115        0.9730    1.5 s
"""
    assert epoch_seconds(output) == 1.5
