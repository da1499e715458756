"""Topics of Kafka: kafka://BROKER/TOPIC, with settings of librdkafka's behind a question mark, or in a file
(`config=FILE`, name=value in each line, for passwords). The group's offset is committed once the answers of
its events are safe; answers count as safe once every replica in sync has them. Read and written by
confluent-kafka, which comes with `pip install "mapsto[kafka]"`."""

from __future__ import annotations

import sys
import urllib.parse
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from mapsto.errors import ConfigError, RunError, printable
from mapsto.serve.streams.base import Event, Opening, Place, Reader, Writer, refuse

REACHED = 15.0  # seconds within which a broker must answer
ACKNOWLEDGED = 60.0  # and have what was sent to it
OURS = {"enable.auto.commit", "enable.auto.offset.store", "bootstrap.servers", "acks"}


class Kafka(Place):
    noun: ClassVar[str] = "a topic (kafka://BROKER/TOPIC)"

    @classmethod
    def is_meant(cls, word: str) -> bool:
        return word.startswith("kafka://")

    @classmethod
    def reader(cls, word: str, opening: Opening) -> Reader:
        refuse(word, opening, "its group's offset is kept by the broker, and it is followed anyway")
        topic, settings = _parts(word)
        return TopicReader(topic, {"group.id": opening.group, **settings})

    @classmethod
    def writer(cls, word: str) -> Writer:
        return TopicWriter(*_parts(word))


def _library() -> Any:
    try:
        import confluent_kafka  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise RunError(
            'topics need the library confluent-kafka, which is not installed: pip install "mapsto[kafka]"'
        ) from None
    return confluent_kafka


def _parts(word: str) -> tuple[str, dict[str, str]]:
    """(topic, settings)."""
    url = urllib.parse.urlsplit(word)
    topic, asked = url.path.strip("/"), dict(urllib.parse.parse_qsl(url.query))
    if not url.netloc or not topic or "/" in topic:
        raise ConfigError(
            f"{word}: expected a broker and a topic.\nWrite it as in: kafka://localhost:9092/shop"
        )
    if name := asked.pop("config", ""):
        asked = {**_file(Path(name)), **asked}
    if taken := OURS & {*asked}:
        raise ConfigError(f"{word}: '{min(taken)}' is set by mapsto.\nLeave it out.")
    return topic, {"bootstrap.servers": url.netloc, **asked}


def _file(path: Path) -> dict[str, str]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as problem:
        raise ConfigError(
            f"{path}: cannot be read ({problem}).\nName a file with name=value lines."
        ) from None
    pairs = [line.partition("=") for line in lines if line.strip() and not line.lstrip().startswith("#")]
    return {name.strip(): value.strip() for name, _, value in pairs}


def _made(kind: Any, settings: dict[str, Any]) -> Any:
    """A consumer or producer. ConfigError: a setting is none."""
    kafka, before = _library(), set()

    def heard(problem: Any) -> None:  # it is tried again, many times a second
        if problem.str() not in before:
            before.add(problem.str())
            _say(problem)

    try:
        return kind({"log_level": 2, **settings, "error_cb": heard})
    except kafka.KafkaException as problem:
        raise ConfigError(f"kafka: {problem.args[0].str()}.\nMend the setting.") from None


def _say(problem: Any) -> None:
    """What is no end."""
    print(f"mapsto: kafka: {printable(problem.str())}", file=sys.stderr, flush=True)


def _reach(client: Any, topic: str, broker: str) -> None:
    """RunError: there is no broker, or no such topic."""
    kafka = _library()
    try:
        found = client.list_topics(topic, timeout=REACHED).topics[topic].error
    except kafka.KafkaException as problem:
        raise RunError(
            f"kafka://{broker}: cannot be reached ({problem.args[0].str()}).\nStart it, or name another."
        ) from None
    if found is not None and found.code() != kafka.KafkaError.LEADER_NOT_AVAILABLE:  # it is being made
        raise RunError(f"kafka://{broker}/{topic}: {found.str()}.\nMake the topic, or name another.")


class TopicReader(Reader):
    headed: bool = False

    def __init__(self, topic: str, settings: dict[str, Any]):
        kafka = _library()
        given = {"auto.offset.reset": "earliest", **settings}
        ours = {"enable.auto.commit": False, "enable.auto.offset.store": False}
        self.topic, self._client = topic, _made(kafka.Consumer, {**given, **ours})
        _reach(self._client, topic, settings["bootstrap.servers"])
        self._client.subscribe([topic])

    def poll(self, most: int, wait: float) -> list[Event]:
        first = self._client.poll(wait)
        if first is None:
            return []
        rest = self._client.consume(most - 1, 0.0) if most > 1 else []
        return [self._event(message) for message in (first, *rest)]

    def _event(self, message: Any) -> Event:
        if problem := message.error():
            raise RunError(f"kafka: {self.topic}: {problem.str()}.\nStart again once the broker is well.")
        key, text = f"{message.partition()}/{message.offset()}", message.value()
        why = "" if text is not None else "expected a JSON object, found a message without a value"
        return Event(key, text or b"", message.offset() + 1, message.partition(), problem=why)

    def commit(self, events: Sequence[Event]) -> None:
        kafka = _library()
        last = {event.part: event.offset for event in events}
        offsets = [kafka.TopicPartition(self.topic, part, offset) for part, offset in last.items()]
        moved = {
            kafka.KafkaError.REBALANCE_IN_PROGRESS,
            kafka.KafkaError.ILLEGAL_GENERATION,
            kafka.KafkaError.UNKNOWN_MEMBER_ID,
            kafka.KafkaError._STATE,
        }
        try:
            self._client.commit(offsets=offsets, asynchronous=False)
        except kafka.KafkaException as problem:
            if problem.args[0].code() not in moved:
                raise RunError(
                    f"kafka: {self.topic}: offsets cannot be committed ({problem.args[0].str()}).\nStart"
                    " again: the last answers will be repeated, with the same keys."
                ) from None
            _say(problem.args[0])  # another member of the group answers them again

    def close(self) -> None:
        self._client.close()


class TopicWriter(Writer):
    def __init__(self, topic: str, settings: dict[str, Any]):
        kafka = _library()
        self.topic = topic
        self._client = _made(kafka.Producer, {"enable.idempotence": True, **settings, "acks": "all"})
        _reach(self._client, topic, settings["bootstrap.servers"])

    def write(self, answers: Sequence[tuple[str, str]]) -> None:
        lost: list[str] = []

        def heard(problem: Any, message: Any) -> None:
            if problem is not None:
                lost.append(problem.str())

        for key, answer in answers:
            self._send(key.encode("utf-8", "backslashreplace"), answer.encode(), heard)
        left = self._client.flush(ACKNOWLEDGED)
        if left or lost:
            why = lost[0] if lost else f"no word of it within {ACKNOWLEDGED:g} s"
            raise RunError(
                f"kafka: {self.topic}: {len(lost) or left:,} answers were not taken ({why}).\nStart again:"
                " they are not committed."
            )

    def _send(self, key: bytes, value: bytes, heard: Any) -> None:
        """RunError: the broker takes none of that size."""
        kafka = _library()
        while True:
            try:
                self._client.produce(self.topic, value, key, on_delivery=heard)
                return
            except BufferError:  # its queue is full
                self._client.poll(1.0)
            except kafka.KafkaException as problem:
                raise RunError(
                    f"kafka: {self.topic}: an answer was not taken ({problem.args[0].str()}).\nStart again:"
                    " it is not committed."
                ) from None

    def close(self) -> None:
        self._client.flush(ACKNOWLEDGED)
