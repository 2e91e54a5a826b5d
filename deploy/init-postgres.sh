#!/bin/sh
# Once, when Postgres makes its data folder: a database each, because Dagster and MLflow both migrate with alembic.
set -eu
for database in dagster mlflow; do
  psql --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname postgres --command "CREATE DATABASE $database"
done
