"""Runs workers under a mixed load and injects faults at random, and holds the file against what the jobs wrote down.

__main__   the stages of a run: warm up, faults, quiet, judgement, over and over
load       the tasks, and which lines they leave in the effect log
kinds      the mixed load: what is enqueued, and as what it may end
producer   enqueues it, by the API and by the command, and remembers what was acknowledged
member     a worker with short leases, as a process
crew       the workers that run, and what was done to each
faults     what is done to them, to the disk, to the lock and to the queues
readers    qtool's own commands, all the time
tracker    what became of every job
judge      the rules: no job lost, no outcome twice, no overlap, no blame without a crash
gauges     memory, descriptors and sizes of files over time
report     what is printed at the end
"""
