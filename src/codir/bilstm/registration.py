"""Makes transformers know codir's own models once both are imported, in whichever order, at no cost before.

`import codir` loads neither torch nor transformers. So it only leaves word: when transformers' tables of models come to
be, the modules that enter codir's models into them are imported.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

ENTERED_INTO = {
    "transformers.models.auto.configuration_auto": "codir.bilstm.config",
    "transformers.models.auto.modeling_auto": "codir.bilstm.model",
}
"""A table of transformers, and the module of codir that enters something into it when it is imported."""


class _Follower(MetaPathFinder):
    """Imports one module right after another was."""

    def __init__(self, follows: dict[str, str]) -> None:
        self.follows = follows

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find the awaited module where it always is; with its own loader, and one thing to do afterwards."""
        follower = self.follows.get(fullname)
        spec = PathFinder.find_spec(fullname, path, target) if follower else None
        if follower is None or spec is None or spec.loader is None:
            return None
        execute = spec.loader.exec_module

        def execute_then_import(module: ModuleType) -> None:
            execute(module)
            import_module(follower)

        spec.loader.exec_module = execute_then_import  # type: ignore[method-assign]
        return spec


def register_models() -> None:
    """Enter codir's models into transformers' tables, now or when these are imported."""
    for table, entry in ENTERED_INTO.items():
        if table in sys.modules:
            import_module(entry)
    sys.meta_path.insert(0, _Follower(ENTERED_INTO))
