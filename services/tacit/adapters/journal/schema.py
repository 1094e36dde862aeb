"""Tables and views of the journal's file (formats 3).

`entry` is the hash chain and only grows. What may be erased lies beside it: the chain holds digests alone. Bodies are
canonical JSON, digests in hexadecimal; `key` in a body names what may exist once per kind of entry.
"""

import enum

APPLICATION_ID = 0x7AC17001
VERSION = 1


class EntryKind(enum.StrEnum):
    """Kinds of entries in the hash chain.

    ACCEPT: the account and its unit, or a manifest epoch. RESERVE: a run's reservation. SPEND: one release. BIND: a
    slot's context. RECORD: a signed record. RELEASED: a run is over, and what it is charged. ERASED: its side tables
    are empty.
    """

    ACCEPT = "ACCEPT"
    RESERVE = "RESERVE"
    SPEND = "SPEND"
    BIND = "BIND"
    RECORD = "RECORD"
    RELEASED = "RELEASED"
    ERASED = "ERASED"


SCHEMA = """
CREATE TABLE entry(n INTEGER PRIMARY KEY, kind TEXT NOT NULL, body BLOB NOT NULL, prev BLOB NOT NULL,
                   hash BLOB NOT NULL UNIQUE) STRICT;
CREATE UNIQUE INDEX entry_key ON entry(kind, json_extract(CAST(body AS TEXT), '$.key'));
CREATE UNIQUE INDEX entry_seq ON entry(kind, json_extract(CAST(body AS TEXT), '$.seq'));
CREATE INDEX entry_run ON entry(kind, json_extract(CAST(body AS TEXT), '$.run'));
CREATE TRIGGER entry_update BEFORE UPDATE ON entry BEGIN SELECT RAISE(ABORT, 'entries never change'); END;
CREATE TRIGGER entry_delete BEFORE DELETE ON entry BEGIN SELECT RAISE(ABORT, 'entries are never removed'); END;
CREATE TABLE outbox(seq INTEGER PRIMARY KEY, bytes BLOB NOT NULL, seen INTEGER NOT NULL CHECK (seen IN (0, 1))) STRICT;
CREATE TABLE payload(run TEXT NOT NULL, slot INTEGER NOT NULL, bytes BLOB NOT NULL, PRIMARY KEY (run, slot)) STRICT;
CREATE TABLE secret(run TEXT NOT NULL, slot INTEGER NOT NULL, sk BLOB NOT NULL, b BLOB NOT NULL, shares BLOB NOT NULL,
                    salt BLOB NOT NULL, PRIMARY KEY (run, slot)) STRICT;
CREATE TABLE setting(name TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT;
CREATE VIEW spend AS SELECT
    json_extract(CAST(body AS TEXT), '$.run') AS run,
    json_extract(CAST(body AS TEXT), '$.slot') AS slot,
    json_extract(CAST(body AS TEXT), '$.account') AS account,
    json_extract(CAST(body AS TEXT), '$.buckets') AS buckets,
    json_extract(CAST(body AS TEXT), '$.request') AS request,
    json_extract(CAST(body AS TEXT), '$.rho_nano') AS rho_nano,
    json_extract(CAST(body AS TEXT), '$.rho_alone_nano') AS rho_alone_nano,
    json_extract(CAST(body AS TEXT), '$.payload_digest') AS payload_digest,
    json_extract(CAST(body AS TEXT), '$.mode') AS mode,
    json_extract(CAST(body AS TEXT), '$.variance') AS variance
  FROM entry WHERE kind = 'SPEND';
CREATE VIEW record AS SELECT
    json_extract(CAST(body AS TEXT), '$.seq') AS seq,
    json_extract(CAST(body AS TEXT), '$.record') AS kind,
    json_extract(CAST(body AS TEXT), '$.digest') AS digest,
    json_extract(CAST(body AS TEXT), '$.key') AS key,
    json_extract(CAST(body AS TEXT), '$.bytes_digest') AS bytes_digest
  FROM entry WHERE kind = 'RECORD';
CREATE VIEW bind AS SELECT
    json_extract(CAST(body AS TEXT), '$.run') AS run,
    json_extract(CAST(body AS TEXT), '$.slot') AS slot,
    json_extract(CAST(body AS TEXT), '$.context') AS context
  FROM entry WHERE kind = 'BIND';
CREATE VIEW released AS SELECT
    json_extract(CAST(body AS TEXT), '$.run') AS run,
    json_extract(CAST(body AS TEXT), '$.state') AS state,
    json_extract(CAST(body AS TEXT), '$.charged_nano') AS charged_nano
  FROM entry WHERE kind = 'RELEASED';
CREATE VIEW reserve AS SELECT
    json_extract(CAST(e.body AS TEXT), '$.run') AS run,
    json_extract(CAST(e.body AS TEXT), '$.rho_nano') AS rho_nano,
    coalesce(r.state, 'open') AS state,
    json_extract(CAST(e.body AS TEXT), '$.buckets') AS buckets,
    coalesce(r.charged_nano, json_extract(CAST(e.body AS TEXT), '$.rho_nano')) AS charged_nano,
    json_extract(CAST(e.body AS TEXT), '$.time_ms') AS time_ms
  FROM entry e LEFT JOIN released r ON r.run = json_extract(CAST(e.body AS TEXT), '$.run')
  WHERE e.kind = 'RESERVE';
"""
