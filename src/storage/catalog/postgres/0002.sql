CREATE TABLE loose (
    tenant bigint NOT NULL,
    ulid bytea NOT NULL,
    node bytea,
    generation bigint,
    PRIMARY KEY (tenant, ulid),
    FOREIGN KEY (tenant) REFERENCES tenant (tenant) ON DELETE CASCADE,
    CHECK ((node IS NULL) = (generation IS NULL))
);
