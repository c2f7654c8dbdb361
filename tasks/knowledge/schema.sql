-- One file holds one knowledge base.

CREATE TABLE meta (
    identity TEXT NOT NULL,                -- drawn when the file is made; two files never share it
    generation INTEGER NOT NULL DEFAULT 0, -- rises with every change of what can be found
    exists_since TEXT                      -- UTC; null while nothing was added, and again after a removal
);

CREATE TABLE document (
    id INTEGER PRIMARY KEY,
    path TEXT NOT NULL UNIQUE,             -- absolute: the document's identity
    source TEXT NOT NULL,                  -- how it is cited
    fingerprint TEXT NOT NULL,             -- of its bytes, its source and the version of the chunking
    model TEXT,                            -- the embedding model its chunks were embedded with, if any
    added_at TEXT NOT NULL                 -- UTC
);

-- AUTOINCREMENT: ids are never used again, so that a process that keeps embeddings in memory can tell what is new.
CREATE TABLE chunk (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    document_id INTEGER NOT NULL REFERENCES document (id) ON DELETE CASCADE,
    ordinal INTEGER NOT NULL,
    heading TEXT NOT NULL,
    page INTEGER,
    text TEXT NOT NULL,
    UNIQUE (document_id, ordinal)
);

CREATE TABLE embedding (
    chunk_id INTEGER PRIMARY KEY REFERENCES chunk (id) ON DELETE CASCADE,
    model TEXT NOT NULL,
    vector BLOB NOT NULL                   -- int8; see tasks/knowledge/vectors.py
);

-- External content (https://sqlite.org/fts5.html, 4.4.4): the text is stored once, in chunk.
CREATE VIRTUAL TABLE words USING fts5 (
    heading, text,
    content = 'chunk', content_rowid = 'id', tokenize = 'porter unicode61'
);

CREATE TRIGGER chunk_added AFTER INSERT ON chunk BEGIN
    INSERT INTO words (rowid, heading, text) VALUES (new.id, new.heading, new.text);
END;
CREATE TRIGGER chunk_removed AFTER DELETE ON chunk BEGIN
    INSERT INTO words (words, rowid, heading, text) VALUES ('delete', old.id, old.heading, old.text);
END;
