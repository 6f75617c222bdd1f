"""An SMTP server for tests: aiosmtpd with STARTTLS, told what to answer by a file.

    smtp_server.py DIRECTORY PORT

DIRECTORY holds cert.pem and key.pem. Prints the port it listens on. Every accepted message is one
JSON line in messages.jsonl. The file `refuse`, when it exists, holds the stage to refuse at
(RCPT or DATA) and the reply to give, as in `DATA 451 4.3.2 busy`.
"""

import asyncio
import email
import email.policy
import json
import pathlib
import ssl
import sys

from aiosmtpd.smtp import SMTP, AuthResult

DIRECTORY = pathlib.Path(sys.argv[1])
LOGIN, PASSWORD = b"perennial", b"correct horse"


def refusal(stage):
    """Returns the reply to refuse `stage` with, or None."""
    try:
        wanted, reply = (DIRECTORY / "refuse").read_text().split(" ", 1)
    except FileNotFoundError:
        return None
    return reply if wanted == stage else None


def part(message, subtype):
    """Returns the decoded text of the first text/`subtype` part, or None."""
    found = message.get_body(preferencelist=(subtype,))
    return found.get_content() if found else None


class Handler:
    """Accepts and writes down, unless told to refuse."""

    async def handle_RCPT(self, server, session, envelope, address, options):
        reply = refusal("RCPT")
        if reply is None:
            envelope.rcpt_tos.append(address)
        return reply or "250 2.1.5 OK"

    async def handle_DATA(self, server, session, envelope):
        reply = refusal("DATA")
        if reply is not None:
            return reply
        message = email.message_from_bytes(envelope.content, policy=email.policy.default)
        line = json.dumps({
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos,
            "headers": [[name, str(value)] for name, value in message.items()],
            "text": part(message, "plain"),
            "html": part(message, "html"),
            "tls": session.ssl is not None,
            "login": session.auth_data,
        })
        with open(DIRECTORY / "messages.jsonl", "a", encoding="utf-8") as messages:
            messages.write(line + "\n")
        return "250 2.0.0 OK"


def authenticate(server, session, envelope, mechanism, data):
    """Accepts one login only."""
    good = (data.login, data.password) == (LOGIN, PASSWORD)
    return AuthResult(success=good, auth_data=data.login.decode())


async def main():
    """Serves until killed."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(DIRECTORY / "cert.pem", DIRECTORY / "key.pem")
    loop = asyncio.get_running_loop()

    def session():
        return SMTP(Handler(), hostname="localhost", tls_context=context, require_starttls=True,
                    authenticator=authenticate, loop=loop)

    server = await loop.create_server(session, "127.0.0.1", int(sys.argv[2]))
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


asyncio.run(main())
