-- A file of version 1, as that version wrote it: jobs in every state it knew, one of them running.

BEGIN TRANSACTION;

-- Table  attempts
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
INSERT INTO attempts VALUES(2,1,'w1',1700000000.0,1700000000.0,'error','dead','ValueError','boom','{"traceback": "Traceback\u2026\n"}');
INSERT INTO attempts VALUES(5,1,'w1',1700002001.0,1700002001.0,'error','retry','ValueError','boom','{"traceback": "Traceback\u2026\n"}');
-- Triggers and indices on  attempts
CREATE INDEX attempts_job ON attempts (seq);

-- Table  counters
CREATE TABLE counters (
    state TEXT    NOT NULL,
    queue TEXT    NOT NULL,
    n     INTEGER NOT NULL CHECK (n >= 0),
    PRIMARY KEY (state, queue)
) STRICT, WITHOUT ROWID;
INSERT INTO counters VALUES('cancelled','default',1);
INSERT INTO counters VALUES('dead','default',1);
INSERT INTO counters VALUES('expired','default',1);
INSERT INTO counters VALUES('ready','default',0);
INSERT INTO counters VALUES('ready','email',3);
INSERT INTO counters VALUES('retry','default',1);
INSERT INTO counters VALUES('running','default',0);
INSERT INTO counters VALUES('running','email',1);
INSERT INTO counters VALUES('scheduled','default',1);
INSERT INTO counters VALUES('succeeded','default',1);

