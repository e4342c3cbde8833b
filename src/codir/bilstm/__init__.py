"""The recurrent student: a model that `transformers` loads like any other, once both are imported.

This door stays light: it opens while `transformers` itself is being imported, before there is a torch to import.
"""

from codir.bilstm.registration import register_models

__all__ = ["register_models"]
