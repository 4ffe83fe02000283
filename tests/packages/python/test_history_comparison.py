"""The hub's transcript against LiveKit's own account: `session.history` and the session report.

One conversation of every kind, held by the real AgentSession. Each test compares line by line: the same
messages, the same order, the same words. Where the two may differ, the test says in `Allowed` why.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from livekit.agents import Agent, JobContext, StopResponse, function_tool, stt

from tests.packages.python.talks import ended, pipeline, spoken, typed
from tests.packages.python.test_live_sessions import heard
from tests.stubs.models import Said, Speaker

if TYPE_CHECKING:
    from livekit.agents import AgentSession

    from tests.packages.python.talks import Talk
    from tests.stubs.models import ScriptedRealtime

Line = tuple[str, str]


@dataclass
class Allowed:
    """The differences that a conversation may have, each named by its reason.

    Attributes:
        heard_only: Words that LiveKit dropped or keeps out of its history: in the transcript alone.
        joined: Messages that join the finals of one turn: history text -> the lines.
        rewritten: Messages that the application changed before LiveKit committed them: history text -> the line.
        late: Questions that a realtime model transcribed after it had begun to answer: LiveKit puts them
            before the answer, the transcript where they arrived, in the answer's turn.
        replaced: Earlier finals of a realtime item: LiveKit's history has all of them under one id.
    """

    heard_only: list[Line] = field(default_factory=list)
    joined: dict[str, list[str]] = field(default_factory=dict)
    rewritten: dict[str, str] = field(default_factory=dict)
    late: list[Line] = field(default_factory=list)
    replaced: list[Line] = field(default_factory=list)


def report_lines(session: AgentSession[Any]) -> list[Line]:
    """Return the messages of LiveKit's session report."""
    job: Any = SimpleNamespace(
        job=SimpleNamespace(id="j", room=SimpleNamespace(sid="s", name="r1"), agent_name="a"),
        _tagger=SimpleNamespace(tags=[]),
        _primary_agent_session=session,
    )
    report = JobContext.make_session_report(job, session).to_dict()
    roles = {"user": "user", "assistant": "agent"}
    return [
        (roles[item["role"]], "\n".join(item["content"]))
        for item in report["chat_history"]["items"]
        if item["type"] == "message" and item["role"] in roles
    ]


def compare(talk: Talk, allowed: Allowed | None = None) -> list[Line]:
    """Assert that transcript and history say the same but for what is allowed; return the transcript."""
    allowed = allowed or Allowed()
    history = report_lines(talk.session)
    assert history == talk.history(), "the report and the history are one account"
    expected: list[Line] = []
    for role, text in history:
        if (role, text) in allowed.replaced:
            allowed.replaced.remove((role, text))
        elif role == "user" and text in allowed.joined:
            expected += [("user", part) for part in allowed.joined.pop(text)]
        elif role == "user" and text in allowed.rewritten:
            expected.append(("user", allowed.rewritten.pop(text)))
        else:
            expected.append((role, text))
    shown = talk.lines()
    found = list(shown)
    for line in allowed.heard_only:
        found.remove(line)  # raises if it is not there: an allowance that is not needed is a mistake
    for line in allowed.late:
        place, wanted = found.index(line), expected.index(line)
        assert place > wanted, "a late question stands after the answer's beginning"
        assert talk.turns_of(line[1]) == talk.turns_of(expected[wanted + 1][1]), "and is of its turn"
        found.insert(wanted, found.pop(place))
    assert found == expected
    assert (allowed.replaced, allowed.joined, allowed.rewritten) == ([], {}, {}), "not needed"
    assert talk.open_segments() == set()
    return shown


def interrupted(talk: Talk) -> list[tuple[str, bool]]:
    return [
        (item.text_content or "", item.interrupted)
        for item in talk.session.history.items
        if item.type == "message" and item.role == "assistant"
    ]


