"""Prints every message of a folder, one JSON object a line: uid, flags, size, envelope, bodystructure.

usage: imap_dump.py HOST PORT CA_FILE USER FOLDER [headers NAME | content DIR]
The password is in WM_PASSWORD. `headers` adds one header field's value; `content` puts each message
into DIR/UID.
"""

import imaplib
import json
import os
import re
import ssl
import sys

host, port, ca_file, user, folder, *what = sys.argv[1:]
imaplib._MAXLINE = 10_000_000

client = imaplib.IMAP4_SSL(host, int(port), ssl_context=ssl.create_default_context(cafile=ca_file), timeout=120)
client.login(user, os.environ["WM_PASSWORD"])


def ok(answer):
    status, data = answer
    assert status == "OK", answer
    return data


def fetch(which, items):
    """The responses of a UID FETCH: text around literals, and the literals."""
    responses = []
    for part in ok(client.uid("FETCH", which, items)):
        if isinstance(part, tuple):
            text, literal = part
            responses.append([text, [literal]])
        elif part is not None and responses and not re.match(rb"\d+ \(", part):
            responses[-1][0] += part
        elif part is not None:
            responses.append([part, []])
    # A response with several literals comes as several tuples; only the first starts with a number.
    joined = []
    for text, literals in responses:
        if joined and not re.match(rb"\d+ \(", text):
            joined[-1][0] += b" " + text
            joined[-1][1] += literals
        else:
            joined.append([text, literals])
    return joined


def number(name, text):
    return int(re.search(name + rb" (\d+)", text).group(1))


ok(client.select(folder, readonly=True))
validity = int(client.untagged_responses["UIDVALIDITY"][0])
uids = ok(client.uid("SEARCH", "ALL"))[0].split()

if what[:1] == ["content"]:
    os.makedirs(what[1], exist_ok=True)
    for uid in uids:
        ((text, [message]),) = fetch(uid, "(UID FLAGS RFC822.SIZE BODY.PEEK[])")
        with open(os.path.join(what[1], uid.decode()), "wb") as file:
            file.write(message)
        entry = {"uid": int(uid), "validity": validity, "size": number(rb"RFC822.SIZE", text), "flags": text.decode()}
        for item in ("ENVELOPE", "BODYSTRUCTURE"):
            ((text, literals),) = fetch(uid, f"({item})")
            entry[item.lower()] = text.decode("utf-8", "replace") + " ".join(repr(literal) for literal in literals)
        print(json.dumps(entry))
elif uids:
    name = what[1] if what[:1] == ["headers"] else "Message-ID"
    for text, literals in fetch("1:*", f"(UID RFC822.SIZE BODY.PEEK[HEADER.FIELDS ({name})])"):
        value = literals[0].decode().partition(":")[2].strip()
        print(json.dumps({"uid": number(rb"UID", text), "validity": validity, "size": number(rb"RFC822.SIZE", text), "header": value}))

client.logout()
