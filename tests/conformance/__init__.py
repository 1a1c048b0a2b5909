"""One suite for every adapter, of what :mod:`qtool.engine.broker` promises.

Tests branch on capabilities, never on names.
"""
