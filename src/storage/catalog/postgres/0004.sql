ALTER TABLE loose ADD COLUMN key_generation bigint NOT NULL DEFAULT 1;
