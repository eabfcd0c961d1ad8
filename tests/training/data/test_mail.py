"""An archive of e-mails becomes lines, and a line the beginning of a text with its subject."""

import io
import json
import zipfile

from training.data.mail import convert, read_mails


def archive() -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as files:
        below = "AESLC-0/enron_subject_line"
        files.writestr("AESLC-0/README.md", "about")
        files.writestr(
            f"{below}/dev/b_2.subject", "Hi,\n\nlunch?\n\n@subject\nLunch\n\n@ann0\nLet's eat"
        )
        files.writestr(f"{below}/dev/a_1.subject", "Café at 3 p.m.\n\n@subject\nCafé")
        files.writestr(f"{below}/train/c_3.subject", "Another.\n\n@subject\nOther")
    return made.getvalue()


def test_a_split_is_its_mails_in_the_order_of_their_names():
    made = convert(lambda _: archive(), split="dev").decode()
    assert [json.loads(line) for line in made.splitlines()] == [
        {"id": "a_1", "body": "Café at 3 p.m.", "subject": "Café"},
        {"id": "b_2", "body": "Hi,\n\nlunch?", "subject": "Lunch", "ann0": "Let's eat"},
    ]
    assert "Café" in made


def test_a_mail_is_the_words_of_its_beginning_and_its_subject():
    long = json.dumps({"id": "x", "body": "Hello, World! " * 100, "subject": "RE: John's plan"})
    (pair,) = read_mails(long)
    assert pair.source.startswith("hello , world ! hello")
    assert len(pair.source.split()) == 60
    assert pair.targets == ("re : john's plan",)
