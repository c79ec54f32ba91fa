-- Times are microseconds since 1970-01-01 UTC. Rows are only ever removed by retention.

CREATE TABLE fact (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE counter (
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    value INTEGER NOT NULL,
    PRIMARY KEY (kind, name)
) STRICT, WITHOUT ROWID;

-- Sequence numbers are given per store identity and analyser, without gaps.
CREATE TABLE sequence (
    identity TEXT NOT NULL,
    analyser TEXT NOT NULL,
    last INTEGER NOT NULL,
    PRIMARY KEY (identity, analyser)
) STRICT, WITHOUT ROWID;

CREATE TABLE transmission (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    analyser TEXT NOT NULL,
    peer TEXT NOT NULL,
    profile TEXT NOT NULL,
    revision INTEGER NOT NULL,
    profile_hash TEXT NOT NULL,
    mode TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('receiving', 'complete', 'interrupted', 'completed-by')),
    opened INTEGER NOT NULL,
    ended INTEGER,
    reason TEXT NOT NULL DEFAULT '',
    converted INTEGER NOT NULL DEFAULT 0 CHECK (converted IN (0, 1)),
    completed_by INTEGER,
    -- how many of its messages are unfiled and of its specimens held, failed or received; 0 lets retention take it
    unsettled INTEGER NOT NULL DEFAULT 0 CHECK (unsettled >= 0),
    settled INTEGER
) STRICT;

CREATE INDEX transmission_receiving ON transmission (id) WHERE state = 'receiving';
CREATE INDEX transmission_unconverted ON transmission (id) WHERE converted = 0;
CREATE INDEX transmission_interrupted ON transmission (analyser, id) WHERE state = 'interrupted';
CREATE INDEX transmission_settled ON transmission (settled)
    WHERE converted = 1 AND unsettled = 0 AND state IN ('complete', 'completed-by');

-- A frame's text is a slice of its raw bytes nearly always; it is stored apart only when it is not.
CREATE TABLE chunk (
    transmission INTEGER NOT NULL REFERENCES transmission (id),
    position INTEGER NOT NULL,
    received INTEGER NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('frame', 'repeat', 'refused', 'noise')),
    raw BLOB NOT NULL,
    text_start INTEGER NOT NULL,
    text_length INTEGER NOT NULL,
    text BLOB,
    number INTEGER,
    last INTEGER NOT NULL CHECK (last IN (0, 1)),
    reason TEXT NOT NULL,
    PRIMARY KEY (transmission, position)
) STRICT, WITHOUT ROWID;

CREATE TABLE specimen_group (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    transmission INTEGER NOT NULL REFERENCES transmission (id),
    analyser TEXT NOT NULL,
    specimen TEXT NOT NULL,
    role TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('received', 'converted', 'duplicate', 'held', 'failed')),
    hold TEXT NOT NULL,
    detail TEXT NOT NULL,
    since INTEGER NOT NULL,
    stat INTEGER NOT NULL CHECK (stat IN (0, 1)),
    held INTEGER NOT NULL CHECK (held >= 0),
    failed INTEGER NOT NULL CHECK (failed >= 0),
    released INTEGER NOT NULL DEFAULT 0 CHECK (released >= 0)
) STRICT;

CREATE INDEX specimen_group_transmission ON specimen_group (transmission);
CREATE INDEX specimen_group_specimen ON specimen_group (specimen, id);
CREATE INDEX specimen_group_waiting ON specimen_group (id) WHERE held + failed > 0;

CREATE TABLE observation (
    group_id INTEGER NOT NULL REFERENCES specimen_group (id),
    position INTEGER NOT NULL,
    digest BLOB NOT NULL,
    occurrence INTEGER NOT NULL,
    code TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('received', 'converted', 'duplicate', 'held', 'failed')),
    hold TEXT NOT NULL,
    detail TEXT NOT NULL,
    message_id TEXT NOT NULL,
    PRIMARY KEY (group_id, position)
) STRICT, WITHOUT ROWID;

CREATE INDEX observation_duplicate ON observation (message_id) WHERE state = 'duplicate';