class TestPipeline:
    def test_questions_and_answers(self) -> None:
        async def talk() -> Talk:
            talk = await pipeline("We open at nine.", "At six.", "Goodbye!")
            for question, answer in [
                ("When do you open?", "We open at nine."),
                ("And when do you close?", "At six."),
                ("Thank you.", "Goodbye!"),
            ]:
                await heard(talk).utter(question)
                await talk.said(answer)
                await talk.quiet()
            return talk

        assert len(compare(ended(talk()))) == 6

    def test_several_finals_of_one_turn(self) -> None:
        async def talk() -> Talk:
            talk = await pipeline("Sure.")
            await heard(talk).utter("I would like", "a table", "for two.")
            await talk.said("Sure.")
            await talk.quiet()
            return talk

        joined = {"I would like a table for two.": ["I would like", "a table", "for two."]}
        compare(ended(talk()), Allowed(joined=joined))

    def test_an_interrupted_answer(self) -> None:
        async def talk() -> Talk:
            talk = await pipeline("Once upon a time there was a king.", "I stop.")
            speaker = talk.session.output.audio
            assert isinstance(speaker, Speaker)
            speaker.may_finish.clear()
            await heard(talk).utter("Tell me a story.")
            await talk.until(lambda: talk.session.agent_state == "speaking")
            await asyncio.sleep(0.1)
            await heard(talk).utter("Please stop it now.")
            speaker.may_finish.set()
            await talk.said("I stop.")
            await talk.quiet()
            return talk

        done = ended(talk())
        compare(done)
        finals = [e for e in done.of_type("transcript") if e["role"] == "agent" and e["is_final"]]
        assert [(e["text"], e["interrupted"]) for e in finals] == interrupted(done)

    def test_dropped_and_rewritten_words(self) -> None:
        class Choosy(Agent):
            async def on_user_turn_completed(self, turn_ctx: Any, new_message: Any) -> None:
                if new_message.text_content == "Drop this.":
                    raise StopResponse
                if "4111" in new_message.text_content:
                    new_message.content = ["My card is ****."]

        async def talk() -> Talk:
            talk = await pipeline("Noted.", "Anything else?", agent=Choosy(instructions="x"))
            await heard(talk).utter("Drop this.")
            await talk.said("Drop this.")
            await asyncio.sleep(0.1)
            await heard(talk).utter("My card is 4111.")
            await talk.said("Noted.")
            await talk.quiet()
            await talk.session.generate_reply(user_input="No.")
            return talk

        compare(
            ended(talk()),
            Allowed(heard_only=[("user", "Drop this.")], rewritten={"My card is ****.": "My card is 4111."}),
        )

    def test_preemptive_generation(self) -> None:
        async def talk() -> Talk:
            talk = await pipeline(
                *["We open at nine."] * 3, turn_handling={"preemptive_generation": {"enabled": True}}
            )
            recognition = heard(talk)
            recognition.push(stt.SpeechEventType.START_OF_SPEECH)
            recognition.push(stt.SpeechEventType.INTERIM_TRANSCRIPT, "When do")
            recognition.push(stt.SpeechEventType.PREFLIGHT_TRANSCRIPT, "When do you open?")
            await asyncio.sleep(0.2)
            assert len(talk.session.llm.answers) == 2, "the answer is made before the turn has ended"  # type: ignore[union-attr]
            recognition.push(stt.SpeechEventType.FINAL_TRANSCRIPT, "When do you open?")
            recognition.push(stt.SpeechEventType.END_OF_SPEECH)
            await talk.said("We open at nine.")
            await talk.quiet()
            return talk

        done = ended(talk())
        compare(done)
        assert len({event["turn_id"] for event in done.of_type("transcript")}) == 1

    def test_words_without_a_turn(self) -> None:
        async def talk() -> Talk:
            talk = await pipeline("We open at nine.")
            await talk.session.say("Hello there.")
            await talk.session.say("Just between us.", add_to_chat_ctx=False)
            await heard(talk).utter("When do you open?")
            await talk.said("We open at nine.")
            await talk.quiet()
            return talk

        compare(ended(talk()), Allowed(heard_only=[("agent", "Just between us.")]))


