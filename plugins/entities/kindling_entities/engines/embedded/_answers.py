"""Reads the server's answers to plans, each whole or not at all.

The client of pyspark can keep an operation to come back to after a lost connection (reattachable execution), and hands
each part of an answer back on threads that are not safe to use (``_clients``). Without that, an answer that is cut off
looks like one that has ended. So operations are kept here, too, but for their last message alone: an answer without it
is an error, and a part that was read is handed back on the thread that read it.
"""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import grpc

from kindling_entities.engines._clients import close_alone
from kindling_entities.errors import EngineError

# How much of an answer the server may keep until it is handed back; each time costs a request of about 0.3 ms.
_KEPT_BYTES = 8 * 1024 * 1024


class WholeAnswers(grpc.UnaryStreamClientInterceptor):  # type: ignore[misc]
    """Has the answer to each plan end with a message that says so.

    Attributes:
        release: hands back what was read of an answer; None until the session's client exists.
    """

    def __init__(self) -> None:
        self.release: Callable[[Any], object] | None = None

    def serve(self, client: Any) -> None:
        """Read the answers to a client from now on."""
        client.disable_reattachable_execute()
        self.release = client._stub.ReleaseExecute
        close_alone(client, client._channel.close)

    def intercept_unary_stream(self, continuation: Callable[[Any, Any], Any], details: Any, request: Any) -> Any:
        """Called by gRPC for each stream that the client opens."""
        release = self.release
        if release is None or not details.method.endswith("/ExecutePlan"):
            return continuation(details, request)
        from pyspark.sql.connect.proto import ReattachOptions

        if not request.operation_id:
            request.operation_id = str(uuid.uuid4())
        if not any(option.HasField("reattach_options") for option in request.request_options):
            request.request_options.add(reattach_options=ReattachOptions(reattachable=True))
        return _whole(continuation(details, request), request, release)


def _whole(answer: Any, request: Any, release: Callable[[Any], object]) -> Iterator[Any]:
    """Give the parts of an answer.

    Raises:
        EngineError: it ended before its last part, or its connection was lost after the first: what is computed again
            may come in another order, so that the parts of two answers must not be joined.
    """
    from pyspark.sql.connect.proto import ReleaseExecuteRequest

    def hand_back(part: str | None) -> None:
        done = ReleaseExecuteRequest(
            session_id=request.session_id, user_context=request.user_context, operation_id=request.operation_id
        )
        if part is None:
            done.release_all.SetInParent()
        else:
            done.release_until.response_id = part
        # A server that has stopped, or has forgotten the operation, keeps nothing.
        with contextlib.suppress(grpc.RpcError, ValueError):
            release(done)

    begun, complete, kept = False, False, 0
    try:
        for part in answer:
            if part.HasField("result_complete"):
                # The stream is read to its end: the server hangs up on a client that resets many.
                complete = True
                continue
            begun = True
            yield part
            kept += part.ByteSize()
            if kept >= _KEPT_BYTES:
                hand_back(part.response_id)
                kept = 0
    except grpc.RpcError as error:
        if begun and error.code() is grpc.StatusCode.UNAVAILABLE:
            raise EngineError(f"The engine was lost while it gave its rows: {error.details()}.") from error
        raise
    finally:
        if not complete:
            answer.cancel()
        hand_back(None)
    if not complete:
        raise EngineError(
            "The engine ended a query before all rows had come: it was interrupted, or its session has ended."
        )