-- What was seen, kept much longer than what was sent: it recognises an analyser's repeats.
CREATE TABLE seen (
    analyser TEXT NOT NULL,
    digest BLOB NOT NULL,
    occurrence INTEGER NOT NULL,
    message_id TEXT NOT NULL,
    transmission INTEGER NOT NULL,
    seen INTEGER NOT NULL,
    PRIMARY KEY (analyser, digest, occurrence)
) STRICT, WITHOUT ROWID;

CREATE INDEX seen_age ON seen (seen);

CREATE TABLE outbox (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    identity TEXT NOT NULL,
    analyser TEXT NOT NULL,
    route TEXT NOT NULL CHECK (route IN ('result', 'qc', 'validation')),
    sequence INTEGER NOT NULL,
    specimen_key BLOB NOT NULL,
    digest TEXT NOT NULL,
    state TEXT NOT NULL
        CHECK (state IN ('queued', 'at-broker', 'filed', 'rejected', 'blocked', 'superseded', 'set-aside')),
    code TEXT NOT NULL DEFAULT '',
    reason TEXT NOT NULL DEFAULT '',
    stat INTEGER NOT NULL CHECK (stat IN (0, 1)),
    graphics INTEGER NOT NULL CHECK (graphics IN (0, 1)),
    head INTEGER NOT NULL CHECK (head IN (0, 1)),
    created INTEGER NOT NULL,
    queued INTEGER NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    replay TEXT NOT NULL DEFAULT 'original',
    repeat_of TEXT NOT NULL,
    replaces TEXT NOT NULL,
    held INTEGER NOT NULL,
    transmission INTEGER NOT NULL REFERENCES transmission (id),
    group_id INTEGER REFERENCES specimen_group (id),
    at_broker INTEGER,
    filed INTEGER,
    rejected INTEGER,
    retry_at INTEGER,
    replay_at INTEGER,
    replayed INTEGER
) STRICT;

CREATE UNIQUE INDEX outbox_sequence ON outbox (identity, analyser, sequence);
CREATE INDEX outbox_state ON outbox (state, number);
CREATE INDEX outbox_transmission ON outbox (transmission);
CREATE INDEX outbox_group ON outbox (group_id);
CREATE INDEX outbox_head ON outbox (graphics, stat, number) WHERE head = 1;
CREATE INDEX outbox_queue ON outbox (specimen_key, graphics, number) WHERE state = 'queued';
CREATE INDEX outbox_unanswered ON outbox (specimen_key, at_broker) WHERE state = 'at-broker';
CREATE INDEX outbox_open ON outbox (queued) WHERE state IN ('queued', 'at-broker', 'rejected', 'blocked');
CREATE INDEX outbox_retry ON outbox (retry_at) WHERE retry_at IS NOT NULL;
CREATE INDEX outbox_replay ON outbox (replay_at) WHERE replay_at IS NOT NULL;

-- Apart from its row, so that a change of state rewrites a few bytes and not the message.
CREATE TABLE payload (
    number INTEGER PRIMARY KEY REFERENCES outbox (number),
    payload BLOB NOT NULL
) STRICT;

-- A message as it is read, in the order of rows.OutboxRow.
CREATE VIEW message AS
SELECT o.number, o.id, o.analyser, o.route, o.sequence, o.specimen_key, p.payload, o.digest, o.state, o.code, o.reason,
    o.stat, o.graphics, o.created, o.queued, o.attempts, o.replay, o.repeat_of, o.replaces, o.transmission, o.filed,
    o.at_broker, o.retry_at, o.replay_at, o.held, o.head, o.group_id
FROM outbox o JOIN payload p ON p.number = o.number;

CREATE TABLE attempt (
    number INTEGER NOT NULL REFERENCES outbox (number),
    attempt INTEGER NOT NULL,
    at INTEGER NOT NULL,
    what TEXT NOT NULL,
    code TEXT NOT NULL,
    detail TEXT NOT NULL,
    PRIMARY KEY (number, attempt)
) STRICT, WITHOUT ROWID;

CREATE TABLE audit (
    entry INTEGER PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL,
    kind TEXT NOT NULL,
    facts TEXT NOT NULL,
    hash BLOB NOT NULL
) STRICT;

