"""What must hold when things break: each group of faults, and where it is tried.

     1  kill -9 at exact moments: around commits, within writes      test_moments
     2  kill -9 of children, supervisors, launchers, whole groups    test_kills, scripts/soak
     3  SIGSTOP for longer than the lease                            test_frozen, scripts/soak
     4  memory running out, exits, segfaults, misused processes      test_hostile_tasks, test_memory
     5  jobs that take their process down, always                    test_poison, scripts/soak
     6  a full disk, one that fails, a read-only one                 test_disk_full, test_disk_errors, test_broken_files
        no descriptors left                                          test_descriptors
     7  power cuts                                                   test_power_loss
     8  two processes that claim 100 000 jobs                        test_double_claim
     9  forks after opening                                          test_forks, test_broken_files
    10  wall clocks that jump, daylight saving, suspension           test_clocks, scripts/soak
    11  damaged, cut, missing, replaced and newer files              test_broken_files, test_vanishing_files
    12  brokers on the network: restarts, partitions, failover       test_redis, over a network that breaks: proxy
    13  what cannot be decoded, pickles, 100 MB, odd text            test_payloads
    14  storms of signals at every stage, and during commits         test_signals, scripts/soak
    15  schedules: many schedulers, missed ticks                     come with schedules: there are none yet
    16  a limit's slot after the death of who held it                test_limits, scripts/soak
    17  growth of memory, descriptors and files                      scripts/soak
    18  random operations against a model of the states              tests/conformance/test_model

Groups 2, 3, 5, 8, 14 and 16 are tried on a file and on a Redis alike: fixture ``broker``.

Each prints its seed (``QTOOL_SEED``) where it chooses at random. The oracle is the same everywhere: the jobs append
what they do to a log, and that, the file's states, its history and its own check have to agree. What needs a small or a
read-only file system mounts one, and is skipped, with the reason, where that is not permitted. The long versions are
marked ``soak``: ``scripts/test --soak``, or all faults at once with ``scripts/soak``.
"""