-- Table  jobs
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
INSERT INTO jobs VALUES(1,'job-0001','t','default','succeeded',0,1,0,0,1700000000.0,1700000000.0,NULL,1700002000.0,1700000000.0,1700000000.0,NULL,'w1',0,NULL,'[[],{}]',NULL,NULL,NULL,NULL,NULL,NULL,NULL,'1');
INSERT INTO jobs VALUES(2,'job-0002','t','default','dead',0,1,1,0,1700000000.0,1700000000.0,NULL,1700002000.0,1700000000.0,1700000000.0,NULL,'w1',0,NULL,'[[],{}]',NULL,NULL,NULL,'failed','ValueError','boom','{"traceback": "Traceback\u2026\n"}',NULL);
INSERT INTO jobs VALUES(3,'job-0003','t','default','cancelled',0,1,0,0,1700000000.0,1700000000.0,NULL,1700002000.0,1700000000.0,1700000000.0,NULL,'w1',0,NULL,'[[],{}]',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO jobs VALUES(4,'job-0004','t','default','expired',0,0,0,0,1700000000.0,1700000000.0,NULL,1700002000.0,NULL,1700002001.0,NULL,NULL,0,NULL,'[[],{}]',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO jobs VALUES(5,'job-0005','mail.send','default','retry',0,1,1,0,1700002001.0,1700002001.0,1700002101.0,NULL,1700002001.0,NULL,NULL,'w1',0,'u','[["ann@example.com"],{"n":1}]','{"retries":3,"backoff":1.0,"tags":{"team":"billing"}}',NULL,NULL,NULL,'ValueError','boom','{"traceback": "Traceback\u2026\n"}',NULL);
INSERT INTO jobs VALUES(6,'job-0006','t','email','ready',0,0,0,0,1700002001.0,1700002001.0,NULL,NULL,NULL,NULL,NULL,NULL,0,NULL,'[[],{}]',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO jobs VALUES(7,'job-0007','t','email','ready',0,0,0,0,1700002001.0,1700002001.0,NULL,NULL,NULL,NULL,NULL,NULL,0,NULL,'[[],{}]',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO jobs VALUES(8,'job-0008','t','email','ready',0,0,0,0,1700002001.0,1700002001.0,NULL,NULL,NULL,NULL,NULL,NULL,0,NULL,'[[],{}]',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO jobs VALUES(9,'job-0009','t','email','running',9,1,0,0,1700002001.0,1700002001.0,NULL,NULL,1700002001.0,NULL,6829964619872149651,'w1',0,NULL,'[[],{}]',NULL,0.5,'half',NULL,NULL,NULL,NULL,NULL);
INSERT INTO jobs VALUES(10,'job-0010','t','default','scheduled',0,0,0,0,1700002001.0,NULL,1700002051.0,NULL,NULL,NULL,NULL,NULL,0,NULL,'[[],{}]',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
-- Triggers and indices on  jobs
CREATE INDEX jobs_due ON jobs (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX jobs_expiry ON jobs (expires_at)
    WHERE expires_at IS NOT NULL AND finished_at IS NULL AND token IS NULL;
CREATE INDEX jobs_ready ON jobs (queue, priority DESC, ready_at, seq) WHERE state = 'ready';
CREATE INDEX jobs_running ON jobs (queue, seq) WHERE token IS NOT NULL;
CREATE INDEX jobs_state ON jobs (queue, state, seq) WHERE token IS NULL;
CREATE UNIQUE INDEX jobs_unique ON jobs (unique_key)
    WHERE unique_key IS NOT NULL AND finished_at IS NULL;

-- Table  output
CREATE TABLE output (
    seq     INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    start   INTEGER NOT NULL,                -- offset of the first byte in the attempt's whole output
    stream  TEXT    NOT NULL,
    data    BLOB    NOT NULL
) STRICT;
INSERT INTO output VALUES(5,1,0,'stdout',X'68616C6620776179');
-- Triggers and indices on  output
CREATE INDEX output_job ON output (seq, attempt, start);

-- Table  paused
CREATE TABLE paused (
    queue TEXT PRIMARY KEY,
    at    REAL NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO paused VALUES('email',1700002001.0);

-- Table  rollups
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
INSERT INTO rollups VALUES(1,1700000000,'default','cancelled',0,1,0.0);
INSERT INTO rollups VALUES(1,1700000000,'default','dead',0,1,0.0);
INSERT INTO rollups VALUES(1,1700000000,'default','enqueued',0,4,0.0);
INSERT INTO rollups VALUES(1,1700000000,'default','run',0,3,0.0);
INSERT INTO rollups VALUES(1,1700000000,'default','started',0,3,0.0);
INSERT INTO rollups VALUES(1,1700000000,'default','succeeded',0,1,0.0);
INSERT INTO rollups VALUES(1,1700000000,'default','wait',0,3,0.0);
INSERT INTO rollups VALUES(1,1700002001,'default','enqueued',0,2,0.0);
INSERT INTO rollups VALUES(1,1700002001,'default','expired',0,1,0.0);
INSERT INTO rollups VALUES(1,1700002001,'default','retried',0,1,0.0);
INSERT INTO rollups VALUES(1,1700002001,'default','run',0,1,0.0);
INSERT INTO rollups VALUES(1,1700002001,'default','started',0,1,0.0);
INSERT INTO rollups VALUES(1,1700002001,'default','wait',0,1,0.0);
INSERT INTO rollups VALUES(1,1700002001,'email','enqueued',0,4,0.0);
INSERT INTO rollups VALUES(1,1700002001,'email','started',0,1,0.0);
INSERT INTO rollups VALUES(1,1700002001,'email','wait',0,1,0.0);

-- Table  workers
CREATE TABLE workers (
    id    TEXT PRIMARY KEY,
    beat  INTEGER NOT NULL,                  -- another at every sign of life; a rescuer watches it stand still
    lease REAL    NOT NULL,                  -- for how long, in seconds
    info  TEXT                               -- JSON: WorkerInfo; absent before the first heartbeat
) STRICT;
INSERT INTO workers VALUES('w1',3420416078952710834,30.0,'{"id": "w1", "host": "here", "pid": 1, "queues": ["email"], "pool": "thread", "slots": 4, "busy": 0, "started_at": 1700002001.0, "seen_at": 1700002001.0, "succeeded": 0, "failed": 0, "stopping": false}');

-- Database header
pragma user_version=1;
pragma application_id=1903456108;

COMMIT TRANSACTION;
