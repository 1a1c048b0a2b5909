-- Named statements: each runs under the name above it. Values are always bound.

-- name: insert
INSERT INTO jobs (id, task, queue, state, priority, created_at, ready_at, due_at, expires_at, unique_key, body, options)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: insert_keyed
INSERT INTO jobs (id, task, queue, state, priority, created_at, ready_at, due_at, expires_at, unique_key, body, options,
                  key, key_limit, held)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: holder
SELECT id FROM jobs WHERE id = :id
UNION ALL
SELECT id FROM jobs
WHERE unique_key = :unique AND unique_key IS NOT NULL AND finished_at IS NULL
LIMIT 1;

-- name: claimable
-- Queues with something ready, how much of it no limit holds back, and whether any limit is to be looked at.
SELECT queue, n - coalesce((SELECT n FROM counters AS h WHERE h.state = 'held' AND h.queue = r.queue), 0),
       EXISTS (SELECT 1 FROM limits) OR (SELECT min(task) FROM jobs WHERE held = 'task') IS NOT NULL
       OR (SELECT min(key) FROM jobs WHERE key IS NOT NULL AND finished_at IS NULL) IS NOT NULL
FROM counters AS r
WHERE state = 'ready' AND n > 0 AND queue NOT IN (SELECT queue FROM paused)
ORDER BY queue;

-- name: claimable_in
SELECT queue, n - coalesce((SELECT n FROM counters AS h WHERE h.state = 'held' AND h.queue = r.queue), 0),
       EXISTS (SELECT 1 FROM limits) OR (SELECT min(task) FROM jobs WHERE held = 'task') IS NOT NULL
       OR (SELECT min(key) FROM jobs WHERE key IS NOT NULL AND finished_at IS NULL) IS NOT NULL
FROM counters AS r
WHERE state = 'ready' AND queue = :queue AND n > 0 AND NOT EXISTS (SELECT 1 FROM paused WHERE queue = :queue);

-- name: claim
-- In the claim's own order. With "start" it does what one UPDATE … RETURNING could, without its temporary tables, which
-- make a claim of a single job five times as long.
SELECT id, task, queue, :token, attempt + 1, failures, crashes, body, options, seq, ready_at FROM jobs
WHERE state = 'ready' AND held IS NULL AND queue = :queue
ORDER BY priority DESC, ready_at, seq LIMIT :count;

-- name: claim_limited
-- The same, with what the limits ask for.
SELECT id, task, queue, :token, attempt + 1, failures, crashes, body, options, seq, ready_at,
       priority, key, key_limit, held FROM jobs
WHERE state = 'ready' AND held IS NULL AND queue = :queue
ORDER BY priority DESC, ready_at, seq LIMIT :count;

-- name: claim_held
-- What waits for the rate of a task.
SELECT id, task, queue, :token, attempt + 1, failures, crashes, body, options, seq, ready_at,
       priority, key, key_limit, held FROM jobs
WHERE held = 'task' AND task = :task AND queue = :queue
ORDER BY priority DESC, ready_at, seq LIMIT :count;

-- name: start
UPDATE jobs
SET state = 'running', token = ?, worker = ?, attempt = attempt + 1, started_at = ?, cancel = 0, progress = NULL,
    message = NULL
WHERE seq = ?;

-- name: due
UPDATE jobs SET state = 'ready', ready_at = due_at, due_at = NULL
WHERE seq IN (SELECT seq FROM jobs WHERE due_at <= :now ORDER BY due_at, seq LIMIT 1000);

-- name: due_states
SELECT queue, state, count(*) FROM jobs
WHERE seq IN (SELECT seq FROM jobs WHERE due_at <= :now ORDER BY due_at, seq LIMIT 1000)
GROUP BY queue, state;

-- name: next_due
SELECT min(due_at) FROM jobs WHERE due_at IS NOT NULL;

-- name: overdue
SELECT seq, queue, state, key, held FROM jobs
WHERE expires_at <= :now AND expires_at IS NOT NULL AND finished_at IS NULL AND token IS NULL
ORDER BY expires_at LIMIT 1000;

-- name: finish_pending
UPDATE jobs SET state = :state, finished_at = :now, due_at = NULL, held = NULL WHERE seq = :seq;

