"""Scraper exports: from files to accepted rows, and into the database.

`read_rows` reads a file in bounded memory without a database; `import_file` and `import_files`
store what they read. The way of an item: `readers` → `items` → `shapes` → `schema` → `importer`.
"""

from viral_platform.services.ingestion.importer import (
    FileReport,
    ImportOptions,
    ImportReport,
    import_file,
    import_files,
)
from viral_platform.services.ingestion.pipeline import Source, read_rows
from viral_platform.storage.videos import VideoRow

__all__ = [
    "FileReport",
    "ImportOptions",
    "ImportReport",
    "Source",
    "VideoRow",
    "import_file",
    "import_files",
    "read_rows",
]
