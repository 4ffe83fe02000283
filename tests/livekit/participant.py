"""A person in a room: speaks in espeak-ng's voice, listens, and reads the room's own transcription."""

from __future__ import annotations

import asyncio
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self, TypeVar

import numpy as np
from livekit import rtc

from tests.kit.wait import until
from tests.livekit.waiting import Growing
from tests.stubs.speech import RATE, say

if TYPE_CHECKING:
    from collections.abc import Coroutine

Result = TypeVar("Result")

FRAME_SECONDS = 0.01
_FRAME = RATE // 100  # samples of a frame
_LOUD = 300
_BUFFER_MS = 400  # a thread that a busy machine holds up for less leaves no gap in what is said


@dataclass
class Words:
    """A text of the room's own transcription (`lk.transcription`).

    Attributes:
        identity: Who speaks.
        segment: LiveKit's segment id.
        text: The words so far.
        final: Whether the speaker has finished; told by the attributes, for the agent by the trailer.
        times: When each piece of the text arrived, seconds since 1970.
    """

    identity: str
    segment: str
    text: str = ""
    final: bool = False
    times: list[float] = field(default_factory=list)


@dataclass
class Heard:
    """A stretch of sound from the agent: when it began and was last loud, seconds since 1970."""

    began: float
    ended: float


