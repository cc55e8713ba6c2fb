-- Tables of the episode store; a blank line ends each statement.
CREATE TABLE episodes (
    id TEXT PRIMARY KEY, generation TEXT NOT NULL, source TEXT NOT NULL, client TEXT NOT NULL,
    player TEXT NOT NULL, timeline INTEGER NOT NULL, start BLOB NOT NULL, bytes INTEGER NOT NULL,
    steps INTEGER NOT NULL, ended TEXT NOT NULL, expires REAL NOT NULL
) WITHOUT ROWID;

CREATE INDEX by_player ON episodes (player);

CREATE INDEX by_source ON episodes (source);

CREATE INDEX by_use ON episodes (ended = '', expires);

CREATE INDEX by_client ON episodes (client, ended = '', expires);

CREATE TABLE actions (
    episode TEXT NOT NULL REFERENCES episodes (id) ON DELETE CASCADE,
    n INTEGER NOT NULL, action BLOB NOT NULL, request TEXT NOT NULL, PRIMARY KEY (episode, n)
) WITHOUT ROWID;

-- Results of slow calls, compressed; they follow their action as soon as there are any.
CREATE TABLE slow_results (
    episode TEXT NOT NULL REFERENCES episodes (id) ON DELETE CASCADE,
    n INTEGER NOT NULL, result BLOB NOT NULL, PRIMARY KEY (episode, n)
) WITHOUT ROWID;

-- Sums by client, kept by triggers: counting at each reset would take longer the more there are.
CREATE TABLE clients (
    client TEXT PRIMARY KEY, episodes INTEGER NOT NULL, bytes INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TRIGGER came AFTER INSERT ON episodes BEGIN
    INSERT INTO clients VALUES (NEW.client, 1, NEW.bytes) ON CONFLICT (client)
    DO UPDATE SET episodes = episodes + 1, bytes = bytes + NEW.bytes;
END;

CREATE TRIGGER grew AFTER UPDATE OF bytes ON episodes BEGIN
    UPDATE clients SET bytes = bytes + NEW.bytes - OLD.bytes WHERE client = NEW.client;
END;

CREATE TRIGGER went AFTER DELETE ON episodes BEGIN
    UPDATE clients SET episodes = episodes - 1, bytes = bytes - OLD.bytes
    WHERE client = OLD.client;
    DELETE FROM clients WHERE client = OLD.client AND episodes = 0;
END;

-- Tasks that were drawn for sessions; those that were played, for ever.
CREATE TABLE drawn (
    split TEXT NOT NULL, task INTEGER NOT NULL, until REAL NOT NULL, PRIMARY KEY (split, task)
) WITHOUT ROWID;

-- Plays of sealed tasks. They are kept when their episodes are gone, so that none can be repeated.
CREATE TABLE sealed_plays (
    participant TEXT NOT NULL, task_set TEXT NOT NULL, number INTEGER NOT NULL,
    task INTEGER NOT NULL, episode TEXT NOT NULL, player TEXT NOT NULL, start BLOB NOT NULL,
    score REAL, steps INTEGER NOT NULL, actions_digest TEXT NOT NULL,
    PRIMARY KEY (participant, task_set, number)
) WITHOUT ROWID;

CREATE INDEX sealed_by_player ON sealed_plays (player);

CREATE TABLE secret (value TEXT NOT NULL);

-- One row: how the clock goes on, by which episodes expire; see store_clock.py.
CREATE TABLE clock (
    boot TEXT NOT NULL, offset_s REAL NOT NULL, last_s REAL NOT NULL, wall_s REAL NOT NULL
);

CREATE TABLE heartbeat (id INTEGER PRIMARY KEY, at REAL NOT NULL);
