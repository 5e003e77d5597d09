"""The greeting that begins a conversation with ExaBGP, and resyncs it; pure.

A predecessor may have left half a line in ExaBGP 4.2's buffer and commands in its queue. One write has a word that
turns any half line into an error, ``reset`` (forget this process's queue; not answered) and ``version``, whose two
lines of answer come together. What comes before them is not for us, what comes behind them is. After a surplus answer
the same greeting resyncs the conversation, and everything is sent again.

Both commands are said in words that every API of ExaBGP understands, and the answer tells which one it speaks: ExaBGP 6
has two, by its configuration.
"""

from exavrrp.speaker.dialects import NEWEST, Dialect, Version, dialect_of, version_in
from exavrrp.speaker.events import Anomaly, Event, Greeted
from exavrrp.speaker.prefixes import backoff


class Greeting:
    """Whether ExaBGP has been greeted, and with which version it has answered."""

    def __init__(self) -> None:
        self.under_way = True
        self.dialect: Dialect | None = None
        """None before the first greeting was answered"""
        self.times = 0
        """how often this one was sent, or is to be"""
        self._sent_at = 0.0
        self._again = False
        self._version: Version | None = None
        """of the first of the two lines of an answer"""
        self._asked = self._answered = self._needed = 0
        """versions, and how many answers end the greeting"""

    def begin_anew(self) -> None:
        """Resync: any answer so far may have been to another command."""
        self.under_way, self.times, self._again = True, 0, False

    def transmit(self, now: float) -> list[str]:
        """ExaBGP reads one write at once, so that ``reset`` also stops a command that our first word was glued to."""
        words = NEWEST if self.dialect is None else self.dialect
        if self.times == 0:
            self.times, self._sent_at = 1, now
            self._asked += 1
            self._needed = self._asked
            return [*([] if self.dialect else [words.THROWAWAY]), words.RESET, words.VERSION]
        if not self._again:
            return []
        self._again = False
        self._asked += 1
        return [words.VERSION]

    @property
    def deadline(self) -> float | None:
        """When ``tick`` has something to do."""
        return self._sent_at + backoff(self.times) if self.times else None

    def tick(self, now: float) -> list[Event]:
        """Time has passed."""
        if self.deadline is None or now < self.deadline:
            return []
        self.times += 1
        self._sent_at = now
        self._again = True
        return [Anomaly("ExaBGP does not answer; asking again for its version")]

    def feed(self, line: str) -> tuple[Version | None, bool]:
        """A line that is no event: the version if that answer is complete now, and whether the line was part of it.

        Its two lines come together: what follows the first is its ``done``, or answers are switched off.
        """
        complete, self._version = self._version, version_in(line)
        return complete, self._version is not None or (complete is not None and line == "done")

    def answer(self, version: Version) -> list[Event] | None:
        """The version was answered. None: that does not end the greeting.

        It was requested more than once, or before the last resync.
        """
        self._answered = min(self._answered + 1, self._asked)
        if not self.under_way or self._answered < self._needed:
            return None
        self.under_way, self._again = False, False
        if self.dialect is not None:
            return []
        self.dialect, known = dialect_of(version.text, json_api=version.json_api)
        return [Greeted(version.text, known)]
