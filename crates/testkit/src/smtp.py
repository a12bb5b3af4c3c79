"""aiosmtpd as a server for one test. Arguments: folder for mails, settings as JSON. Says its port on stdout."""
import asyncio, json, pathlib, ssl, sys
from aiosmtpd.smtp import SMTP, AuthResult

folder, settings = pathlib.Path(sys.argv[1]), json.loads(sys.argv[2])
tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
tls.load_cert_chain(settings["cert"], settings["key"])
count = {"tries": 0, "mails": 0, "logins": 0}


class Keep:
    async def handle_RCPT(self, server, session, envelope, address, options):
        if address in settings["refuse"]:
            return "550 5.1.1 no such user here"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        count["tries"] += 1
        if count["tries"] <= settings["defer"]:
            return "451 4.7.1 greylisted, come again"
        count["mails"] += 1
        head = f"X-Tls: {session.ssl is not None}\r\nX-Login: {session.authenticated}\r\n"
        head += f"X-Rcpt: {','.join(envelope.rcpt_tos)}\r\n"
        part = folder / f"{count['mails']:04}.part"
        part.write_bytes(head.encode() + envelope.content)
        part.rename(part.with_suffix(".eml"))
        return "250 OK"


def login(server, session, envelope, mechanism, data):
    count["logins"] += 1
    (folder / "logins").write_text(str(count["logins"]))
    good = [settings["user"].encode(), settings["password"].encode()]
    return AuthResult(success=[data.login, data.password] == good, handled=False)


def session():
    return SMTP(
        Keep(),
        hostname="localhost",
        tls_context=tls if settings["tls"] == "starttls" else None,
        require_starttls=settings["tls"] == "starttls",
        auth_required=bool(settings["user"]),
        auth_require_tls=settings["tls"] == "starttls",
        authenticator=login,
        loop=loop,
    )


loop = asyncio.new_event_loop()
asyncio.set_event_loop(loop)
wrap = tls if settings["tls"] == "implicit" else None
server = loop.run_until_complete(loop.create_server(session, "127.0.0.1", 0, ssl=wrap))
print(server.sockets[0].getsockname()[1], flush=True)
loop.run_forever()
