ALTER TABLE usage ADD COLUMN told bytea;
CREATE UNIQUE INDEX usage_told ON usage (tenant, told) WHERE told IS NOT NULL;
