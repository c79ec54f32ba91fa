-- What is old, due or a repeat goes by the store's own time (steady.py), which goes on from the last commit's. Columns of
-- it: these two, seen.seen, transmission.settled, outbox.at_broker, rejected, retry_at, replay_at, replayed.
ALTER TABLE transmission ADD COLUMN opened_steady INTEGER NOT NULL DEFAULT 0;
ALTER TABLE transmission ADD COLUMN ended_steady INTEGER;
UPDATE transmission SET opened_steady = opened, ended_steady = ended;

DROP TRIGGER outbox_counts_update;

CREATE TRIGGER outbox_counts_update AFTER UPDATE OF state ON outbox
WHEN old.state <> new.state
BEGIN
    UPDATE counter SET value = value - 1 WHERE kind = 'message' AND name = old.state;
    INSERT INTO counter VALUES ('message', new.state, 1) ON CONFLICT DO UPDATE SET value = value + 1;
    UPDATE transmission SET unsettled = unsettled + (old.state = 'filed') - (new.state = 'filed')
    WHERE id = new.transmission AND (old.state = 'filed' OR new.state = 'filed');
END;
