"""Texts of any origin in one line."""

from mbjax.remarks import first_line, one_line


def test_an_error_is_one_line_that_does_not_steer_a_terminal():
    assert one_line(ValueError("a\n\n b\t\x1b[31mred\x1b[0m \x1b]0;title\x07 \ud800")) == (
        "a b red ]0;title"
    )
    assert one_line(ValueError("abc"), 2) == "ab"
    assert one_line(KeyError()) == "KeyError" == one_line(KeyError(), 100)


def test_the_beginning_of_a_long_story():
    assert first_line(ValueError("\n \nfirst  line\nsecond")) == "first line"
    assert first_line(OSError()) == "OSError"
