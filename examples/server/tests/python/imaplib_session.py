"""A mail reader's session: what Python's imaplib makes of the server.

usage: imaplib_session.py HOST PORT CA_FILE USER      (the password is in WM_PASSWORD)
The inbox holds one message, with the subject "Hello" and the text "Hello, world." in it.
"""

import imaplib
import os
import ssl
import sys
import time

host, port, ca_file, user = sys.argv[1:]
password = os.environ["WM_PASSWORD"]
context = ssl.create_default_context(cafile=ca_file)


def ok(answer):
    status, data = answer
    assert status == "OK", answer
    return data


client = imaplib.IMAP4(host, int(port), timeout=60)
assert "LOGINDISABLED" in client.capabilities, client.capabilities
try:
    client.login(user, password)
    raise AssertionError("a password in clear was accepted")
except imaplib.IMAP4.error:
    pass
ok(client.starttls(context))
assert "AUTH=PLAIN" in client.capabilities, client.capabilities
assert "LOGINDISABLED" not in client.capabilities, client.capabilities


def refusal(name, secret):
    try:
        client.login(name, secret)
    except imaplib.IMAP4.error as error:
        return str(error)
    raise AssertionError("logged in")


# A wrong password does not say whether the user exists.
assert refusal(user, "wrong") == refusal("nobody" + user, "wrong")
ok(client.authenticate("PLAIN", lambda _: f"\0{user}\0{password}".encode()))

folders = b"\n".join(ok(client.list()))
for name in (b"INBOX", b"\\Sent", b"\\Drafts", b"\\Trash", b"\\Junk"):
    assert name in folders, folders

assert b"MESSAGES 1" in ok(client.status("INBOX", "(MESSAGES UIDNEXT UIDVALIDITY UNSEEN)"))[0]
assert ok(client.select("INBOX")) == [b"1"]

((head, message), *_) = ok(client.fetch("1", "(BODY.PEEK[])"))
assert b"Subject: Hello\r\n" in message and message.endswith(b"Hello, world.\r\n"), message
((_, text), *_) = ok(client.fetch("1", "(BODY.PEEK[TEXT]<7.5>)"))
assert text == b"world", text
assert b"\\Seen" not in ok(client.fetch("1", "(FLAGS)"))[0]
ok(client.fetch("1", "(BODY[TEXT])"))
assert b"\\Seen" in ok(client.fetch("1", "(FLAGS)"))[0]
assert b'"Hello"' in b"".join(part if isinstance(part, bytes) else b"".join(part) for part in ok(client.fetch("1", "(ENVELOPE)")))

assert ok(client.search(None, "SUBJECT", "hello")) == [b"1"]
assert ok(client.search(None, "UNSEEN")) == [b""]

# APPEND with flags and a date, keywords, search for them, expunge.
appended = b"From: a@example.com\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n\r\nAppended.\r\n"
ok(client.append("INBOX", r"(\Flagged)", imaplib.Time2Internaldate(time.time() - 86400), appended))
ok(client.noop())
((_, message), *_) = ok(client.fetch("2", "(BODY.PEEK[])"))
assert message == appended, message
assert ok(client.search(None, "FLAGGED")) == [b"2"]
ok(client.store("2", "+FLAGS", r"(\Deleted $Label)"))
assert ok(client.search(None, "KEYWORD", "$Label")) == [b"2"]
assert ok(client.expunge()) == [b"2"]
assert ok(client.search(None, "ALL")) == [b"1"]

# EXAMINE changes nothing.
ok(client.select("INBOX", readonly=True))
assert client.store("1", "+FLAGS", r"(\Deleted)")[0] == "NO"
assert b"\\Deleted" not in ok(client.fetch("1", "(FLAGS)"))[0]
client.logout()
