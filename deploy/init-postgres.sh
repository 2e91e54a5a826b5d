#!/bin/sh
# A database each for Dagster and MLflow, as both migrate with alembic, and a user each, who owns it and may do nothing
# else. Postgres's image runs this when it makes its data folder; for a folder made before there were such users, run
#
#   docker compose exec postgres sh /docker-entrypoint-initdb.d/init-postgres.sh
#
# which may be repeated: what is there stays, passwords become those of DAGSTER_DB_PASSWORD and MLFLOW_DB_PASSWORD.
set -eu
: "${DAGSTER_DB_PASSWORD:?a password for the user dagster}" "${MLFLOW_DB_PASSWORD:?a password for the user mlflow}"

sql() { psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname "$1"; }

sql postgres <<'SQL'
\getenv dagster_password DAGSTER_DB_PASSWORD
\getenv mlflow_password MLFLOW_DB_PASSWORD
SELECT format('CREATE ROLE %I', name) FROM unnest(ARRAY['dagster', 'mlflow']) AS name
  WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) \gexec
SELECT format('ALTER ROLE %I LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS', name)
  FROM unnest(ARRAY['dagster', 'mlflow']) AS name \gexec
ALTER ROLE dagster PASSWORD :'dagster_password';
ALTER ROLE mlflow PASSWORD :'mlflow_password';
SELECT format('CREATE DATABASE %I', name) FROM unnest(ARRAY['dagster', 'mlflow']) AS name
  WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = name) \gexec
SELECT format('ALTER DATABASE %I OWNER TO %I', name, name) FROM unnest(ARRAY['dagster', 'mlflow']) AS name \gexec
-- By default everybody may connect to every database; its owner still may.
SELECT format('REVOKE ALL ON DATABASE %I FROM PUBLIC', datname) FROM pg_database \gexec
SQL

# What an administrator had made in them becomes theirs; the sequence of a column follows its table.
for database in dagster mlflow; do
  sql "$database" <<'SQL'
SELECT format('ALTER SCHEMA public OWNER TO %I', current_database()) \gexec
SELECT format('ALTER TABLE %s OWNER TO %I', oid::regclass, current_database()) FROM pg_class AS one
  WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v', 'm', 'S')
  AND NOT EXISTS (SELECT FROM pg_depend WHERE objid = one.oid AND deptype IN ('a', 'i')) \gexec
SELECT format('ALTER TYPE %s OWNER TO %I', oid::regtype, current_database()) FROM pg_type
  WHERE typnamespace = 'public'::regnamespace AND typtype IN ('e', 'd') \gexec
SQL
done
