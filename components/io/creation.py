"""Create the SQLite file of a registry: whole or not at all, and never in place of another."""

import os
import shutil
import tempfile
import uuid
from pathlib import Path
from typing import Any

from sqlalchemy import URL

from components.errors import UserError
from components.io.relocation import artifact_root


def create(database: Path) -> None:
    """Create the database, if there is none.

    MLflow cannot open a database again after it was killed while creating the tables, so they are
    created elsewhere. Of two processes that do so at once, the first one's database stays.
    """
    if database.exists():
        return
    with tempfile.TemporaryDirectory() as scratch:
        made = Path(scratch) / "mlflow.db"
        uri = URL.create("sqlite", database=str(made)).render_as_string()
        store(uri, database).engine.dispose()
        _publish(made, database)


def store(uri: str, database: Path) -> Any:
    """Open MLflow's store at ``uri``; artifacts of new experiments go beside ``database``.

    A client of MLflow's would put them into the working directory.
    """
    # absent from mlflow-skinny, which the images without training have
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    return SqlAlchemyStore(uri, artifact_root(database))  # type: ignore[no-untyped-call]


def _publish(made: Path, database: Path) -> None:
    partial = database.with_name(f".{database.name}.{uuid.uuid4().hex}.partial")
    try:
        with made.open("rb") as source, partial.open("xb") as target:
            shutil.copyfileobj(source, target)
            target.flush()
            os.fsync(target.fileno())
        database.hardlink_to(partial)  # unlike a rename, it never replaces a file
    except FileExistsError:
        pass
    except OSError as error:
        raise UserError(f"{database}: {error.strerror}") from error
    finally:
        partial.unlink(missing_ok=True)
