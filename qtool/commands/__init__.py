"""One module a command: parse, call the engine, render.

A module here has

``command``           a function whose first parameter is ``common: Common`` (see :mod:`qtool.options`) and whose other
                      parameters are Typer's (``Annotated[…, typer.Option(…)]``). Its docstring is the help page: the
                      first paragraph is the line in :data:`qtool.cli.SUMMARIES`, word for word. It returns an
                      :class:`~qtool.errors.ExitCode`, an int, or None for 0
``EXAMPLES``          the lines shown first in the help page
``ROW``               the dataclass of the rows it prints, a tuple of several, or None; ``qtool schema`` publishes it
``VERBS``             instead of one command, a dict of them (``qtool context use``), the first for when none is named;
                      ``command`` then only documents
``CONTEXT_SETTINGS``  optional, for Click (``ignore_unknown_options`` and the like)
``prepare``           optional: rewrites the command's words before Click parses them

At module level it imports only what parsing needs: no Rich, no msgspec, no adapter. ``tests/test_architecture.py``
holds it to that.
"""
