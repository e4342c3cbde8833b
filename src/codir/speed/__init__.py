"""The same training for less work: what a processor spends beside the matrix products of a step.

On a CPU, dropout's random numbers and the gradient of the vocabulary's embedding take a quarter of a small student's
step. `faster_training` replaces both while training lasts. Knows modules and tensors; knows nothing of distillation.
"""

from codir.speed.dropout import FastDropout, fast_dropout
from codir.speed.embedding import RowGradientEmbedding
from codir.speed.training import faster_training

__all__ = ["FastDropout", "RowGradientEmbedding", "fast_dropout", "faster_training"]
