"""deploy/init-postgres.sh on a real Postgres: two users, each with one database and nothing else."""

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from domain_embed_tests.deploy.conftest import Postgres
from domain_embed_tests.deploy.servers import POSTGRES

pytestmark = pytest.mark.skipif(POSTGRES is None, reason="needs Postgres: apt-get install postgresql")
USERS = ("dagster", "mlflow")
OTHER = {"dagster": "mlflow", "mlflow": "dagster"}
RIGHTS = "SELECT rolsuper, rolcreatedb, rolcreaterole, rolreplication, rolbypassrls FROM pg_roles WHERE rolname = :name"


def run(url: str, *statements: str, **values: str) -> list[tuple[object, ...]]:
    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT")
    try:
        with engine.connect() as connection:
            results = [connection.execute(sa.text(statement), values) for statement in statements]
            return [tuple(row) for row in results[-1]] if results[-1].returns_rows else []
    finally:
        engine.dispose()


def refused(url: str, statement: str) -> str:
    with pytest.raises(DBAPIError) as caught:
        run(url, statement)
    return str(caught.value.orig)


@pytest.mark.parametrize("again", [False, True], ids=["once", "twice"])
def test_each_user_owns_one_database_and_may_do_nothing_else(postgres: Postgres, again: bool) -> None:
    for _ in range(1 + again):
        postgres.initialize()
    for user in USERS:
        own = postgres.url(user, user)
        run(own, "CREATE TABLE mine (id serial PRIMARY KEY)", "INSERT INTO mine DEFAULT VALUES", "CREATE SCHEMA more")
        assert run(own, RIGHTS, name=user) == [(False,) * 5]
        for database in (OTHER[user], "postgres", "template1"):
            assert "permission denied for database" in refused(postgres.url(user, database), "SELECT 1")
        assert "permission denied to create database" in refused(own, "CREATE DATABASE more")
        assert "permission denied to create role" in refused(own, "CREATE ROLE more")
        assert "permission denied" in refused(own, "SELECT pg_read_file('/etc/passwd')")
        assert "COPY to or from an external program" in refused(own, "COPY mine FROM PROGRAM 'id'")
        assert "permission denied to set role" in refused(own, f"SET ROLE {OTHER[user]}")
        assert "password authentication failed" in refused(own.replace("-secret", "-guess"), "SELECT 1")
        assert "password authentication failed" in refused(postgres.url("domain_embed", user), "SELECT 1")


def test_what_an_administrator_had_made_becomes_theirs(postgres: Postgres) -> None:
    """A data folder from before there were such users: nothing is lost, and migrations go on."""
    for database in USERS:
        postgres.administer("postgres", f"CREATE DATABASE {database}")
        postgres.administer(
            database, "CREATE TYPE kind AS ENUM ('a')", "CREATE SEQUENCE alone",
            'CREATE TABLE "Runs" (id serial PRIMARY KEY, name text, kind kind)', "CREATE TABLE plain (id int)",
            "INSERT INTO \"Runs\" (name, kind) VALUES ('kept', 'a')", 'CREATE VIEW seen AS SELECT * FROM "Runs"',
        )  # fmt: skip
    postgres.initialize()
    for user in USERS:
        own = postgres.url(user, user)
        run(own, 'ALTER TABLE "Runs" ADD COLUMN more int', "ALTER TYPE kind ADD VALUE 'b'", "DROP TABLE plain")
        run(own, "INSERT INTO \"Runs\" (name, kind) VALUES ('new', 'a')", "SELECT nextval('alone')")
        assert run(own, "SELECT id, name FROM seen ORDER BY id") == [(1, "kept"), (2, "new")]


def test_passwords_are_changed_by_running_it_again(postgres: Postgres) -> None:
    postgres.initialize(dagster="it's \"old\" \\ $1 :'x'")
    assert "password authentication failed" in refused(postgres.url("dagster", "dagster"), "SELECT 1")
    postgres.initialize()
    assert run(postgres.url("dagster", "dagster"), "SELECT 1") == [(1,)]
