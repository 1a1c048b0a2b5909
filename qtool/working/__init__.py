"""What stands behind ``qtool worker``: its voice on stdout and stderr (``talk``, ``log``), the command that it runs
after jobs (``on_finish``), its metrics (``tally``, ``metrics``), and ``run``, which puts it together with a worker."""
