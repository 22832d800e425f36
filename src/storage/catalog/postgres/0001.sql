CREATE TABLE cluster (
    id bigint PRIMARY KEY,
    last_tenant bigint NOT NULL,
    generation bigint NOT NULL,
    CHECK (id = 1)
);
INSERT INTO cluster (id, last_tenant, generation) VALUES (1, 0, 0);
CREATE TABLE node (
    node bytea PRIMARY KEY,
    generation bigint NOT NULL,
    life smallint NOT NULL,
    beat bigint NOT NULL,
    weight bigint NOT NULL,
    address text NOT NULL
);
CREATE TABLE tenant (
    tenant bigint PRIMARY KEY,
    name text NOT NULL UNIQUE,
    incarnation bytea NOT NULL,
    spec bytea NOT NULL,
    epoch bigint NOT NULL,
    commits bigint NOT NULL,
    sequence bigint NOT NULL,
    last_reference bigint NOT NULL,
    last_subject bigint NOT NULL,
    last_segment bigint NOT NULL,
    last_erasure bigint NOT NULL,
    last_usage bigint NOT NULL,
    subjects bigint NOT NULL,
    refs bigint NOT NULL,
    pending bigint NOT NULL,
    erasures_open bigint NOT NULL,
    segments bigint NOT NULL,
    tombstones bigint NOT NULL,
    list bigint NOT NULL,
    group_segments bigint NOT NULL,
    key_generation bigint NOT NULL,
    since_event bigint NOT NULL,
    since_erasure bigint NOT NULL,
    erased bigint NOT NULL,
    event bigint NOT NULL,
    chain bytea NOT NULL,
    mac bytea NOT NULL
);
CREATE TABLE subject (
    tenant bigint NOT NULL,
    handle bigint NOT NULL,
    lookup bytea NOT NULL,
    consent_expires_at bigint NOT NULL,
    sealed bytea NOT NULL,
    last_used bigint NOT NULL,
    seen bytea NOT NULL,
    PRIMARY KEY (tenant, handle),
    UNIQUE (tenant, lookup)
);
CREATE INDEX subject_consent_end ON subject (tenant, consent_expires_at);
CREATE INDEX subject_last_used ON subject (tenant, last_used);
CREATE TABLE reference (
    tenant bigint NOT NULL,
    id bigint NOT NULL,
    subject bigint NOT NULL,
    sequence bigint NOT NULL,
    sealed bytea NOT NULL,
    segment bigint,
    slot bigint,
    placed bytea NOT NULL,
    PRIMARY KEY (tenant, id),
    FOREIGN KEY (tenant, subject) REFERENCES subject (tenant, handle),
    CHECK ((segment IS NULL) = (slot IS NULL))
);
CREATE INDEX reference_subject ON reference (tenant, subject);
CREATE INDEX reference_pending ON reference (tenant, id) WHERE segment IS NULL;
CREATE INDEX reference_segment ON reference (tenant, segment) WHERE segment IS NOT NULL;
CREATE TABLE pending (
    tenant bigint NOT NULL,
    reference bigint NOT NULL,
    epoch bigint NOT NULL,
    sealed bytea NOT NULL,
    PRIMARY KEY (tenant, reference)
);
CREATE TABLE link (
    tenant bigint NOT NULL,
    subject bigint NOT NULL,
    kind smallint NOT NULL,
    lookup bytea NOT NULL,
    sealed bytea NOT NULL,
    PRIMARY KEY (tenant, subject, kind),
    UNIQUE (tenant, lookup),
    FOREIGN KEY (tenant, subject) REFERENCES subject (tenant, handle)
);
CREATE TABLE segment (
    tenant bigint NOT NULL,
    number bigint NOT NULL,
    ulid bytea NOT NULL,
    rows bigint NOT NULL,
    holes bigint NOT NULL,
    live_from bigint,
    retired_from bigint,
    mac bytea NOT NULL,
    PRIMARY KEY (tenant, number)
);
CREATE TABLE warming (
    tenant bigint NOT NULL,
    reference bigint NOT NULL,
    segment bigint NOT NULL,
    slot bigint NOT NULL,
    placed bytea NOT NULL,
    PRIMARY KEY (tenant, reference),
    UNIQUE (tenant, segment, slot)
);
CREATE TABLE erasure (
    tenant bigint NOT NULL,
    id bigint NOT NULL,
    lookup bytea NOT NULL,
    purged boolean NOT NULL,
    sequence bigint NOT NULL,
    sealed bytea NOT NULL,
    PRIMARY KEY (tenant, id)
);
CREATE INDEX erasure_lookup ON erasure (tenant, lookup);
CREATE INDEX erasure_open ON erasure (tenant, id) WHERE NOT purged;
CREATE TABLE tombstone (
    tenant bigint NOT NULL,
    reference bigint NOT NULL,
    erasure bigint NOT NULL,
    segment bigint,
    slot bigint,
    placed bytea NOT NULL,
    PRIMARY KEY (tenant, reference),
    FOREIGN KEY (tenant, erasure) REFERENCES erasure (tenant, id)
);
CREATE INDEX tombstone_segment ON tombstone (tenant, segment, slot);
CREATE INDEX tombstone_erasure ON tombstone (tenant, erasure);
CREATE TABLE usage (
    tenant bigint NOT NULL,
    id bigint NOT NULL,
    subject bigint,
    commitment bytea NOT NULL,
    sealed bytea,
    PRIMARY KEY (tenant, id)
);
CREATE INDEX usage_subject ON usage (tenant, subject, id) WHERE subject IS NOT NULL;
CREATE TABLE checkpoint (
    tenant bigint NOT NULL,
    event bigint NOT NULL,
    checkpoint text NOT NULL,
    signature bytea NOT NULL,
    public_key bytea NOT NULL,
    PRIMARY KEY (tenant, event)
);
CREATE TABLE request (
    tenant bigint NOT NULL,
    lookup bytea NOT NULL,
    method smallint NOT NULL,
    at bigint NOT NULL,
    subject bigint,
    sealed bytea,
    PRIMARY KEY (tenant, lookup)
);
CREATE INDEX request_at ON request (tenant, at);
CREATE INDEX request_subject ON request (tenant, subject) WHERE subject IS NOT NULL;
CREATE TABLE change (
    tenant bigint NOT NULL,
    sequence bigint NOT NULL,
    kind smallint NOT NULL,
    payload bigint[] NOT NULL,
    mac bytea NOT NULL,
    PRIMARY KEY (tenant, sequence)
);
CREATE TABLE follower (
    tenant bigint NOT NULL,
    node bytea NOT NULL,
    key_generation bigint NOT NULL,
    generation bigint NOT NULL,
    course bigint NOT NULL,
    sealed bytea NOT NULL,
    PRIMARY KEY (tenant, node, key_generation)
);
