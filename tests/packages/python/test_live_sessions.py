"""What a real AgentSession with scripted models sends in the moments that are easily told wrong.

Covers streaming_hub_client/heard.py and streaming_hub_client/user_words.py.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from livekit.agents import Agent, StopResponse, stt

from tests.packages.python.talks import pipeline, realtime, typed
from tests.stubs.models import PushedSTT, Said, Speaker

QUESTION = "Is there parking for 2 cars?"


def heard(talk: Any) -> PushedSTT:
    found = talk.session.stt
    assert isinstance(found, PushedSTT)
    return found


async def type_question(talk: Any) -> None:
    talk.session.generate_reply(user_input=QUESTION)
    await talk.said("Yes, two.")


class TestMessagesThatWereNotHeard:
    """A typed message has its transcript, whatever was heard and dropped before it."""

    def test_after_words_too_few_to_interrupt(self) -> None:
        async def talk() -> Any:
            session = await pipeline(
                "Our rooms are large.", "Yes, two.", turn_handling={"interruption": {"min_words": 3}}
            )
            speaker = session.session.output.audio
            assert isinstance(speaker, Speaker)
            speaker.may_finish.clear()
            session.session.generate_reply()
            await session.until(lambda: session.session.agent_state == "speaking")
            await heard(session).utter("mhm")
            await session.said("mhm")
            speaker.may_finish.set()
            await session.quiet()
            await type_question(session)
            await session.session.aclose()
            return session

        done = asyncio.run(talk())
        assert done.lines().count(("user", QUESTION)) == 1
        assert done.turns_of(QUESTION) == done.turns_of("Yes, two.")
        assert done.turns_of("mhm") & done.turns_of(QUESTION) == set()

    def test_after_a_stopped_response(self) -> None:
        class Silent(Agent):
            async def on_user_turn_completed(self, turn_ctx: Any, new_message: Any) -> None:
                raise StopResponse

        async def talk() -> Any:
            session = await pipeline("Yes, two.", agent=Silent(instructions="x"))
            await heard(session).utter("Hello?")
            await session.said("Hello?")
            await asyncio.sleep(0.1)
            await type_question(session)
            await session.session.aclose()
            return session

        done = asyncio.run(talk())
        assert done.lines() == [("user", "Hello?"), ("user", QUESTION), ("agent", "Yes, two.")]

    def test_after_a_cleared_turn(self) -> None:
        async def talk() -> Any:
            session = await pipeline("Yes, two.", turn_handling={"turn_detection": "manual"})
            await heard(session).utter("Forget this.")
            await session.said("Forget this.")
            session.session.clear_user_turn()
            await type_question(session)
            await session.session.aclose()
            return session

        done = asyncio.run(talk())
        assert done.lines() == [("user", "Forget this."), ("user", QUESTION), ("agent", "Yes, two.")]

    def test_words_that_the_application_passes_on_itself_are_one_line(self) -> None:
        class Own(Agent):
            async def on_user_turn_completed(self, turn_ctx: Any, new_message: Any) -> None:
                self.session.generate_reply(user_input=new_message.text_content)
                raise StopResponse

        async def talk() -> Any:
            session = await pipeline("Yes, two.", agent=Own(instructions="x"))
            await heard(session).utter(QUESTION)
            await session.said("Yes, two.")
            await session.session.aclose()
            return session

        done = asyncio.run(talk())
        assert done.lines() == [("user", QUESTION), ("agent", "Yes, two.")]
        assert len(done.turns_of(QUESTION) | done.turns_of("Yes, two.")) == 1

    def test_the_same_words_typed_twice_are_two_lines(self) -> None:
        async def talk() -> Any:
            session = await typed("First.", "Second.")
            await session.session.run(user_input="again")
            await session.session.run(user_input="again")
            await session.session.aclose()
            return session

        assert [text for role, text in asyncio.run(talk()).lines() if role == "user"] == ["again", "again"]

    def test_words_known_only_from_an_interim_become_final(self) -> None:
        async def talk() -> Any:
            session = await pipeline("Yes, two.", turn_handling={"turn_detection": "manual"})
            heard(session).push(stt.SpeechEventType.FINAL_TRANSCRIPT, "Is there")
            await session.said("Is there")
            heard(session).push(stt.SpeechEventType.INTERIM_TRANSCRIPT, "parking?")
            await session.until(lambda: session.turns_of("parking?"))
            session.session.commit_user_turn(transcript_timeout=0.05)
            await session.said("Yes, two.")
            await session.session.aclose()
            return session

        done = asyncio.run(talk())
        assert done.lines() == [("user", "Is there"), ("user", "parking?"), ("agent", "Yes, two.")]
        assert done.open_segments() == set()


class TestRealtimeWords:
    def test_words_whose_transcription_fails_stay_where_they_were_said(self) -> None:
        async def talk() -> Any:
            session, model = await realtime()
            model.now.voice(on=True)
            model.now.hear("item_1", "Please cancel my")
            model.now.voice(on=False)
            model.now.answer("Which order do you mean?")
            await session.said("Which order do you mean?")
            model.now.voice(on=True)
            model.now.voice(on=False)
            model.now.hear("item_2", "The one from Monday.", final=True)
            model.now.answer("Done.")
            await session.said("Done.")
            await session.session.aclose()
            return session

        done = asyncio.run(talk())
        assert done.lines() == [
            ("user", "Please cancel my"),
            ("agent", "Which order do you mean?"),
            ("user", "The one from Monday."),
            ("agent", "Done."),
        ]
        assert done.open_segments() == set()
        assert done.turns_of("Please cancel my") == done.turns_of("Which order do you mean?")
        assert done.turns_of("The one from Monday.") == done.turns_of("Done.")

    @pytest.mark.parametrize("voice", [True, False], ids=["speech detected", "no sign of speech"])
    def test_a_transcript_that_comes_after_the_answer_has_begun_shares_its_turn(self, voice: bool) -> None:
        async def talk() -> Any:
            session, model = await realtime()
            for number, (question, answer) in enumerate(
                [("When do you open?", "We open at nine."), ("And close?", "At six.")]
            ):
                if voice:
                    model.now.voice(on=True)
                    model.now.voice(on=False)
                hold = asyncio.Event()
                model.now.answer(Said([answer, ""], hold=hold))
                await session.until(lambda: session.session.agent_state == "speaking")
                model.now.hear(f"item_{number}", question, final=True)
                hold.set()
                await session.said(answer)
                await session.quiet()
            await session.session.aclose()
            return session

        done = asyncio.run(talk())
        first, second = done.turns_of("When do you open?"), done.turns_of("And close?")
        assert first == done.turns_of("We open at nine.")
        assert second == done.turns_of("At six.")
        assert (len(first), len(second), first & second) == (1, 1, set())

    def test_a_late_transcript_while_the_user_speaks_again_belongs_to_the_turn_before(self) -> None:
        async def talk() -> Any:
            session, model = await realtime()
            model.now.voice(on=True)
            model.now.voice(on=False)
            model.now.answer("We open at nine.")
            await session.said("We open at nine.")
            model.now.voice(on=True)
            model.now.hear("item_1", "When do you open?", final=True)
            model.now.hear("item_2", "And clo")
            model.now.voice(on=False)
            model.now.hear("item_2", "And close?", final=True)
            model.now.answer("At six.")
            await session.said("At six.")
            await session.session.aclose()
            return session

        done = asyncio.run(talk())
        assert done.turns_of("When do you open?") == done.turns_of("We open at nine.")
        assert done.turns_of("And close?") == done.turns_of("At six.")

    def test_finals_of_one_item_are_one_line(self) -> None:
        async def talk() -> Any:
            session, model = await realtime()
            model.now.voice(on=True)
            for text in ("I would", "I would like", "I would like to book."):
                model.now.hear("item_1", text, final=True)
            model.now.voice(on=False)
            model.now.answer("For when?")
            await session.said("For when?")
            model.now.hear("item_1", "I would like to book!", final=True)
            await session.said("I would like to book!")
            await session.session.aclose()
            return session

        done = asyncio.run(talk())
        assert done.lines() == [("user", "I would like to book!"), ("agent", "For when?")]
        assert len({event["turn_id"] for event in done.of_type("transcript")}) == 1

    def test_silence_does_not_blank_the_line(self) -> None:
        async def talk() -> Any:
            session, model = await realtime()
            model.now.voice(on=True)
            model.now.hear("item_1", "Good mor")
            model.now.hear("item_1", "")
            model.now.voice(on=False)
            model.now.hear("item_1", "Good morning.", final=True)
            await session.said("Good morning.")
            await session.session.aclose()
            return session

        done = asyncio.run(talk())
        assert [e["text"] for e in done.of_type("transcript")] == ["Good mor", "Good morning."]

    def test_an_empty_final_leaves_the_words_that_were_heard(self) -> None:
        async def talk() -> Any:
            session, model = await realtime()
            model.now.hear("item_1", "Please cancel my")
            model.now.hear("item_1", "", final=True)
            model.now.answer("Which order?")
            await session.said("Which order?")
            await session.session.aclose()
            return session

        done = asyncio.run(talk())
        assert done.lines() == [("user", "Please cancel my"), ("agent", "Which order?")]
        assert done.open_segments() == set()

    def test_open_words_are_final_when_the_session_ends(self) -> None:
        async def talk() -> Any:
            session, model = await realtime()
            model.now.voice(on=True)
            model.now.hear("item_1", "Good mor")
            await session.session.aclose()
            return session

        done = asyncio.run(talk())
        assert done.open_segments() == set()
        assert done.events[-1]["type"] == "session_ended"


def test_a_session_that_is_started_again_is_streamed_as_another_one() -> None:
    async def talk() -> Any:
        session = await typed("First.", "Second.")
        await session.session.run(user_input="one")
        await session.session.aclose()
        await session.session.start(Agent(instructions="x"))
        await session.session.run(user_input="two")
        await session.session.aclose()
        return session

    done = asyncio.run(talk())
    assert [(e["session_id"], e["type"]) for e in done.events if e["type"].startswith("session_")] == [
        ("S1", "session_started"),
        ("S1", "session_ended"),
        ("S1-2", "session_started"),
        ("S1-2", "session_ended"),
    ]
    assert done.lines() == [("user", "one"), ("agent", "First."), ("user", "two"), ("agent", "Second.")]
    assert {event["turn_id"].partition(".")[0] for event in done.events[-5:] if "turn_id" in event} == {
        "S1-2"
    }


def test_halves_of_a_character_in_two_deltas_are_joined() -> None:
    async def talk() -> Any:
        session, model = await realtime()
        model.now.answer(Said(["Great ", "\ud83d", "\ude00", " see \udc00you."]))
        await session.said("Great 😀 see \ufffdyou.")
        await session.session.aclose()
        return session

    texts = [event["text"] for event in asyncio.run(talk()).of_type("transcript")]
    assert texts[-1] == "Great 😀 see \ufffdyou."
    "".join(texts).encode()
