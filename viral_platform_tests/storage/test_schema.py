from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import inspect

from viral_platform.storage import schema, tables
from viral_platform.storage.database import Database


def test_the_migrations_build_exactly_the_tables_that_are_written_down(database: Database) -> None:
    with database.engine.connect() as connection:
        context = MigrationContext.configure(
            connection,
            opts={
                "version_table_schema": tables.SCHEMA,
                "include_schemas": True,
                "include_name": lambda name, type_, _: type_ != "schema" or name == tables.SCHEMA,
            },
        )
        assert compare_metadata(context, tables.metadata) == []


def test_migrating_twice_changes_nothing(database: Database) -> None:
    assert schema.migrate(database) == schema.head_revision()
    assert schema.migrate(database) == schema.head_revision()


def test_down_to_base_leaves_no_table_and_up_brings_them_all_back(database: Database) -> None:
    schema.downgrade(database, "base")
    left = inspect(database.engine).get_table_names(schema=tables.SCHEMA)
    assert left == ["alembic_version"]
    assert schema.current_revision(database) is None

    schema.migrate(database)
    names = set(inspect(database.engine).get_table_names(schema=tables.SCHEMA))
    assert names == {table.name for table in tables.metadata.sorted_tables} | {"alembic_version"}


def test_the_posts_of_predictions_by_url_are_known_after_the_migration(database: Database) -> None:
    schema.downgrade(database, "0007")
    addresses = [
        "https://www.tiktok.com/@cook/video/7301234567890123456?lang=en",
        "https://m.tiktok.com/v/7301234567890123457.html",
        "https://vm.tiktok.com/ZMabcdefg/",
        "https://www.tiktok.com/@cook/video/9999999999999999999",
    ]
    with database.connect() as connection:
        for address in addresses:
            connection.execute(
                """
                insert into app.analysis_results (
                    id, created_at, input_mode, content_text, confidence, is_calibrated, horizon,
                    engine_version, is_degraded, is_simulated, latency_ms, cost_cents, request,
                    answer
                )
                values (
                    gen_random_uuid(), now(), 'tiktok_url', '', 0, false, 'settled', '3', false,
                    false, 1, 0, jsonb_build_object('tiktok_url', %s::text), '{}'
                )
                """,
                [address],
            )
    schema.migrate(database)
    with database.connect() as connection:
        rows = connection.execute(
            "select platform_video_id, extract(epoch from posted_at)::bigint "
            "from app.predicted_posts order by 1"
        ).fetchall()
    ids = ["7301234567890123456", "7301234567890123457"]
    assert rows == [(one, int(one) >> 32) for one in ids]


def test_ticks_that_were_started_before_scrapes_had_a_purpose_stay_started(
    database: Database,
) -> None:
    schema.downgrade(database, "0006")
    with database.connect() as connection:
        connection.execute(
            """
            insert into app.scrape_starts (tick, state, requested_at, actor_run_id)
            values ('2026-11-20 13:00+01', 'started', now(), 'run1')
            """
        )
    schema.migrate(database)
    kept = "select purpose, key, input, state, actor_run_id from app.scrape_starts"
    with database.connect() as connection:
        rows = connection.execute(kept).fetchall()
    assert rows == [("trending", "2026-11-20T12:00:00+00:00", {}, "started", "run1")]

    schema.downgrade(database, "0006")
    with database.connect() as connection:
        rows = connection.execute("select tick = '2026-11-20 12:00+00' from app.scrape_starts")
        assert rows.fetchall() == [(True,)]
