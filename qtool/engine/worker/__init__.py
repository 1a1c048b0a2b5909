"""The worker, by process.

The supervisor, one thread that runs no user code:

    supervisor   puts the parts together and turns the loop
    reactor, timers, signals, health      what wakes it, and whether the broker answers
    claimer, readahead                    jobs in: how many, and what waits before it starts
    pool, children, process, inbox, stops the pool: dealing, life and death, what its processes say, stopping a run
    quarantine, wear, reload, sources     whoever runs alone; who is replaced, for its age or for new code
    scale, autoscale, places              how many slots, and where they stand on the slate
    commands, keeper, session             command jobs; the launcher as the supervisor sees it, and what it leaves
    runners, runs, floor                  both together; what is known of a run; what both stand on
    outbox, settler, news, output         outcomes, progress and output, on their way to the broker
    remote                                the worker as Celery's tools see and control it, where the broker has a way
    served, catalogue                     the queues it claims from, and what its processes say of their code
    leases, upkeep, rates                 the heartbeat, what every worker does for the broker and tells it of its tasks
    stopping, finish                      the stages of a stop, and when the work is done
    notify, naming                        what systemd is told; what Celery's tools and tasks call the worker
    options                               what a worker is told and what it tells

A pool's process, a fresh interpreter with the user's modules: ``child``, ``link``, ``slots`` (processes and threads),
``loop`` (coroutines), ``capture``. The launcher, which starts commands, watches over the supervisor and outlives it by
a moment: ``launcher``. Between them: ``wire``, ``descriptors``, ``board``.
"""
