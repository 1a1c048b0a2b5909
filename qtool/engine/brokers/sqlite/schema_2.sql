-- Version 2: keys and limits, and workers that can be told how many slots to have.

ALTER TABLE jobs ADD COLUMN key TEXT;             -- of all jobs with it, so many run at once:
ALTER TABLE jobs ADD COLUMN key_limit INTEGER;
ALTER TABLE jobs ADD COLUMN held TEXT;            -- key or task: whose limit keeps a ready job from starting

DROP INDEX jobs_ready;
-- The claim's own order; what a limit holds back is not met again and again.
CREATE INDEX jobs_ready ON jobs (queue, priority DESC, ready_at, seq) WHERE state = 'ready' AND held IS NULL;
-- How many of a key run is counted here, never kept: a slot whose holder dies is free when the job is taken back. And
-- who is next when one falls free. One index for both: each that knows the state costs every start and every end.
CREATE INDEX jobs_key ON jobs (key, state, held, queue, priority DESC, ready_at, seq)
    WHERE key IS NOT NULL AND finished_at IS NULL;
-- Who is next when the rate of a task lets one through.
CREATE INDEX jobs_task_held ON jobs (task, queue, priority DESC, ready_at, seq) WHERE held = 'task';

CREATE TABLE limits (
    scope       TEXT    NOT NULL,                 -- queue or task
    name        TEXT    NOT NULL,
    explicit    INTEGER NOT NULL,                 -- an operator said so: the next three count, also where they are null
    concurrency INTEGER,                          -- how many at once
    rate        REAL,                             -- starts a second
    burst       INTEGER,                          -- how many of them may come together
    declared    REAL,                             -- the rate that the task's code asks for
    used        REAL    NOT NULL DEFAULT 0,       -- how many starts of the burst were used up,
    used_at     REAL    NOT NULL DEFAULT 0,       -- at this time of the machine's monotonic clock
    PRIMARY KEY (scope, name)
) STRICT, WITHOUT ROWID;

ALTER TABLE workers ADD COLUMN least INTEGER;     -- slots that somebody asked for from outside
ALTER TABLE workers ADD COLUMN most INTEGER;
