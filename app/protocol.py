"""The protocol below the application."""

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from app.problems import problem


class HttpProtocol(H11Protocol):
    """Answers what is no HTTP request with a problem document too; for the server's option `http`."""

    def send_400_response(self, msg: str) -> None:
        """Answer, unless another answer has begun, and close the connection."""
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            answer = problem(400, "this is no HTTP request that can be read")
            headers = [*answer.raw_headers, (b"connection", b"close")]
            response = h11.Response(status_code=400, headers=headers, reason=b"Bad Request")
            for event in (response, h11.Data(data=bytes(answer.body)), h11.EndOfMessage()):
                self.transport.write(self.conn.send(event) or b"")
        self.transport.close()
