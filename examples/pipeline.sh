#!/bin/sh
# The longest Python files of a directory, counted by a durable queue of commands instead of xargs.
#
#     examples/pipeline.sh [DIRECTORY]
#
# Interrupt it and run the worker's line again: what was counted stays counted, and the rest goes on.
set -eu

directory=${1:-$(python3 -c 'import os; print(os.path.dirname(os.__file__))')/json}
queue=lines-$$

# One job a file name; -0 because names may hold spaces and newlines, -q because the ids are not needed here.
find "$directory" -name '*.py' -print0 | qtool enqueue -q -Q "$queue" --retries 2 -0 -- wc -l {}

# --burst: until nothing is left to do. Its progress is talk, and goes to stderr.
qtool worker -Q "$queue" -j 4 --burst > /dev/null

# What the commands wrote, stored with each job.
qtool jobs --where "queue:$queue state:succeeded" --limit 0 -o ids | while read -r id; do
    qtool logs "$id"
done | sort -rn | head -5

# The exit code tells whether everything succeeded.
dead=$(qtool jobs --where "queue:$queue state:dead" -o ids | wc -l)
[ "$dead" -eq 0 ] || { echo "$dead failed; see: qtool jobs --where 'queue:$queue state:dead'" >&2; exit 1; }
