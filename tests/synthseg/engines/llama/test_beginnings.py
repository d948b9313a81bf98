from __future__ import annotations

from collections.abc import Callable
from typing import Any

from synthseg.engines.llama.beginnings import NUM_KEPT, Beginnings


class Server:
    """Keeps, for each slot, what a server's slot would hold: the messages and in which pieces they were read."""

    def __init__(self) -> None:
        self.slots: dict[int, tuple[str, ...]] = {}
        self.num_whole = 0
        self.refuses = ""

    def __call__(self, body: dict[str, Any], told: Callable[[dict[str, Any]], bool]) -> None:
        text = "/".join(message["content"] for message in body["messages"])
        assert body["max_tokens"] == 0
        assert body["add_generation_prompt"] is False
        if text == self.refuses:
            told({"error": {"code": 400}})
            return
        if body["cache_prompt"]:
            assert self.slots[body["id_slot"]][0] == text
            self.slots[body["id_slot"]] = (text, "last token again")
        else:
            self.num_whole += 1
            if told({"choices": [], "prompt_progress": {}}):
                self.slots.pop(body["id_slot"], None)
                return
            self.slots[body["id_slot"]] = (text,)
        told({"choices": []})


def chat(*texts: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text} for text in texts]


def test_the_last_message_is_always_read_behind_the_same_state() -> None:
    server = Server()
    beginnings = Beginnings(server)
    for number in range(5 * NUM_KEPT):
        beginning = f"beginning {number % (NUM_KEPT + 2)}"
        found = beginnings.restore(chat(beginning, f"question {number}"))
        assert found["cache_prompt"] is True
        assert server.slots[found["id_slot"]] == (beginning, "last token again")
        server.slots[found["id_slot"]] = (beginning, "and what the request wrote")  # an answer stays behind it


def test_what_comes_again_is_read_once() -> None:
    server = Server()
    beginnings = Beginnings(server)
    for number in range(10):
        beginnings.restore(chat("a", str(number)))
        beginnings.restore(chat("b", str(number)))
    assert server.num_whole == 3  # "a" twice: most beginnings come once, and "b" was read in the place where it lay


def test_what_comes_again_at_once_is_read_once() -> None:
    server = Server()
    beginnings = Beginnings(server)
    for text in ("a", "b"):
        for number in range(3):
            beginnings.restore(chat(text, str(number)))
    assert server.num_whole == 2


def test_a_chat_without_a_beginning_takes_the_place_of_one_that_is_not_kept() -> None:
    server = Server()
    beginnings = Beginnings(server)
    beginnings.restore(chat("a", "?"))
    taken = beginnings.restore(chat("one message"))["id_slot"]
    server.slots.pop(taken)
    found = beginnings.restore(chat("a", "?"))
    assert server.slots[found["id_slot"]] == ("a", "last token again")


def test_beginnings_that_come_once_push_nothing_out() -> None:
    server = Server()
    beginnings = Beginnings(server)
    for _ in range(2):
        beginnings.restore(chat("kept", "?"))
    before = server.num_whole
    for number in range(3 * NUM_KEPT):
        beginnings.restore(chat(f"once {number}", "?"))
    beginnings.restore(chat("kept", "!"))
    assert server.num_whole == before + 3 * NUM_KEPT


def test_a_chat_without_a_beginning_is_read_in_one_piece() -> None:
    server = Server()
    server.refuses = "no format ends here"
    beginnings = Beginnings(server)
    assert beginnings.restore(chat("one message"))["cache_prompt"] is False
    assert beginnings.restore(())["cache_prompt"] is False
    for _ in range(3):
        assert beginnings.restore(chat("no format ends here", "?"))["cache_prompt"] is False
    assert beginnings.restore(chat("fine", "?"))["cache_prompt"] is True


def test_a_beginning_that_nobody_wants_any_more_is_not_taken_for_known() -> None:
    server = Server()
    beginnings = Beginnings(server)
    for _ in range(3):
        assert beginnings.restore(chat("long", "?"), lambda: False)["cache_prompt"] is False
    found = beginnings.restore(chat("long", "?"))
    assert server.slots[found["id_slot"]] == ("long", "last token again")
