"""How an answer is handed over to the connection."""

from hypothesis import given
from hypothesis import strategies as st
from starlette.types import Message

from mmm_server.http.exchange import PIECE, send_whole
from mmm_server.http.reply import Reply


@given(size=st.integers(0, 5 * PIECE) | st.sampled_from([PIECE - 1, PIECE, PIECE + 1, 2 * PIECE, 2 * PIECE + 1]))
async def test_a_short_answer_is_sent_at_once_and_a_long_one_in_pieces(size: int) -> None:
    body, messages = bytes(index % 251 for index in range(size)), list[Message]()

    async def send(message: Message) -> None:
        messages.append(message)

    await send_whole(send, Reply(body))
    start, *pieces = messages
    assert (b"content-length", str(size).encode()) in start["headers"]
    assert b"".join(piece["body"] for piece in pieces) == body
    assert len(pieces) == max(1, -(-size // PIECE))
    assert all(len(piece["body"]) <= PIECE for piece in pieces)
    assert [piece.get("more_body", False) for piece in pieces] == [*[True] * (len(pieces) - 1), False]
