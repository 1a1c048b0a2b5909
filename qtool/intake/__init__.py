"""From words, lines and JSON to jobs: what stands behind ``qtool enqueue``.

``options`` is what was typed, ``input`` where the work comes from, ``jobs`` what is made of each piece, ``run`` the
batches, ``wait`` the waiting; ``short`` gets there without Typer.
"""
