-- Named statements, as in queries.sql: what moves whole jobs.

-- name: identity
SELECT id FROM identity;

-- name: begin
INSERT INTO trips (peer, outward, number, url) VALUES (:peer, 1, :number, :url)
ON CONFLICT DO UPDATE SET number = max(number + 1, excluded.number), url = excluded.url
RETURNING number;

-- name: last_trip
SELECT number FROM trips WHERE peer = ? AND outward = ?;

-- name: come_in
INSERT INTO trips (peer, outward, number, url) VALUES (?, 0, ?, ?)
ON CONFLICT DO UPDATE SET number = excluded.number, url = excluded.url;

-- name: whole
SELECT seq, state, queue, held, task, priority, created_at, ready_at, due_at, expires_at, started_at, finished_at,
       attempt, failures, crashes, reason, error_type, error_message, error_detail, worker, message, unique_key, key,
       key_limit, body, options, result
FROM jobs WHERE id = ?;

-- name: state_of
SELECT state FROM jobs WHERE id = ?;

-- name: whole_attempts
SELECT attempt, worker, started_at, finished_at, event, state, error_type, error_message, error_detail
FROM attempts WHERE seq = ? ORDER BY rowid;

-- name: whole_output
SELECT attempt, stream, start, data FROM output WHERE seq = ? ORDER BY attempt, start, rowid;

-- name: depart
INSERT INTO departures (id, peer, parcel) VALUES (?, ?, ?);

-- name: departed
SELECT 1 FROM departures WHERE id = ?;

-- name: departures
SELECT parcel FROM departures WHERE peer = ? AND id > ? ORDER BY id LIMIT ?;

-- name: departure
SELECT parcel FROM departures WHERE peer = ? AND id = ?;

-- name: drop
DELETE FROM departures WHERE peer = ? AND id = ?;

-- name: arrived
SELECT 1 FROM arrivals WHERE peer = ? AND id = ?;

-- name: arrive
INSERT INTO arrivals (peer, id, number) VALUES (?, ?, ?);

-- name: clear
DELETE FROM arrivals WHERE peer = ? AND number <= ?;

-- name: take_in
INSERT INTO jobs (id, task, queue, state, priority, created_at, ready_at, due_at, expires_at, started_at, finished_at,
                  attempt, failures, crashes, reason, error_type, error_message, error_detail, worker, message,
                  unique_key, key, key_limit, held, body, options, result)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
RETURNING seq;

-- name: rehome
UPDATE jobs SET queue = ?, held = ? WHERE seq = ?;

-- name: transits
SELECT t.peer, t.url, t.outward, d.n FROM trips AS t
JOIN (SELECT peer, 1 AS outward, count(*) AS n FROM departures GROUP BY peer
      UNION ALL SELECT peer, 0, count(*) FROM arrivals GROUP BY peer) AS d USING (peer, outward)
ORDER BY t.url, t.outward;