-- The head of a specimen's queue is its lowest queued row, so that choosing what to send costs the same at any length.
CREATE TRIGGER outbox_leaves_queue AFTER UPDATE OF state ON outbox
WHEN old.state = 'queued' AND new.state <> 'queued'
BEGIN
    UPDATE outbox SET head = 0 WHERE number = new.number;
    UPDATE outbox SET head = 1 WHERE number = (
        SELECT number FROM outbox
        WHERE specimen_key = new.specimen_key AND graphics = new.graphics AND state = 'queued'
        ORDER BY number LIMIT 1
    );
END;

CREATE TRIGGER outbox_enters_queue AFTER UPDATE OF state ON outbox
WHEN old.state <> 'queued' AND new.state = 'queued'
BEGIN
    UPDATE outbox SET head = 0 WHERE number = (
        SELECT number FROM outbox
        WHERE specimen_key = new.specimen_key AND graphics = new.graphics AND state = 'queued' AND number <> new.number
        ORDER BY number LIMIT 1
    );
    UPDATE outbox SET head = 1 WHERE number = (
        SELECT number FROM outbox
        WHERE specimen_key = new.specimen_key AND graphics = new.graphics AND state = 'queued'
        ORDER BY number LIMIT 1
    );
END;

-- Counters move in the transaction that moves what they count.
CREATE TRIGGER outbox_counts_insert AFTER INSERT ON outbox
BEGIN
    INSERT INTO counter VALUES ('message', new.state, 1) ON CONFLICT DO UPDATE SET value = value + 1;
    UPDATE transmission SET unsettled = unsettled + 1 WHERE id = new.transmission;
END;

CREATE TRIGGER outbox_counts_update AFTER UPDATE OF state ON outbox
WHEN old.state <> new.state
BEGIN
    UPDATE counter SET value = value - 1 WHERE kind = 'message' AND name = old.state;
    INSERT INTO counter VALUES ('message', new.state, 1) ON CONFLICT DO UPDATE SET value = value + 1;
    UPDATE transmission
    SET unsettled = unsettled + (old.state = 'filed') - (new.state = 'filed'), settled = ifnull(new.filed, settled)
    WHERE id = new.transmission AND (old.state = 'filed' OR new.state = 'filed');
END;

CREATE TRIGGER outbox_counts_delete AFTER DELETE ON outbox
BEGIN
    UPDATE counter SET value = value - 1 WHERE kind = 'message' AND name = old.state;
END;

CREATE TRIGGER group_counts_insert AFTER INSERT ON specimen_group
WHEN new.held + new.failed > 0
BEGIN
    INSERT INTO counter VALUES ('held', new.analyser, new.held) ON CONFLICT DO UPDATE SET value = value + new.held;
    INSERT INTO counter VALUES ('failed', new.analyser, new.failed)
    ON CONFLICT DO UPDATE SET value = value + new.failed;
    UPDATE transmission SET unsettled = unsettled + 1 WHERE id = new.transmission;
END;

CREATE TRIGGER group_counts_update AFTER UPDATE OF held, failed, released ON specimen_group
BEGIN
    UPDATE counter SET value = value + new.held - old.held WHERE kind = 'held' AND name = new.analyser;
    UPDATE counter SET value = value + new.failed - old.failed WHERE kind = 'failed' AND name = new.analyser;
    UPDATE transmission
    SET unsettled = unsettled
        + (new.held + new.failed + new.released > 0) - (old.held + old.failed + old.released > 0)
    WHERE id = new.transmission;
END;

CREATE TRIGGER group_counts_delete AFTER DELETE ON specimen_group
WHEN old.held + old.failed + old.released > 0
BEGIN
    UPDATE counter SET value = value - old.held WHERE kind = 'held' AND name = old.analyser;
    UPDATE counter SET value = value - old.failed WHERE kind = 'failed' AND name = old.analyser;
    UPDATE transmission SET unsettled = unsettled - 1 WHERE id = old.transmission;
END;

CREATE TRIGGER transmission_counts_update AFTER UPDATE OF state ON transmission
WHEN old.state <> new.state
BEGIN
    INSERT INTO counter VALUES ('interrupted', new.analyser, new.state = 'interrupted')
    ON CONFLICT DO UPDATE SET value = value + (new.state = 'interrupted') - (old.state = 'interrupted');
END;
