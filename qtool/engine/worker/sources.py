"""Where the code of a process lies."""

from __future__ import annotations

import os
import sys
import sysconfig


def directories(apps: list[str]) -> list[str]:
    """The directories of all modules that are loaded now, and of all that lie below an app.

    What is installed is left out: it does not change while somebody works on an app.
    """
    installed = (*sysconfig.get_paths().values(), os.path.dirname(os.path.dirname(os.path.dirname(__file__))))
    files = [getattr(module, "__file__", None) for name, module in [*sys.modules.items()]]
    found = {os.path.dirname(os.path.abspath(file)) for file in files if file}
    for app in apps:
        for root in getattr(sys.modules.get(app), "__path__", ()):
            found.update(path for path, _, _ in os.walk(root) if os.path.basename(path) != "__pycache__")
    found.add(os.getcwd())
    own = [path for path in found if not any(_lies_in(path, each) for each in installed)]
    return sorted(path for path in {*own, os.getcwd()} if os.path.isdir(path))


def _lies_in(path: str, directory: str) -> bool:
    return path == directory or path.startswith(directory.rstrip(os.sep) + os.sep)