-- name: succeed
UPDATE jobs
SET state = 'succeeded', token = NULL, started_at = ?, finished_at = ?, result = ?,
    error_type = NULL, error_message = NULL, error_detail = NULL, cancel = 0, progress = NULL, message = NULL
WHERE seq = ? AND token = ?;

-- name: settle
UPDATE jobs
SET state = :state, token = NULL, started_at = :started_at, finished_at = :finished_at, result = :result,
    due_at = :due_at, ready_at = coalesce(:ready_at, ready_at), reason = :reason,
    error_type = iif(:keep_error, error_type, :error_type),
    error_message = iif(:keep_error, error_message, :error_message),
    error_detail = iif(:keep_error, error_detail, :error_detail),
    attempt = attempt - :refund, failures = failures + :failure, crashes = crashes + :crash, cancel = 0,
    progress = NULL, message = NULL
WHERE seq = :seq AND token = :token;

-- name: held
SELECT cancel, worker FROM jobs WHERE seq = ? AND token = ?;

-- name: report
UPDATE jobs SET progress = coalesce(?, progress), message = coalesce(?, message) WHERE seq = ? AND token = ?;

-- name: add_attempt
INSERT INTO attempts (seq, attempt, worker, started_at, finished_at, event, state, error_type, error_message, error_detail)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: add_output
INSERT INTO output (seq, attempt, start, stream, data) VALUES (?, ?, ?, ?, ?);

-- name: output_of
SELECT stream, start, data FROM output WHERE seq = ? AND attempt = ? ORDER BY start;

-- name: drop_output
DELETE FROM output WHERE seq = ? AND attempt = ?;

-- name: beat
INSERT INTO workers (id, beat, lease, info) VALUES (?, random(), ?, ?)
ON CONFLICT (id) DO UPDATE SET beat = excluded.beat, lease = excluded.lease, info = coalesce(excluded.info, info);

-- name: beat_of
SELECT beat FROM workers WHERE id = ?;

-- name: workers
SELECT id, beat, lease, info FROM workers ORDER BY id;

-- name: wanted
SELECT least, most FROM workers WHERE id = ? AND least IS NOT NULL;

-- name: scale
UPDATE workers SET least = :least, most = :most WHERE id = :worker AND info IS NOT NULL;

-- name: forget
DELETE FROM workers WHERE id = ?;

-- name: held_by
SELECT seq, queue, attempt, crashes, started_at, cancel, token, options, key FROM jobs
WHERE token IS NOT NULL AND worker = :worker
  AND queue IN (SELECT queue FROM counters WHERE state = 'running' AND n > 0);

-- name: holders
SELECT DISTINCT worker FROM jobs
WHERE token IS NOT NULL AND queue IN (SELECT queue FROM counters WHERE state = 'running' AND n > 0);

-- name: give_back
UPDATE jobs
SET state = :state, token = NULL, attempt = attempt - 1, finished_at = :finished_at, cancel = 0,
    progress = NULL, message = NULL
WHERE seq = :seq;

-- name: rescue
UPDATE jobs
SET state = :state, token = NULL, due_at = :due_at, finished_at = :finished_at, reason = :reason,
    crashes = crashes + 1, error_type = :error_type, error_message = :error_message, error_detail = NULL,
    cancel = 0, progress = NULL, message = NULL
WHERE seq = :seq;

-- name: find_job
SELECT seq, queue, state, key, held FROM jobs WHERE id = ?;

-- name: state_of
SELECT state FROM jobs WHERE seq = ?;

-- name: restart
UPDATE jobs
SET state = 'ready', ready_at = :now, due_at = NULL, finished_at = NULL, expires_at = NULL, reason = NULL, result = NULL,
    failures = 0, crashes = 0, cancel = 0, error_type = NULL, error_message = NULL, error_detail = NULL
WHERE seq = :seq;

-- name: ask_to_stop
-- 1: asked; 2: to be killed, which an asking does not take back.
UPDATE jobs SET cancel = max(cancel, ?) WHERE seq = ?;

-- name: delete_job
DELETE FROM jobs WHERE seq = ?;

-- name: delete_attempts
DELETE FROM attempts WHERE seq = ?;

-- name: delete_output
DELETE FROM output WHERE seq = ?;

-- name: pause
INSERT INTO paused (queue, at) VALUES (?, ?) ON CONFLICT DO NOTHING;

