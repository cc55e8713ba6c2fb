-- Tables of the episode store. A blank line ends each statement.
CREATE TABLE episodes (
    episode_id TEXT PRIMARY KEY, lease_id TEXT NOT NULL, transport TEXT NOT NULL,
    client_address TEXT NOT NULL, player_id TEXT NOT NULL, start_count INTEGER NOT NULL,
    start_json BLOB NOT NULL, size_bytes INTEGER NOT NULL, step_count INTEGER NOT NULL,
    end_status TEXT NOT NULL, expires_s REAL NOT NULL
) WITHOUT ROWID;

CREATE INDEX episodes_by_player ON episodes (player_id);

CREATE INDEX episodes_by_transport ON episodes (transport);

CREATE INDEX episodes_by_expiry ON episodes (end_status = '', expires_s);

CREATE INDEX episodes_by_client ON episodes (client_address, end_status = '', expires_s);

CREATE TABLE actions (
    episode_id TEXT NOT NULL REFERENCES episodes (episode_id) ON DELETE CASCADE,
    action_index INTEGER NOT NULL, action_json BLOB NOT NULL, request_id TEXT NOT NULL,
    PRIMARY KEY (episode_id, action_index)
) WITHOUT ROWID;

-- Compressed results of slow calls. A result is added after its action.
CREATE TABLE slow_results (
    episode_id TEXT NOT NULL REFERENCES episodes (episode_id) ON DELETE CASCADE,
    action_index INTEGER NOT NULL, compressed_result BLOB NOT NULL,
    PRIMARY KEY (episode_id, action_index)
) WITHOUT ROWID;

-- Totals per client. Triggers update them, because counting many episodes takes too long.
CREATE TABLE clients (
    client_address TEXT PRIMARY KEY, episode_count INTEGER NOT NULL, size_bytes INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TRIGGER episode_inserted AFTER INSERT ON episodes BEGIN
    INSERT INTO clients VALUES (NEW.client_address, 1, NEW.size_bytes)
    ON CONFLICT (client_address) DO UPDATE
    SET episode_count = episode_count + 1, size_bytes = size_bytes + NEW.size_bytes;
END;

CREATE TRIGGER episode_size_updated AFTER UPDATE OF size_bytes ON episodes BEGIN
    UPDATE clients SET size_bytes = size_bytes + NEW.size_bytes - OLD.size_bytes
    WHERE client_address = NEW.client_address;
END;

CREATE TRIGGER episode_deleted AFTER DELETE ON episodes BEGIN
    UPDATE clients
    SET episode_count = episode_count - 1, size_bytes = size_bytes - OLD.size_bytes
    WHERE client_address = OLD.client_address;
    DELETE FROM clients WHERE client_address = OLD.client_address AND episode_count = 0;
END;

-- Tasks that were assigned to sessions. A task that was played is reserved without a time limit.
CREATE TABLE assigned_tasks (
    split_key TEXT NOT NULL, task_index INTEGER NOT NULL, reserved_until_s REAL NOT NULL,
    PRIMARY KEY (split_key, task_index)
) WITHOUT ROWID;

-- Episodes of sealed tasks. They outlive the rows of `episodes`, so that every start stays counted.
CREATE TABLE sealed_episodes (
    participant TEXT NOT NULL, task_set_key TEXT NOT NULL, number INTEGER NOT NULL,
    task_index INTEGER NOT NULL, episode_id TEXT NOT NULL, player_id TEXT NOT NULL,
    start_json BLOB NOT NULL, score REAL, step_count INTEGER NOT NULL,
    actions_digest TEXT NOT NULL, PRIMARY KEY (participant, task_set_key, number)
) WITHOUT ROWID;

CREATE INDEX sealed_episodes_by_player ON sealed_episodes (player_id);

CREATE TABLE secret (value TEXT NOT NULL);

-- One row: the clock by which episodes expire. See clock.py.
CREATE TABLE clock (
    boot_id TEXT NOT NULL, offset_s REAL NOT NULL, store_time_s REAL NOT NULL,
    wall_time_s REAL NOT NULL
);

CREATE TABLE heartbeat (id INTEGER PRIMARY KEY, written_at_s REAL NOT NULL);
