"""What scripts/bench measures: the embedded engine, its floor and its peers, in one run on one machine."""
