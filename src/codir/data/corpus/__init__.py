"""Documents become sequences of token ids, once; sequences become batches of masked or of next tokens, at every step.

Whole documents are read (`documents`, `files`), cut and packed (`sequences`) in parallel into a folder that is
memory-mapped ever after (`build`, `load`). Knows tokenizers; knows nothing of models, losses or training.
"""

from codir.data.corpus.causal import CausalCollator
from codir.data.corpus.load import load_corpus
from codir.data.corpus.masking import MaskingCollator
from codir.data.corpus.split import split_documents

__all__ = ["CausalCollator", "MaskingCollator", "load_corpus", "split_documents"]
