"""Programs that use qtool; each says at its top how to run it."""
