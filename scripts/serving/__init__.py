"""Private servers for tests and benchmarks: started from the machine's packages, reachable from this machine only."""
