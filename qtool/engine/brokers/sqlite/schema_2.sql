-- Version 2: keys and limits, and workers that can be told how many slots to have.

ALTER TABLE jobs ADD COLUMN key TEXT;             -- of all jobs with it, so many run at once:
ALTER TABLE jobs ADD COLUMN key_limit INTEGER;
ALTER TABLE jobs ADD COLUMN held TEXT;            -- the limit that keeps a ready job out of the claim's index

DROP INDEX jobs_ready;
-- The claim's own order; what a limit holds back is not met again and again.
CREATE INDEX jobs_ready ON jobs (queue, priority DESC, ready_at, seq) WHERE state = 'ready' AND held IS NULL;
CREATE INDEX jobs_held ON jobs (held, priority DESC, ready_at, seq) WHERE held IS NOT NULL;
-- How many of a key run is counted here, never kept: a slot whose holder dies is free when the job is taken back.
CREATE INDEX jobs_key ON jobs (key) WHERE key IS NOT NULL AND token IS NOT NULL;

CREATE TABLE limits (
    scope       TEXT NOT NULL,                    -- queue or task
    name        TEXT NOT NULL,
    concurrency INTEGER,                          -- how many at once
    rate        REAL,                             -- starts a second
    burst       INTEGER,                          -- how many of them may come together
    next_at     REAL,                             -- when the rate is used up to
    PRIMARY KEY (scope, name)
) STRICT, WITHOUT ROWID;

ALTER TABLE workers ADD COLUMN least INTEGER;     -- slots that somebody asked for from outside
ALTER TABLE workers ADD COLUMN most INTEGER;
