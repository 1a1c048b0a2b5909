"""What the screen remembers from one time to the next: theme, last tab, how lists are sorted, which columns they have.

One small JSON file in the user's state directory. It is a convenience: one that cannot be read or written is said once
and otherwise left alone. No Textual here.
"""

from __future__ import annotations

import json
import os
import threading
from typing import TYPE_CHECKING, Any

from qtool.engine.value import Value

if TYPE_CHECKING:
    from collections.abc import Mapping


PLACES = 100
"""Brokers whose tab is remembered, the latest ones."""


class Shape(Value):
    """How somebody wants a list."""

    columns: tuple[str, ...] = ()
    """The headings that are shown, in their order; none: as the list comes."""
    hidden: tuple[str, ...] = ()
    """Those that are not; a heading that is in neither is newer than the choice, and is shown."""
    sort: str | None = None
    """The heading it is sorted by."""
    descending: bool = False


def memory_path(environ: Mapping[str, str] = os.environ) -> str:
    """Where the file is, or would be."""
    from qtool.config import state_directory

    return os.path.join(state_directory(environ), "top.json")


class Memory:
    """The file, read once; changes are written at once, on a thread, so that no disk is ever waited for."""

    def __init__(self, path: str | None = None) -> None:
        """Without a path everything is forgotten at the end."""
        self.theme: str | None = None
        self._shapes: dict[str, Shape] = {}
        self._tabs: dict[str, str] = {}
        self._path = path
        self._trouble: str | None = None
        self._said = False
        self._writing = threading.Lock()
        self._writer: threading.Thread | None = None
        """That of what was chosen last: it writes after all others, or nothing is left to write."""
        self._version = 0
        if path is not None:
            self._read(path)

    def shape(self, name: str) -> Shape:
        """How the list of this name is wanted."""
        return self._shapes.get(name, Shape())

    def keep_shape(self, name: str, shape: Shape) -> None:
        """Remember that."""
        self._shapes[name] = shape
        self._save()

    def tab(self, place: str) -> str | None:
        """Which tab was in front when this broker was left last."""
        return self._tabs.get(place)

    def keep_tab(self, place: str, tab: str) -> None:
        """Remember that."""
        if self._tabs.get(place) != tab:
            self._tabs.pop(place, None)
            self._tabs[place] = tab
            while len(self._tabs) > PLACES:
                del self._tabs[next(iter(self._tabs))]
            self._save()

    def keep_theme(self, theme: str) -> None:
        """Remember that."""
        if theme != self.theme:
            self.theme = theme
            self._save()

    def trouble(self) -> str | None:
        """What is wrong with the file; said once."""
        if self._trouble is None or self._said:
            return None
        self._said = True
        return self._trouble

    def wait(self, timeout: float = 1.0) -> None:
        """Until what was to be written is, or for so many seconds."""
        if self._writer is not None:
            self._writer.join(timeout)

    # --- the file ------------------------------------------------------------------------------------

    def _read(self, path: str) -> None:
        try:
            with open(path, encoding="utf-8") as file:
                said = json.load(file)
            theme = said.get("theme")
            self._shapes = {name: _shape(each) for name, each in said.get("lists", {}).items()}
            self._tabs = {str(place): str(tab) for place, tab in said.get("tabs", {}).items()}
            self.theme = theme if isinstance(theme, str) else None
        except FileNotFoundError:
            pass
        except OSError as error:
            self._trouble = f"{path} cannot be read: {error.strerror}. Themes, columns and order are as they come."
        except (ValueError, TypeError, AttributeError):
            self._trouble = f"{path} makes no sense and is ignored. It is written anew when you choose something."

    def _save(self) -> None:
        if self._path is None:
            return
        lists = {
            name: {
                "columns": shape.columns,
                "hidden": shape.hidden,
                "sort": shape.sort,
                "descending": shape.descending,
            }
            for name, shape in sorted(self._shapes.items())
        }
        text = json.dumps({"theme": self.theme, "tabs": self._tabs, "lists": lists}, indent=2) + "\n"
        self._version += 1
        self._writer = threading.Thread(target=self._write, args=(self._path, text, self._version), daemon=True)
        self._writer.start()

    def _write(self, path: str, text: str, version: int) -> None:
        temporary = f"{path}.{os.getpid()}.tmp"
        with self._writing:
            if version != self._version:
                # A newer one is on its way.
                return
            try:
                os.makedirs(os.path.dirname(path), 0o700, exist_ok=True)
                with open(temporary, "w", encoding="utf-8") as file:
                    file.write(text)
                os.replace(temporary, path)
            except OSError as error:
                self._trouble = f"{path} cannot be written: {error.strerror}. What you choose is forgotten at the end."


def _shape(said: Any) -> Shape:
    return Shape(
        columns=tuple(map(str, said.get("columns", ()))),
        hidden=tuple(map(str, said.get("hidden", ()))),
        sort=None if said.get("sort") is None else str(said["sort"]),
        descending=bool(said.get("descending")),
    )
