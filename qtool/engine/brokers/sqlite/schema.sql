-- Version 1 of the embedded file. Times are seconds since the epoch (UTC); text that holds JSON is ASCII.

CREATE TABLE jobs (
    seq           INTEGER PRIMARY KEY,       -- order of enqueueing
    id            TEXT    NOT NULL UNIQUE,
    task          TEXT    NOT NULL,
    queue         TEXT    NOT NULL,
    state         TEXT    NOT NULL,
    priority      INTEGER NOT NULL DEFAULT 0,
    attempt       INTEGER NOT NULL DEFAULT 0,
    failures      INTEGER NOT NULL DEFAULT 0,
    crashes       INTEGER NOT NULL DEFAULT 0,
    created_at    REAL    NOT NULL,
    ready_at      REAL,                      -- since when it could be started
    due_at        REAL,                      -- when a scheduled or retried job becomes ready
    expires_at    REAL,
    started_at    REAL,
    finished_at   REAL,
    token         INTEGER,                   -- of the one live lease
    worker        TEXT,                      -- who runs it, or ran it last
    cancel        INTEGER NOT NULL DEFAULT 0,-- a running job was asked to stop
    unique_key    TEXT,
    body          TEXT    NOT NULL,          -- JSON: [args, kwargs]
    options       TEXT,                      -- JSON: policy, tags, parents
    progress      REAL,
    message       TEXT,
    reason        TEXT,
    error_type    TEXT,
    error_message TEXT,
    error_detail  TEXT,                      -- JSON: traceback, exit code, signal
    result        TEXT,                      -- JSON
    -- No row that the table of states knows nothing of. One CASE, the frequent states first: five separate CHECKs
    -- would cost as much as the rest of an insert.
    CHECK (CASE state
        WHEN 'ready'     THEN token IS NULL     AND due_at IS NULL     AND finished_at IS NULL     AND reason IS NULL
        WHEN 'running'   THEN token IS NOT NULL AND due_at IS NULL     AND finished_at IS NULL     AND reason IS NULL
        WHEN 'succeeded' THEN token IS NULL     AND due_at IS NULL     AND finished_at IS NOT NULL AND reason IS NULL
        WHEN 'scheduled' THEN token IS NULL     AND due_at IS NOT NULL AND finished_at IS NULL     AND reason IS NULL
        WHEN 'retry'     THEN token IS NULL     AND due_at IS NOT NULL AND finished_at IS NULL     AND reason IS NULL
        WHEN 'dead'      THEN token IS NULL     AND due_at IS NULL     AND finished_at IS NOT NULL AND reason IS NOT NULL
        WHEN 'cancelled' THEN token IS NULL     AND due_at IS NULL     AND finished_at IS NOT NULL AND reason IS NULL
        WHEN 'expired'   THEN token IS NULL     AND due_at IS NULL     AND finished_at IS NOT NULL AND reason IS NULL
        WHEN 'waiting'   THEN token IS NULL     AND due_at IS NULL     AND finished_at IS NULL     AND reason IS NULL
        ELSE 0 END)
) STRICT;

-- The claim's own order.
CREATE INDEX jobs_ready ON jobs (queue, priority DESC, ready_at, seq) WHERE state = 'ready';
-- Every listing is a merge of runs of these two; the counters tell which runs are not empty. What runs has an index of
-- its own, small and always at hand, so that starting a job moves nothing in the large one but takes it out.
CREATE INDEX jobs_state ON jobs (queue, state, seq) WHERE token IS NULL;
CREATE INDEX jobs_running ON jobs (queue, seq) WHERE token IS NOT NULL;
CREATE INDEX jobs_due ON jobs (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX jobs_expiry ON jobs (expires_at)
    WHERE expires_at IS NOT NULL AND finished_at IS NULL AND token IS NULL;
CREATE UNIQUE INDEX jobs_unique ON jobs (unique_key)
    WHERE unique_key IS NOT NULL AND finished_at IS NULL;

-- How many jobs stand where; kept in the transaction that moves them.
CREATE TABLE counters (
    state TEXT    NOT NULL,
    queue TEXT    NOT NULL,
    n     INTEGER NOT NULL CHECK (n >= 0),
    PRIMARY KEY (state, queue)
) STRICT, WITHOUT ROWID;

CREATE TABLE paused (
    queue TEXT PRIMARY KEY,
    at    REAL NOT NULL
) STRICT, WITHOUT ROWID;

-- Starts that did not succeed.
CREATE TABLE attempts (
    seq          INTEGER NOT NULL,
    attempt      INTEGER NOT NULL,
    worker       TEXT    NOT NULL,
    started_at   REAL    NOT NULL,
    finished_at  REAL    NOT NULL,
    event        TEXT    NOT NULL,
    state        TEXT    NOT NULL,
    error_type   TEXT,
    error_message TEXT,
    error_detail TEXT
) STRICT;
CREATE INDEX attempts_job ON attempts (seq);

-- Captured output: the head and the tail of each attempt.
CREATE TABLE output (
    seq     INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    start   INTEGER NOT NULL,                -- offset of the first byte in the attempt's whole output
    stream  TEXT    NOT NULL,
    data    BLOB    NOT NULL
) STRICT;
CREATE INDEX output_job ON output (seq, attempt, start);

CREATE TABLE workers (
    id    TEXT PRIMARY KEY,
    beat  INTEGER NOT NULL,                  -- another at every sign of life; a rescuer watches it stand still
    lease REAL    NOT NULL,                  -- for how long, in seconds
    info  TEXT                               -- JSON: WorkerInfo; absent before the first heartbeat
) STRICT;

-- What happened when: counters (bucket 0) and histograms of durations, thinned from seconds to minutes to hours.
CREATE TABLE rollups (
    span   INTEGER NOT NULL,                 -- 1, 60 or 3600 seconds
    at     INTEGER NOT NULL,                 -- where the span starts
    queue  TEXT    NOT NULL,
    series TEXT    NOT NULL,
    bucket INTEGER NOT NULL,
    n      INTEGER NOT NULL,
    total  REAL    NOT NULL,                 -- seconds, for a histogram
    PRIMARY KEY (span, at, queue, series, bucket)
) STRICT, WITHOUT ROWID;