class Participant:
    """A client of livekit-server; a context manager. All methods may be called from the test's thread.

    Args:
        address: livekit-server's address.
        token: A token that may join and publish.
        identity: The name in the token.
        speaks: Whether there is a microphone; without one the token need not allow to publish.

    Attributes:
        words: The room's own transcription.
        heard: Stretches of the agent's voice, half a second of silence apart.
        pcm: All that was heard, 16-bit mono at `RATE`.
        recorded: (arrival, PCM) of each frame of `FRAME_SECONDS` of each other voice, by identity.
        agent_states: (time, `lk.agent.state`) as the room reports it.
    """

    def __init__(self, address: str, token: str, identity: str, *, speaks: bool = True) -> None:
        self.identity = identity
        self.recorded: dict[str, list[tuple[float, bytes]]] = {}
        self._speaks = speaks
        self.words: Growing[Words] = Growing("the room's transcription")
        self.heard: Growing[Heard] = Growing("the agent's voice")
        self.agent_states: Growing[tuple[float, str]] = Growing("the agent's states")
        self.pcm = bytearray()
        self._address, self._token = address, token
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="participant", daemon=True)
        self._tasks: set[asyncio.Task[None]] = set()
        self._speech: asyncio.Queue[tuple[bytes, threading.Event]] = asyncio.Queue()
        self._room: rtc.Room | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        try:
            self._do(self._join(), 20)
        except BaseException:
            self._loop.call_soon_threadsafe(self._loop.stop)
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.leave()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def _do(self, work: Coroutine[Any, Any, Result], seconds: float) -> Result:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(seconds)

    def say(self, text: str) -> float:
        """Speak a text and return when its last sound has gone out, seconds since 1970."""
        return self.play(say(text), text)

    def play(self, pcm: bytes, what: str = "sound") -> float:
        """Play 16-bit mono PCM at `RATE` into the room and return when it has been played."""
        spoken = threading.Event()
        self._loop.call_soon_threadsafe(self._speech.put_nowait, (pcm, spoken))
        seconds = len(pcm) / 2 / RATE + 10
        if not spoken.wait(seconds):
            raise AssertionError(f"{what!r} was not spoken within {seconds:.0f} s: is the room still open?")
        return time.time()

    def wait_for_agent(self, seconds: float = 20) -> str:
        """Return the agent's identity as soon as its audio is in the room."""
        until(lambda: self._agent() is not None, seconds=seconds, what="the agent is in the room")
        agent = self._agent()
        return agent.identity if agent is not None else ""

    def _agent(self) -> rtc.RemoteParticipant | None:
        people = list(self._room.remote_participants.values()) if self._room is not None else []
        return next((one for one in people if one.kind == rtc.ParticipantKind.PARTICIPANT_KIND_AGENT), None)

    def wait_until_connected(self, seconds: float = 20) -> None:
        """Return when the room is connected and the agent is seen in it, after an outage of the server."""

        def connected() -> bool:
            state = self._room.connection_state if self._room is not None else None
            return state == rtc.ConnectionState.CONN_CONNECTED and self._agent() is not None

        until(connected, seconds=seconds, what=f"{self.identity} is connected again")

    def leave(self) -> None:
        """Leave the room as a person does who presses the button; nothing where already left."""
        if self._room is not None:
            room, self._room = self._room, None
            self._do(self._disconnect(room), 20)

    async def _disconnect(self, room: rtc.Room) -> None:
        await room.disconnect()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _join(self) -> None:
        room = rtc.Room(loop=self._loop)
        room.on(
            "track_subscribed",
            lambda track, _publication, owner: self._spawn(self._listen(track, owner.identity)),
        )
        room.on("participant_attributes_changed", self._attributes)
        room.register_text_stream_handler(
            "lk.transcription", lambda reader, identity: self._spawn(self._read(reader, identity))
        )
        await room.connect(self._address, self._token)
        self._room = room
        if not self._speaks:
            return
        source = rtc.AudioSource(RATE, 1, queue_size_ms=_BUFFER_MS)
        track = rtc.LocalAudioTrack.create_audio_track("microphone", source)
        microphone = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE)
        await room.local_participant.publish_track(track, microphone)
        self._spawn(self._microphone(source))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _microphone(self, source: rtc.AudioSource) -> None:
        """Feed the track without a gap: silence between the texts, as from an open microphone."""
        while True:
            if self._speech.empty():
                await source.capture_frame(_frame(bytes(_FRAME * 2)))
                continue
            pcm, spoken = self._speech.get_nowait()
            for start in range(0, len(pcm), _FRAME * 2):
                await source.capture_frame(_frame(pcm[start : start + _FRAME * 2]))
            await source.wait_for_playout()
            spoken.set()

    async def _listen(self, track: rtc.Track, owner: str) -> None:
        if track.kind != rtc.TrackKind.KIND_AUDIO:
            return
        stretch: Heard | None = None
        recorded = self.recorded.setdefault(owner, [])
        async for event in rtc.AudioStream(track, sample_rate=RATE, num_channels=1, frame_size_ms=10):
            samples = np.frombuffer(event.frame.data, np.int16)
            recorded.append((time.time(), samples.tobytes()))
            self.pcm += samples.tobytes()
            if not samples.size or int(np.abs(samples).max()) < _LOUD:
                continue
            now = time.time()
            if stretch is None or now - stretch.ended > 0.5:
                stretch = Heard(now, now)
                self.heard.add(stretch)
            stretch.ended = now
            self.heard.touch()

    def _attributes(self, changed: dict[str, str], _participant: rtc.Participant) -> None:
        if "lk.agent.state" in changed:
            self.agent_states.add((time.time(), changed["lk.agent.state"]))

    async def _read(self, reader: rtc.TextStreamReader, identity: str) -> None:
        attributes = reader.info.attributes or {}
        words = Words(identity, attributes.get("lk.segment_id", ""))
        self.words.add(words)
        try:
            async for piece in reader:
                words.text += piece
                words.times.append(time.time())
                self.words.touch()
        except rtc.StreamError:
            return  # cut by the room's end: `final` stays false, which is what a reader sees
        words.final = (reader.info.attributes or {}).get("lk.transcription_final") == "true"
        self.words.touch()


def _frame(pcm: bytes) -> rtc.AudioFrame:
    padded = pcm.ljust(_FRAME * 2, b"\0")
    return rtc.AudioFrame(padded, RATE, 1, _FRAME)
