-- Version 3: what people write down about a moment.

CREATE TABLE notes (
    id   INTEGER PRIMARY KEY AUTOINCREMENT,       -- never given twice: people type it to remove a note
    at   REAL    NOT NULL,
    text TEXT    NOT NULL
) STRICT;
CREATE INDEX notes_at ON notes (at, id);
