"""Read the SQLite files of a rosbag2 (.db3)."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterator
from contextlib import closing
from pathlib import Path

from pose_ros.media.recorded_message import RecordedMessage, is_latched
from pose_ros.media.unpack import unpack_message

_MODES = ("mode=ro", "immutable=1")
"""Ways to open a file. The second reads no write-ahead log, but works in a read-only folder."""


class SqliteFile:
    """SQLite file of a rosbag2.

    Attributes:
        types: Type of each topic.
        latched: Topics that were recorded from a publisher with transient local durability.

    Raises:
        ValueError: If the file is not a rosbag2.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with closing(self._open()) as database:
            tables = dict(database.execute("SELECT name, type FROM sqlite_master"))
            if tables.get("topics") != "table" or tables.get("messages") != "table":
                raise ValueError("a database without the tables of a rosbag2")
            rows = database.execute("SELECT id, name, type, serialization_format FROM topics").fetchall()
            has_qos = "offered_qos_profiles" in [row[1] for row in database.execute("PRAGMA table_info(topics)")]
            profiles = database.execute("SELECT name, offered_qos_profiles FROM topics").fetchall() if has_qos else []
        self._topics = {int(number): str(name) for number, name, *_ in rows}
        self.types = {str(name): kind if form == "cdr" else f"{kind} in {form}" for _, name, kind, form in rows}
        self.latched = {str(name) for name, qos in profiles if is_latched(qos)}

    def count(self, topic: str) -> int:
        """Return the number of messages of a topic."""
        with closing(self._open()) as database:
            numbers, marks = self._numbers([topic])
            query = f"SELECT COUNT(*) FROM messages WHERE topic_id IN ({marks})"
            return int(database.execute(query, numbers).fetchone()[0])

    def messages(self, topics: Collection[str], since_ns: int = 0) -> Iterator[RecordedMessage]:
        """Iterate over the messages of some topics that were received since a time, by time.

        Raises:
            ValueError: After all messages that can be read, if a part of the file cannot.
        """
        numbers, marks = self._numbers(topics)
        query = (
            f"SELECT topic_id, timestamp, data FROM messages WHERE topic_id IN ({marks}) AND timestamp >= ? "
            "ORDER BY timestamp, id"
        )
        with closing(self._open()) as database:
            for number, received_ns, data in database.execute(query, [*numbers, since_ns]):
                topic = self._topics[number]
                try:
                    content, fault = unpack_message(bytes(data)), ""
                except ValueError as error:
                    content, fault = b"", f"message: {error}"
                yield RecordedMessage(topic, self.types[topic], int(received_ns), content, fault)

    def _numbers(self, topics: Collection[str]) -> tuple[list[int], str]:
        numbers = [number for number, topic in self._topics.items() if topic in topics]
        return numbers, ",".join("?" * len(numbers))

    def _open(self) -> sqlite3.Connection:
        """Open the file for reading. Other threads may use the connection."""
        for mode in _MODES:
            database = sqlite3.connect(f"{self.path.absolute().as_uri()}?{mode}", uri=True, check_same_thread=False)
            try:
                database.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()
                return database
            except sqlite3.Error as error:
                database.close()
                reason = error
        raise ValueError(f"a database that cannot be opened: {reason}") from reason
