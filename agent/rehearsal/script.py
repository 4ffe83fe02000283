"""What the rehearsal says: the user's recorded lines, and what the scripted language model answers.

Pure data and one function. The words of a line have to be those of its recording (`audio/make.sh`).
"""

from __future__ import annotations

from dataclasses import dataclass

TOOL = "current_time"
TOOL_ARGUMENTS = {"time_zone": "Europe/Paris"}


@dataclass(frozen=True)
class Line:
    """One recorded line of the user.

    Attributes:
        name: The recording's file name, without its ending.
        text: Its words.
        cuts_in_after: Seconds of the agent's speech after which the user interrupts; None: the user waits
            until the agent listens.
    """

    name: str
    text: str
    cuts_in_after: float | None = None


LINES = (
    Line("question", "Hello! What time is it in Paris?"),
    Line("story", "Tell me how this page knows what we say."),
    Line("interruption", "Wait, that is enough for now.", cuts_in_after=2.2),
    Line("goodbye", "Thank you, goodbye."),
)

GREETING = "Hi, I am your voice assistant. What can I do for you?"
ANSWERS = {
    LINES[1].text: (
        "The voice session reports everything that happens. Each word and each pause becomes a small event,"
        " the agent posts it to the hub, and the hub streams it to every page that listens, a few"
        " milliseconds later. I could go on like this for quite a while."
    ),
    LINES[2].text: "Of course, I will stop here. Is there anything else?",
    LINES[3].text: "You are welcome. Goodbye!",
}
QUESTION = LINES[0].text
NOT_SCRIPTED = "I only know my lines in a rehearsal. With a language model I could answer that."


def answer_with_time(tool_output: str) -> str:
    """Word the answer to the question from the tool's output."""
    return f"It is {tool_output} in Paris."