-- name: resume
DELETE FROM paused WHERE queue = ?;

-- name: hold
UPDATE jobs SET held = ? WHERE seq = ?;

-- name: slots_in_use
-- Whether a job that ends may leave a slot to others: of a key, of a queue.
SELECT (SELECT min(key) FROM jobs WHERE key IS NOT NULL AND finished_at IS NULL) IS NOT NULL,
       EXISTS (SELECT 1 FROM limits WHERE concurrency IS NOT NULL);

-- name: key_of
SELECT key FROM jobs WHERE seq = ?;

-- name: key_running
SELECT count(*) FROM jobs WHERE key = ? AND key IS NOT NULL AND finished_at IS NULL AND state = 'running';

-- name: key_queue
-- The next queue in which jobs wait for a slot of the key.
SELECT queue FROM jobs
WHERE key = :key AND key IS NOT NULL AND finished_at IS NULL AND state = 'ready' AND held = 'key' AND queue > :after
ORDER BY queue LIMIT 1;

-- name: key_first
-- The first of them, in the claim's own order.
SELECT priority, ready_at, seq, key_limit FROM jobs
WHERE key = :key AND key IS NOT NULL AND finished_at IS NULL AND state = 'ready' AND held = 'key' AND queue = :queue
ORDER BY priority DESC, ready_at, seq LIMIT 1;

-- name: key_free
-- Those that nothing holds back.
SELECT -priority, ready_at, seq FROM jobs
WHERE key = :key AND key IS NOT NULL AND finished_at IS NULL AND state = 'ready' AND held IS NULL AND queue = :queue
ORDER BY priority DESC, ready_at, seq LIMIT :count;

-- name: key_ahead
-- How many of those a new job would stand behind.
SELECT count(*) FROM (
    SELECT 1 FROM jobs
    WHERE key = :key AND key IS NOT NULL AND finished_at IS NULL AND state = 'ready' AND held IS NULL AND queue = :queue
      AND priority >= :priority
    LIMIT :count
);

-- name: held_task
-- The next task whose jobs wait for its rate.
SELECT task FROM jobs WHERE held = 'task' AND task > ? ORDER BY task LIMIT 1;

-- name: held_task_in
SELECT 1 FROM jobs WHERE held = 'task' AND task = ? AND queue = ? LIMIT 1;

-- name: held_of_task
SELECT count(*) FROM jobs WHERE held = 'task' AND task = ?;

-- name: limits
SELECT scope, name, explicit, concurrency, rate, burst, declared, used, used_at FROM limits ORDER BY scope, name;

-- name: limited_queues
SELECT name FROM limits WHERE scope = 'queue' AND concurrency IS NOT NULL;

-- name: running_in
SELECT n FROM counters WHERE state = 'running' AND queue = ?;

-- name: limit
INSERT INTO limits (scope, name, explicit, concurrency, rate, burst) VALUES (?, ?, 1, ?, ?, ?)
ON CONFLICT DO UPDATE
SET explicit = 1, concurrency = excluded.concurrency, rate = excluded.rate, burst = excluded.burst;

-- name: unlimit
UPDATE limits SET explicit = 0, concurrency = NULL, rate = NULL, burst = NULL
WHERE scope = ? AND name = ? AND explicit = 1;

-- name: declare
INSERT INTO limits (scope, name, explicit, declared) VALUES ('task', ?, 0, ?)
ON CONFLICT DO UPDATE SET declared = excluded.declared;

-- name: drop_limits
DELETE FROM limits WHERE explicit = 0 AND declared IS NULL;

-- name: use_up
UPDATE limits SET used = ?, used_at = ? WHERE scope = ? AND name = ?;

-- name: count_up
INSERT INTO counters (state, queue, n) VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET n = n + excluded.n;

-- name: count_down
UPDATE counters SET n = n - ? WHERE state = ? AND queue = ?;

