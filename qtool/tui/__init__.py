"""``qtool top``: the live screen. A front like :mod:`qtool.commands`; the engine knows nothing of it."""
