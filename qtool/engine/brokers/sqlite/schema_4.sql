-- Version 4: jobs on their way between this file and other stores.

CREATE TABLE identity (
    id TEXT NOT NULL                              -- which store this is, whatever its path
) STRICT;
INSERT INTO identity (id) VALUES (lower(hex(randomblob(16))));

-- The last trip to and from each other store: an earlier one is refused.
CREATE TABLE trips (
    peer    TEXT    NOT NULL,                     -- the identity of the other store
    outward INTEGER NOT NULL,                     -- 1 from here to there, 0 from there to here
    number  INTEGER NOT NULL,
    url     TEXT    NOT NULL,
    PRIMARY KEY (peer, outward)
) STRICT, WITHOUT ROWID;

-- Jobs taken out of here, whole, until they are known to have arrived there.
CREATE TABLE departures (
    id     TEXT NOT NULL PRIMARY KEY,
    peer   TEXT NOT NULL,
    parcel TEXT NOT NULL                          -- JSON: everything about the job
) STRICT;
CREATE INDEX departures_to ON departures (peer, id);

-- Jobs taken in here, until they are known to be departures no longer there.
CREATE TABLE arrivals (
    peer   TEXT    NOT NULL,
    id     TEXT    NOT NULL,
    number INTEGER NOT NULL,
    PRIMARY KEY (peer, id)
) STRICT, WITHOUT ROWID;