-- name: roll_up
INSERT INTO rollups (span, at, queue, series, bucket, n, total) VALUES (1, ?, ?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET n = n + excluded.n, total = total + excluded.total;

-- name: thin
INSERT INTO rollups (span, at, queue, series, bucket, n, total)
SELECT :span, at - at % :span, queue, series, bucket, sum(n), sum(total) FROM rollups
WHERE span = :from_span AND at < :before
GROUP BY at - at % :span, queue, series, bucket
ON CONFLICT DO UPDATE SET n = n + excluded.n, total = total + excluded.total;

-- name: drop_rollups
DELETE FROM rollups WHERE span = :span AND at < :before;

-- name: drop_counters
DELETE FROM counters WHERE n = 0;

-- name: counters
SELECT queue, state, n FROM counters WHERE state <> 'held';

-- name: held_counts
SELECT queue, n FROM counters WHERE state = 'held';

-- name: paused
SELECT queue FROM paused;

-- name: oldest_ready
SELECT min(ready_at) FROM (
    SELECT (
        SELECT min(ready_at) FROM jobs
        WHERE state = 'ready' AND held IS NULL AND queue = :queue AND priority = p.value
    ) AS ready_at
    FROM json_each('[0,1,2,3,4,5,6,7,8,9]') AS p
);

-- name: recent
SELECT queue, series, bucket, sum(n), sum(total) FROM rollups
WHERE span = 1 AND at >= ? AND at <= ?
GROUP BY queue, series, bucket;

-- name: history
-- Added up here rather than row by row outside: a month has hundreds of thousands. As in rollup.gather, a span that is
-- wider than asked for is kept, and other widths are rounded up to a multiple of it.
SELECT span * ((:seconds + span - 1) / span) AS width, at - at % (span * ((:seconds + span - 1) / span)) AS start,
       iif(:together, '', queue) AS whose, series, bucket, sum(n), sum(total)
FROM rollups
WHERE span IN (1, 60, 3600) AND at > :since - 3600 AND at + span > :since AND at < :until
  AND (:queues IS NULL OR queue IN (SELECT value FROM json_each(:queues)))
GROUP BY width, start, whose, series, bucket;

-- name: note
INSERT INTO notes (at, text) VALUES (?, ?) RETURNING id, at, text;

-- name: notes
SELECT id, at, text FROM notes WHERE at >= ? AND at < ? ORDER BY at DESC, id DESC LIMIT ?;

-- name: forget_note
DELETE FROM notes WHERE id = ? RETURNING id, at, text;

-- name: drop_notes
DELETE FROM notes WHERE at < ?;

-- name: miscounted
SELECT queue, state, coalesce(said, 0), coalesce(found, 0)
FROM (SELECT queue, state, n AS said FROM counters WHERE n > 0)
FULL JOIN (
    SELECT queue, state, count(*) AS found FROM jobs GROUP BY queue, state
    UNION ALL
    SELECT queue, 'held', count(*) FROM jobs WHERE held IS NOT NULL GROUP BY queue
) USING (queue, state)
WHERE said IS NOT found;

-- name: prefix
SELECT id FROM jobs WHERE id >= ? AND id < ? ORDER BY id LIMIT 2;

-- name: attempts
SELECT attempt, worker, started_at, finished_at, event, state, error_type, error_message, error_detail
FROM attempts WHERE seq = (SELECT seq FROM jobs WHERE id = ?) ORDER BY rowid;

-- name: result
SELECT id, state, result, reason, error_type, error_message, error_detail FROM jobs WHERE id = ?;

-- name: output
SELECT stream, start, data FROM output
WHERE seq = :seq AND attempt = coalesce(:attempt, (SELECT attempt FROM jobs WHERE seq = :seq))
  AND start + length(data) > :after
ORDER BY start, rowid;

-- name: old_finished
SELECT seq, queue, state FROM (
    SELECT seq, queue, state, finished_at FROM jobs
    WHERE queue = :queue AND state = :state AND token IS NULL ORDER BY seq LIMIT 1000
) WHERE finished_at < :before;

-- name: ready_bytes
SELECT seq, queue, held, CAST(id AS BLOB), CAST(task AS BLOB), CAST(key AS BLOB), CAST(body AS BLOB),
       CAST(options AS BLOB)
FROM jobs
WHERE state = 'ready' AND token IS NULL AND queue IN (SELECT queue FROM counters WHERE state = 'ready' AND n > 0);

-- name: park
UPDATE jobs
SET state = :state, finished_at = :now, held = NULL, reason = :reason, error_type = 'Undecodable',
    error_message = :message, id = :id, task = :task, key = :key, body = :body, options = :options
WHERE seq = :seq;
