CREATE TABLE compatible (
    id bigint PRIMARY KEY,
    since bigint NOT NULL,
    CHECK (id = 1)
);
INSERT INTO compatible (id, since) VALUES (1, 5);
