"""What a real AgentSession with scripted models sends in the moments that are easily told wrong.

Covers streaming_hub_client/heard.py and streaming_hub_client/user_words.py.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import pytest
from livekit.agents import Agent, AgentSession, StopResponse, function_tool, stt
from livekit.agents.voice import agent_activity
from livekit.agents.voice.events import UserInputTranscribedEvent

from tests.packages.python.talks import ended, pipeline, spoken, typed
from tests.stubs.models import PushedSTT, Said, ScriptedChat, Speaker

if TYPE_CHECKING:
    from tests.packages.python.talks import Talk
    from tests.stubs.models import ScriptedRealtime

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
            return session

        done = ended(talk())
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
            return session

        done = ended(talk())
        assert done.lines() == [("user", "Hello?"), ("user", QUESTION), ("agent", "Yes, two.")]

    def test_after_a_cleared_turn(self) -> None:
        async def talk() -> Any:
            session = await pipeline("Yes, two.", turn_handling={"turn_detection": "manual"})
            await heard(session).utter("Forget this.")
            await session.said("Forget this.")
            session.session.clear_user_turn()
            await type_question(session)
            return session

        done = ended(talk())
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
            return session

        done = ended(talk())
        assert done.lines() == [("user", QUESTION), ("agent", "Yes, two.")]
        assert len(done.turns_of(QUESTION) | done.turns_of("Yes, two.")) == 1

    def test_the_same_words_typed_twice_are_two_lines(self) -> None:
        async def talk() -> Any:
            session = await typed("First.", "Second.")
            await session.session.run(user_input="again")
            await session.session.run(user_input="again")
            return session

        assert [text for role, text in ended(talk()).lines() if role == "user"] == ["again", "again"]

    def test_words_known_only_from_an_interim_become_final(self) -> None:
        async def talk() -> Any:
            session = await pipeline("Yes, two.", turn_handling={"turn_detection": "manual"})
            heard(session).push(stt.SpeechEventType.FINAL_TRANSCRIPT, "Is there")
            await session.said("Is there")
            heard(session).push(stt.SpeechEventType.INTERIM_TRANSCRIPT, "parking?")
            await session.until(lambda: session.turns_of("parking?"))
            session.session.commit_user_turn(transcript_timeout=0.05)
            await session.said("Yes, two.")
            return session

        done = ended(talk())
        assert done.lines() == [("user", "Is there"), ("user", "parking?"), ("agent", "Yes, two.")]
        assert done.open_segments() == set()


class TestSpeechesThatWait:
    """Which speech is spoken decides its turn, not which was made last."""

    def test_a_say_that_waits_is_not_the_answer_to_what_is_asked_meanwhile(self) -> None:
        async def talk() -> Any:
            session = await pipeline("We do.")
            session.session.say("Welcome.")
            session.session.say("This call is recorded.")
            last = session.session.say("How can I help?", allow_interruptions=False)
            await heard(session).utter("Do you deliver?")
            await last
            await session.said("We do.")
            await session.quiet()
            return session

        done = ended(talk())
        assert done.turns_of("Do you deliver?") == done.turns_of("We do.")
        says = done.turns_of("This call is recorded.") | done.turns_of("How can I help?")
        assert len(says) == 2
        assert says & done.turns_of("We do.") == set()

    def test_a_tool_that_speaks_leaves_the_answer_in_the_questions_turn(self) -> None:
        class Looking(Agent):
            @function_tool
            async def count(self) -> int:
                """Count."""
                await self.session.say("Let me look.")
                return 5

        async def talk() -> Any:
            session = await pipeline(Said([], [("count", "{}")]), "Five.", agent=Looking(instructions="x"))
            await heard(session).utter("How many?")
            await session.said("Five.")
            return session

        done = ended(talk())
        assert done.turns_of("How many?") == done.turns_of("Five.")
        assert done.turns_of("Let me look.") & done.turns_of("Five.") == set()

    def test_each_of_several_typed_messages_gets_its_own_answer(self) -> None:
        async def talk() -> Any:
            session = await typed("First.", "Second.", "Of my own accord.", "Third.")
            speeches = [session.session.generate_reply(user_input=f"question {n}") for n in (1, 2)]
            speeches.append(session.session.generate_reply())
            speeches.append(session.session.generate_reply(user_input="question 3"))
            for speech in speeches:
                await speech
            return session

        done = ended(talk())
        for question, answer in (("1", "First."), ("2", "Second."), ("3", "Third.")):
            assert done.turns_of(f"question {question}") == done.turns_of(answer), answer
        assert len({event["turn_id"] for event in done.of_type("transcript")}) == 4

    def test_a_tool_of_the_first_of_several_messages_is_of_its_turn(self) -> None:
        @function_tool
        async def look() -> str:
            """Look."""
            return "seen"

        async def talk() -> Any:
            session = await typed(
                Said(calls=[("look", "{}")]), "First.", "Second.", agent=Agent(instructions="x", tools=[look])
            )
            speeches = [session.session.generate_reply(user_input=f"question {n}") for n in (1, 2)]
            for speech in speeches:
                await speech
            return session

        done = ended(talk())
        answer = next(text for role, text in done.lines() if role == "agent")
        assert {event["turn_id"] for event in done.of_type("tool_call_started")} == done.turns_of(
            "question 1"
        )
        assert done.turns_of("question 1") != done.turns_of("question 2")
        assert answer in ("First.", "Second.")

    def test_livekit_still_says_whose_work_an_event_is(self) -> None:
        assert agent_activity._SpeechHandleContextVar.get(None) is None

    def test_without_a_voice_each_say_is_a_turn(self) -> None:
        async def talk() -> Any:
            session = await typed("Yes.")
            session.session.say("One.")
            await session.session.say("Two.")
            await session.session.run(user_input="Ready?")
            return session

        done = ended(talk())
        assert done.lines() == [("agent", "One."), ("agent", "Two."), ("user", "Ready?"), ("agent", "Yes.")]
        assert len(done.turns_of("One.") | done.turns_of("Two.") | done.turns_of("Ready?")) == 3
        assert done.turns_of("Ready?") == done.turns_of("Yes.")


class TestTurnsThatEndOtherwise:
    def test_what_follows_an_answer_by_the_application_is_another_turn(self) -> None:
        class Own(Agent):
            async def on_user_turn_completed(self, turn_ctx: Any, new_message: Any) -> None:
                self.session.say(f"You said {new_message.text_content}")
                raise StopResponse

        async def talk() -> Any:
            session = await pipeline(agent=Own(instructions="x"))
            for text in ("one", "two"):
                await heard(session).utter(text)
                await session.said(f"You said {text}")
                await session.quiet()
            return session

        done = ended(talk())
        assert [text for _, text in done.lines()] == ["one", "You said one", "two", "You said two"]
        assert done.turns_of("one") & done.turns_of("two") == set()

    def test_a_rewritten_message_takes_all_its_finals(self) -> None:
        class Masking(Agent):
            async def on_user_turn_completed(self, turn_ctx: Any, new_message: Any) -> None:
                new_message.content = ["****"]

        async def talk() -> Any:
            session = await pipeline("Noted.", "Thanks.", agent=Masking(instructions="x"))
            await heard(session).utter("My card", "is 4111")
            await session.said("Noted.")
            await session.quiet()
            await heard(session).utter("and 1234")
            await session.said("Thanks.")
            return session

        done = ended(talk())
        assert done.turns_of("My card") == done.turns_of("is 4111") == done.turns_of("Noted.")
        assert done.turns_of("and 1234") == done.turns_of("Thanks.")
        assert done.turns_of("Noted.") & done.turns_of("Thanks.") == set()


class TestNoise:
    @pytest.mark.parametrize("speaks", ["reply", "say"])
    def test_words_that_no_final_followed_are_a_line_of_their_own(self, speaks: str) -> None:
        async def talk() -> Any:
            session = await pipeline("Are you there?", "We do.")
            recognition = heard(session)
            recognition.push(stt.SpeechEventType.START_OF_SPEECH)
            recognition.push(stt.SpeechEventType.INTERIM_TRANSCRIPT, "hm")
            recognition.push(stt.SpeechEventType.END_OF_SPEECH)
            await session.until(lambda: session.turns_of("hm"))
            await asyncio.sleep(0.1)
            if speaks == "reply":
                await session.session.generate_reply()
            else:
                session.session.llm.answers.popleft()
                await session.session.say("Are you there?")
            await session.said("Are you there?")
            await session.quiet()
            await heard(session).utter("Do you deliver?")
            await session.said("We do.")
            return session

        done = ended(talk())
        assert done.lines() == [
            ("user", "hm"),
            ("agent", "Are you there?"),
            ("user", "Do you deliver?"),
            ("agent", "We do."),
        ]
        assert done.turns_of("Do you deliver?") == done.turns_of("We do.")
        assert len({event["turn_id"] for event in done.of_type("transcript")}) == 3
        assert done.open_segments() == set()


def test_an_answer_that_the_application_cuts_off_by_closing_is_no_interruption() -> None:
    async def talk() -> Any:
        session = await pipeline("We open at nine.")
        speaker = session.session.output.audio
        assert isinstance(speaker, Speaker)
        speaker.may_finish.clear()
        session.session.generate_reply()
        await session.until(lambda: session.session.agent_state == "speaking")
        return session

    done = ended(talk())
    (finished,) = done.of_type("agent_speech_finished")
    assert finished["interrupted"] is True
    assert done.of_type("interruption") == []


def test_livekit_still_says_that_it_closes_a_session() -> None:
    async def closing() -> bool:
        return AgentSession(llm=ScriptedChat())._closing

    assert asyncio.run(closing()) is False


class TestRealtimeWords:
    def test_a_question_around_a_typed_one_gets_its_own_answer(self) -> None:
        async def say(session: Talk, model: ScriptedRealtime) -> None:
            model.answers.append("Typed answer.")
            model.now.voice(on=True)
            model.now.hear("item_1", "Hel")
            session.session.generate_reply(user_input="Typed?")
            await session.said("Typed answer.")
            model.now.hear("item_1", "Hello?", final=True)
            model.now.voice(on=False)
            model.now.answer("Spoken answer.")
            await session.said("Spoken answer.")

        done = spoken(say)
        assert done.turns_of("Typed?") == done.turns_of("Typed answer.")
        assert done.turns_of("Hello?") == done.turns_of("Spoken answer.")

    @pytest.mark.parametrize("voice", [True, False], ids=["speech detected", "no sign of speech"])
    def test_a_transcript_that_arrives_after_the_answer_has_begun_shares_its_turn(self, voice: bool) -> None:
        async def say(session: Talk, model: ScriptedRealtime) -> None:
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

        done = spoken(say)
        first, second = done.turns_of("When do you open?"), done.turns_of("And close?")
        assert first == done.turns_of("We open at nine.")
        assert second == done.turns_of("At six.")
        assert (len(first), len(second), first & second) == (1, 1, set())

    def test_a_late_transcript_while_the_user_speaks_again_belongs_to_the_turn_before(self) -> None:
        async def say(session: Talk, model: ScriptedRealtime) -> None:
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

        done = spoken(say)
        assert done.turns_of("When do you open?") == done.turns_of("We open at nine.")
        assert done.turns_of("And close?") == done.turns_of("At six.")

    @pytest.mark.parametrize(("timed", "others"), [(True, "before"), (True, "after"), (False, "before")])
    def test_a_transcript_that_arrives_two_turns_late_belongs_to_its_question(
        self, timed: bool, others: str
    ) -> None:
        async def say(session: Talk, model: ScriptedRealtime) -> None:
            dates: dict[str, float | None] = {}

            def hear(name: str) -> None:
                model.now.hear(name, f"Question {name}?", final=True, started_at=dates[name])

            for name in ("1", "2", "3"):
                dates[name] = time.time() if timed else None
                model.now.voice(on=True)
                model.now.voice(on=False)
                if others == "before" and name != "1":
                    hear(name)
                model.now.answer(f"Answer {name}.")
                await session.said(f"Answer {name}.")
                await session.quiet()
                await asyncio.sleep(0.1 if timed else 0)
            hear("1")
            if others == "after":
                hear("3")
                hear("2")
            dates["4"] = time.time() if timed else None
            model.now.voice(on=True)
            model.now.voice(on=False)
            hear("4")
            model.now.answer("Answer 4.")
            await session.said("Answer 4.")

        done = spoken(say)
        for name in ("1", "2", "3", "4"):
            assert done.turns_of(f"Question {name}?") == done.turns_of(f"Answer {name}."), name
            assert len(done.turns_of(f"Answer {name}.")) == 1
        assert len({event["turn_id"] for event in done.of_type("transcript")}) == 4

    @pytest.mark.parametrize(
        "heard", ["123", "321", "231", "3", "1", "21"], ids=lambda heard: f"transcribed_{heard}"
    )
    def test_undated_transcripts_of_several_turns_go_by_the_order_of_the_models_items(
        self, heard: str
    ) -> None:
        async def say(session: Talk, model: ScriptedRealtime) -> None:
            for name in "123":
                model.now.voice(on=True)
                model.now.voice(on=False)
                model.now.commit(f"item_{name}")
                model.now.answer(f"Answer {name}.")
                await session.said(f"Answer {name}.")
                await session.quiet()
            for name in heard:
                model.now.hear(f"item_{name}", f"Question {name}?", final=True)
            model.now.voice(on=True)
            model.now.voice(on=False)
            model.now.commit("item_4")
            model.now.hear("item_4", "Question 4?", final=True)
            model.now.answer("Answer 4.")
            await session.said("Answer 4.")

        done = spoken(say)
        for name in f"{heard}4":
            assert done.turns_of(f"Question {name}?") == done.turns_of(f"Answer {name}."), name
        assert len({event["turn_id"] for event in done.of_type("transcript")}) == 4

    def test_undated_transcripts_while_the_next_answer_is_spoken_go_by_the_order_of_the_models_items(
        self,
    ) -> None:
        async def say(session: Talk, model: ScriptedRealtime) -> None:
            hold = asyncio.Event()
            for name in "12":
                model.now.voice(on=True)
                model.now.voice(on=False)
                model.now.commit(f"item_{name}")
                model.now.answer(Said([f"Answer {name}", "."], hold=hold if name == "2" else None))
                await session.until(lambda name=name: session.turns_of(f"Answer {name}"))
                if name == "1":
                    await session.said("Answer 1.")
                    await session.quiet()
            model.now.hear("item_1", "Quest")
            model.now.hear("item_2", "Question 2?", final=True)
            model.now.hear("item_1", "Question 1?", final=True)
            hold.set()
            await session.said("Answer 2.")

        done = spoken(say)
        for name in "12":
            assert done.turns_of(f"Question {name}?") == done.turns_of(f"Answer {name}."), name

    def test_late_words_do_not_end_what_the_user_is_saying(self) -> None:
        async def say(session: Talk, model: ScriptedRealtime) -> None:
            asked = time.time()
            model.now.voice(on=True)
            model.now.voice(on=False)
            model.now.answer("At nine.")
            await session.said("At nine.")
            await session.quiet()
            model.now.voice(on=True)
            model.now.hear("item_2", "And clo")
            model.now.hear("item_1", "When do you open?", final=True, started_at=asked)
            model.now.hear("item_2", "And close")
            model.now.voice(on=False)
            model.now.hear("item_2", "And close?", final=True)
            model.now.answer("At six.")
            await session.said("At six.")

        done = spoken(say)
        told = [(e["text"], e["is_final"]) for e in done.of_type("transcript") if e["role"] == "user"]
        assert told == [
            ("And clo", False),
            ("When do you open?", True),
            ("And close", False),
            ("And close?", True),
        ]
        assert done.turns_of("When do you open?") == done.turns_of("At nine.")
        assert done.turns_of("And close?") == done.turns_of("At six.")

    def test_a_failed_transcription_leaves_the_next_words_to_their_own_turn(self) -> None:
        async def say(session: Talk, model: ScriptedRealtime) -> None:
            model.now.voice(on=True)
            model.now.voice(on=False)
            model.now.answer("Pardon?")
            await session.said("Pardon?")
            await session.quiet()
            model.now.voice(on=True)
            model.now.hear("item_1", "", final=True)
            model.now.hear("item_2", "When do you open?", final=True)
            model.now.voice(on=False)
            model.now.answer("At nine.")
            await session.said("At nine.")

        done = spoken(say)
        assert done.turns_of("When do you open?") == done.turns_of("At nine.")
        assert len({event["turn_id"] for event in done.of_type("transcript")}) == 2

    def test_a_final_without_its_message_is_sent_all_the_same(self) -> None:
        async def say(session: Talk, _model: ScriptedRealtime) -> None:
            event = UserInputTranscribedEvent(transcript="Hello?", is_final=True, item_id="item_1")
            session.session.emit("user_input_transcribed", event)
            await session.said("Hello?")

        assert spoken(say).lines() == [("user", "Hello?")]

    def test_finals_of_one_item_are_one_line(self) -> None:
        async def say(session: Talk, model: ScriptedRealtime) -> None:
            model.now.voice(on=True)
            for text in ("I would", "I would like", "I would like to book."):
                model.now.hear("item_1", text, final=True)
            model.now.voice(on=False)
            model.now.answer("For when?")
            await session.said("For when?")
            model.now.hear("item_1", "I would like to book!", final=True)
            await session.said("I would like to book!")

        done = spoken(say)
        assert done.lines() == [("user", "I would like to book!"), ("agent", "For when?")]
        assert len({event["turn_id"] for event in done.of_type("transcript")}) == 1

    def test_silence_does_not_blank_the_line(self) -> None:
        async def say(session: Talk, model: ScriptedRealtime) -> None:
            model.now.voice(on=True)
            model.now.hear("item_1", "Good mor")
            model.now.hear("item_1", "")
            model.now.voice(on=False)
            model.now.hear("item_1", "Good morning.", final=True)
            await session.said("Good morning.")

        done = spoken(say)
        assert [e["text"] for e in done.of_type("transcript")] == ["Good mor", "Good morning."]

    def test_an_empty_final_leaves_the_words_that_were_heard(self) -> None:
        async def say(session: Talk, model: ScriptedRealtime) -> None:
            model.now.hear("item_1", "Please cancel my")
            model.now.hear("item_1", "", final=True)
            model.now.answer("Which order?")
            await session.said("Which order?")

        done = spoken(say)
        assert done.lines() == [("user", "Please cancel my"), ("agent", "Which order?")]
        assert done.open_segments() == set()

    def test_open_words_are_final_when_the_session_ends(self) -> None:
        async def say(session: Talk, model: ScriptedRealtime) -> None:
            model.now.voice(on=True)
            model.now.hear("item_1", "Good mor")

        done = spoken(say)
        assert done.open_segments() == set()
        assert done.events[-1]["type"] == "session_ended"


def test_a_session_that_is_started_again_is_streamed_as_another_one() -> None:
    async def talk() -> Any:
        session = await typed("First.", "Second.")
        await session.session.run(user_input="one")
        await session.session.aclose()
        await session.session.start(Agent(instructions="x"))
        await session.session.run(user_input="two")
        return session

    done = ended(talk())
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
    async def say(session: Talk, model: ScriptedRealtime) -> None:
        model.now.answer(Said(["Great ", "\ud83d", "\ude00", " see \udc00you."]))
        await session.said("Great 😀 see \ufffdyou.")

    texts = [event["text"] for event in spoken(say).of_type("transcript")]
    assert texts[-1] == "Great 😀 see \ufffdyou."
    "".join(texts).encode()
