"""A mail program's submission: what Python's smtplib makes of the server.

usage: smtplib_session.py HOST PORT CA_FILE FROM TO   (the password of FROM is in WM_PASSWORD)
"""

import os
import smtplib
import ssl
import sys
from email.message import EmailMessage

host, port, ca_file, sender, recipient = sys.argv[1:]
password = os.environ["WM_PASSWORD"]

message = EmailMessage()
message["From"], message["To"], message["Subject"] = sender, recipient, "Grüße"
message.set_content("Von smtplib.\n")

with smtplib.SMTP(host, int(port), timeout=60) as client:
    client.ehlo()
    assert not client.has_extn("auth"), "AUTH is offered in clear"
    client.starttls(context=ssl.create_default_context(cafile=ca_file))
    client.ehlo()
    for extension in ("size", "8bitmime", "smtputf8", "pipelining", "enhancedstatuscodes", "chunking"):
        assert client.has_extn(extension), client.esmtp_features
    assert "starttls" not in client.esmtp_features

    # Nothing is taken from somebody who has not authenticated.
    code, text = client.mail(sender)
    assert code == 530, (code, text)

    # A wrong password does not say whether the user exists.
    refusals = []
    for name in (sender, "nobody" + sender):
        try:
            client.user, client.password = name, "wrong"
            client.auth("PLAIN", client.auth_plain)
            raise AssertionError("logged in")
        except smtplib.SMTPAuthenticationError as error:
            refusals.append((error.smtp_code, error.smtp_error))
    assert refusals[0] == refusals[1] and refusals[0][0] == 535, refusals

    client.login(sender, password)
    client.send_message(message)
