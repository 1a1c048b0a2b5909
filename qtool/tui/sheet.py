"""The styles of the screen, parsed no more often than they change."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.css.stylesheet import Stylesheet

if TYPE_CHECKING:
    from collections.abc import Mapping


class Sheet(Stylesheet):
    """Textual parses all styles again for every screen that comes up; here that is done where it would change them."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        super().__init__(variables=dict(variables))

    def set_variables(self, variables: dict[str, str]) -> None:
        """Have these values for the names in the styles from now on."""
        if variables != self._variables:
            super().set_variables(variables)
            self._require_parse = True

    def reparse(self) -> None:
        """Parse what is new; all of it where the variables are."""
        if self._require_parse:
            self.parse()