class TestRealtime:
    def test_questions_and_answers(self) -> None:
        async def say(talk: Talk, model: ScriptedRealtime) -> None:
            for number, (question, answer) in enumerate(
                [("When do you open?", "We open at nine."), ("And close?", "At six.")]
            ):
                model.now.voice(on=True)
                model.now.hear(f"item_{number}", question[:6])
                model.now.voice(on=False)
                model.now.hear(f"item_{number}", question, final=True)
                model.now.answer(answer)
                await talk.said(answer)
                await talk.quiet()
            model.answers.append("Are you still there?")
            await talk.session.generate_reply()

        assert len(compare(spoken(say))) == 5

    def test_a_late_transcript_and_one_that_is_corrected(self) -> None:
        async def say(talk: Talk, model: ScriptedRealtime) -> None:
            model.now.voice(on=True)
            model.now.hear("item_1", "I would", final=True)
            model.now.hear("item_1", "I would like to book.", final=True)
            model.now.voice(on=False)
            model.now.answer("For when?")
            await talk.said("For when?")
            await talk.quiet()

        compare(spoken(say), Allowed(replaced=[("user", "I would")]))

    def test_a_question_that_is_transcribed_after_the_answer_has_begun(self) -> None:
        async def say(talk: Talk, model: ScriptedRealtime) -> None:
            asked = time.time()
            model.now.voice(on=True)
            model.now.voice(on=False)
            hold = asyncio.Event()
            model.now.answer(Said(["We open ", "at nine."], hold=hold))
            await talk.until(lambda: ("agent", "We open ") in talk.lines())
            model.now.hear("item_1", "When do you open?", final=True, started_at=asked)
            hold.set()
            await talk.said("We open at nine.")
            await talk.quiet()

        compare(spoken(say), Allowed(late=[("user", "When do you open?")]))

    def test_a_question_that_is_transcribed_two_turns_late(self) -> None:
        async def say(talk: Talk, model: ScriptedRealtime) -> None:
            asked = time.time()
            for number, answer in enumerate(["At nine.", "At six.", "No."]):
                model.now.voice(on=True)
                model.now.voice(on=False)
                if number:
                    model.now.hear(f"item_{number}", f"Question {number}?", final=True)
                model.now.answer(answer)
                await talk.said(answer)
                await talk.quiet()
                await asyncio.sleep(0.1)
            model.now.hear("item_0", "Question 0?", final=True, started_at=asked)

        done = spoken(say)
        compare(done, Allowed(late=[("user", "Question 0?")]))
        assert done.turns_of("Question 0?") == done.turns_of("At nine.")

    def test_a_failed_transcription(self) -> None:
        async def say(talk: Talk, model: ScriptedRealtime) -> None:
            model.now.voice(on=True)
            model.now.hear("item_1", "Please cancel my")
            model.now.voice(on=False)
            model.now.answer("Which order do you mean?")
            await talk.said("Which order do you mean?")
            model.now.voice(on=True)
            model.now.voice(on=False)
            model.now.hear("item_2", "The one from Monday.", final=True)
            model.now.answer("Done.")
            await talk.said("Done.")
            await talk.quiet()

        done = spoken(say)
        assert compare(done, Allowed(heard_only=[("user", "Please cancel my")]))[0] == (
            "user",
            "Please cancel my",
        )
        assert done.turns_of("Please cancel my") == done.turns_of("Which order do you mean?")
        assert done.turns_of("The one from Monday.") == done.turns_of("Done.")

    def test_a_tool(self) -> None:
        @function_tool
        async def hours() -> dict[str, int]:
            """Look up the opening hours."""
            return {"opens": 9}

        async def say(talk: Talk, model: ScriptedRealtime) -> None:
            model.answers.append("We open at nine.")
            model.now.voice(on=True)
            model.now.voice(on=False)
            model.now.hear("item_1", "When do you open?", final=True)
            model.now.answer(Said(calls=[("hours", "{}")]))
            await talk.said("We open at nine.")
            await talk.quiet()

        done = spoken(say, Agent(instructions="x", tools=[hours]))
        compare(done)
        assert done.of_type("tool_call_finished")[0]["output"] == {"opens": 9}
        assert len({event["turn_id"] for event in done.of_type("transcript")}) == 1


class TestText:
    def test_typed_messages(self) -> None:
        async def talk() -> Talk:
            talk = await typed("One.", "Two.", "Two again.")
            for text in ("first", "second", "second"):
                await talk.session.run(user_input=text)
            return talk

        assert len(compare(ended(talk()))) == 6

    def test_several_tools_at_once(self) -> None:
        @function_tool
        async def weather(city: str) -> dict[str, str]:
            """Look up the weather."""
            await asyncio.sleep(0.05 if city == "Paris" else 0)
            return {"city": city, "sky": "sunny"}

        async def talk() -> Talk:
            talk = await typed(
                Said(
                    ["Let me look."],
                    calls=[("weather", '{"city": "Paris"}'), ("weather", '{"city": "Rome"}')],
                ),
                "Sunny in both.",
                agent=Agent(instructions="x", tools=[weather]),
            )
            await talk.session.run(user_input="How is the weather in Paris and Rome?")
            return talk

        done = ended(talk())
        compare(done)
        outputs = {e["call_id"]: e["output"]["city"] for e in done.of_type("tool_call_finished")}
        asked = {e["call_id"]: e["arguments"]["city"] for e in done.of_type("tool_call_started")}
        assert outputs == asked
        assert len({event["turn_id"] for event in done.events if "turn_id" in event}) == 1

    def test_a_handoff(self) -> None:
        class Greeter(Agent):
            pass

        class Clerk(Agent):
            def __init__(self) -> None:
                super().__init__(instructions="x", id="clerk")

            async def on_enter(self) -> None:
                await self.session.generate_reply()

        @function_tool
        async def to_clerk() -> Any:
            """Hand over."""
            return Clerk(), "Passing you on."

        async def talk() -> Talk:
            talk = await typed(
                Said(calls=[("to_clerk", "{}")]),
                "One moment.",
                "Clerk speaking.",
                "Sure.",
                agent=Greeter(instructions="x", tools=[to_clerk], id="greeter"),
            )
            await talk.session.run(user_input="I want a clerk.")
            await talk.session.run(user_input="A table, please.")
            return talk

        done = ended(talk())
        compare(done)
        assert [(e["old_agent"], e["new_agent"]) for e in done.of_type("handoff")] == [("greeter", "clerk")]
